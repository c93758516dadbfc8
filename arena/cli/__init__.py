"""``arena``: play, qualify and submit from a terminal.

Exit statuses, the same for every command:

    0  ok
    1  a check failed: a package not accepted, a forfeit, a rank below ``--max-rank``
    2  usage: an option, a name, a task or a threat model that cannot be
    3  no token, or one that the server does not take
    4  rejected: the package breaks the format, or the server refused the request
    5  our fault: no wall that is strong enough, a void match, a server that fails
    6  timed out: nothing was decided within ``--timeout``

Commands that play (``play``, ``qualify``, ``house``, ``tasks``, ``sandbox``, ``init``) need no
server; the others talk to one and never import torch. Nothing heavy is imported before a command
needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main", "run"]


def main() -> None:
    """The entry point."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; errors are told on stderr."""
    from arena.cli.app import run_app

    return run_app(list(arguments))
