"""The GPU of this machine, as far as a jail of a task with ``device = "cuda"`` sees it.

The device files of NVIDIA's driver, by name, and nothing else of ``/dev``. The driver's libraries
lie with the system's others and are shown to every jail. A GPU is a weaker wall
(docs/security.md): its driver is a large part of the kernel that a player then speaks to.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from arena.errors import SandboxUnavailable

DEVICES: Final = Path("/dev")
_CARD: Final = re.compile(r"nvidia\d+")
_NEEDED: Final = ("nvidiactl", "nvidia-uvm")


def nodes() -> tuple[Path, ...]:
    """The device files that CUDA needs; empty where this machine has no GPU to show."""
    needed = [DEVICES / name for name in _NEEDED]
    cards = sorted(path for path in DEVICES.glob("nvidia*") if _CARD.fullmatch(path.name))
    present = cards and all(path.exists() for path in needed)
    return (*needed, *cards) if present else ()


def required() -> tuple[Path, ...]:
    """As :func:`nodes`.

    Raises:
        SandboxUnavailable: there is none; the message names the remedy.
    """
    found = nodes()
    if not found:
        raise SandboxUnavailable(
            'The task asks for a GPU (device = "cuda"), and this machine shows none: '
            f"{DEVICES}/nvidiactl, {DEVICES}/nvidia-uvm and {DEVICES}/nvidia0 must be there. Run a "
            "worker on a machine with an NVIDIA GPU and its driver, and give its container the "
            "device files; or take `device` out of the task's file."
        )
    return found
