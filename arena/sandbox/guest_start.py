"""The first lines of our code that run in a jail: tidy the descriptors, then run the child.

Runs inside the jail; needs the standard library alone.
"""

from __future__ import annotations

import os
import resource
import runpy
import sys
from collections.abc import Sequence
from typing import Final

from arena.sandbox import guest_lockdown

SOCKET: Final = 3
"""The descriptor of the stream to the referee, whatever number it had on the way in."""


def start(module: str, descriptor: int, arguments: Sequence[str] = ()) -> None:
    """Run ``module`` as the main program, with the socket at 3 and nothing open beyond it."""
    if descriptor != SOCKET:
        os.dup2(descriptor, SOCKET)
    os.set_inheritable(SOCKET, False)
    os.closerange(SOCKET + 1, max(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
    _close_files()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _close_files() -> None:
    """Landlock, for backends without mounts of their own: before anything else is imported."""
    wanted = guest_lockdown.asked()
    if wanted is None or not wanted.readable:
        return
    from arena.sandbox import landlock

    landlock.restrict(readable=wanted.readable, writable=wanted.writable)
