"""One processor for the processes of a match that speak strictly in turn.

A question goes from attack to referee to defense, and its answer back: whichever works, the others
wait. On processors of their own each of the four messages wakes one that had gone to sleep; on the
same one it is a switch between processes, which takes half the time (``make bench-sandbox``). So
they are gathered once an attack has asked some questions, and not while a match is set up.

A claim is an abstract socket of the processor's number: atomic, seen by all workers of a network
namespace, and given back by the kernel when this process ends, however it ends. Workers in other
containers do not see it: any free one is drawn, so that two of them seldom meet. Where every
processor is claimed, or there is but one, the kernel goes on placing them as it likes.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClaimedProcessor:
    """``number`` is this match's until ``release``; other processes may still run there."""

    number: int
    claim: socket.socket

    def take(self, pid: int) -> None:
        """Have a process, and what it starts from now on, run here; in vain once it is gone."""
        with suppress(OSError):
            os.sched_setaffinity(pid, {self.number})

    def release(self) -> None:
        self.claim.close()


def claim() -> ClaimedProcessor | None:
    """One that no other match has, of those that this process may use; None where there is none."""
    usable = list(os.sched_getaffinity(0))
    random.shuffle(usable)
    return _first_free(usable) if len(usable) > 1 else None


def _first_free(numbers: Sequence[int]) -> ClaimedProcessor | None:
    for number in numbers:
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            held.bind(f"\0arena-processor-{number}")
        except OSError:
            held.close()
        else:
            return ClaimedProcessor(number, held)
    return None
