"""A user id for each jail that root starts: unprivileged, in nobody's use.

A claim is an abstract socket of that name: atomic, seen by all processes of the machine, and
given back by the kernel when this process ends, however it ends.
"""

from __future__ import annotations

import itertools
import os
import pwd
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from arena.errors import SandboxUnavailable

FIRST: Final = 61_600
"""Above what distributions and systemd-homed hand out, below nobody (65534)."""
COUNT: Final = 2_000
_turn = itertools.count()


@dataclass(frozen=True, slots=True)
class ClaimedUid:
    """``uid`` is this jail's alone until ``release``."""

    uid: int
    claim: socket.socket

    def release(self) -> None:
        self.claim.close()


def claim() -> ClaimedUid:
    """Claim a uid without a passwd entry.

    Raises:
        SandboxUnavailable: all are taken, or this container maps none of them.
    """
    start = os.getpid() * 16 + next(_turn)
    for step in range(COUNT):
        uid = FIRST + (start + step) % COUNT
        if _is_nobodys(uid) and (held := _claimed(uid)):
            return ClaimedUid(uid, held)
    raise SandboxUnavailable(f"No free user id between {FIRST} and {FIRST + COUNT - 1} for a jail.")


def _is_nobodys(uid: int) -> bool:
    with suppress(KeyError):
        pwd.getpwuid(uid)
        return False
    return True


def _claimed(uid: int) -> socket.socket | None:
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        held.bind(f"\0arena-jail-uid-{uid}")
    except OSError:
        held.close()
        return None
    return held
