"""Whether this machine may play guests: asked once, in a process of its own, before any work.

Workers never import what the engine starts jails with, and the processes they start need not ask
again: the proof travels in the environment.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

from submissions.processes import referee_environment

logger = logging.getLogger(__name__)

PROOF_SECONDS: Final = 120
_ASK: Final = """
import json, os
from arena.errors import SandboxUnavailable
from arena.sandbox import choose
try:
    backend, sentence, guests = choose(trusted=False), "", True
except SandboxUnavailable as error:
    sentence, guests = str(error), False
    backend = choose(trusted=True)
mark = {k: v for k, v in os.environ.items() if k.startswith("ARENA_SANDBOX")}
print(json.dumps({"name": backend.name, "guests": guests, "sentence": sentence, "mark": mark}))
"""


@dataclass(frozen=True)
class Jail:
    """What the self-test found. ``guests``: strong enough for them; else ``sentence`` says why."""

    name: str
    guests: bool
    sentence: str
    mark: dict[str, str]


def prove() -> Jail:
    """Runs the self-test. A machine without any jail plays nothing and says why."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _ASK],
            env=referee_environment(),
            capture_output=True,
            text=True,
            timeout=PROOF_SECONDS,
            check=True,
        )
        jail = Jail(**json.loads(done.stdout.splitlines()[-1]))
    except (subprocess.SubprocessError, ValueError, IndexError, TypeError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        jail = Jail("none", guests=False, sentence=said[-1] if said else "", mark={})
    if not jail.guests:
        logger.warning("Only the house plays here, guests do not: %s", jail.sentence)
    return jail


def known() -> bool:
    """Whether the process that started us has asked already."""
    return any(name.startswith("ARENA_SANDBOX") for name in os.environ)
