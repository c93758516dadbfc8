"""
number = 15
name = "Signals to everybody, the parent, the referee"
roles = ["attack", "defense"]
stopped_by = ["seccomp", "namespaces"]
ends = "scored"
"""

import os
import signal

from hostile import CANARY, players, syscall, through

HARMLESS = signal.SIGURG
"""Ignored where nobody asked for it: it proves the same, and ends nobody should a wall fail."""


def attempt():
    for pid in (-1, 0, 1, os.getppid(), -os.getpgrp(), CANARY["pid"]):
        yield from through(f"kill {pid}", lambda p=pid: os.kill(p, HARMLESS))
    for pid in (1, os.getppid(), CANARY["pid"]):
        yield from through(f"tkill {pid}", lambda p=pid: syscall("tkill", p, HARMLESS))
        yield from through(
            f"queue {pid}", lambda p=pid: syscall("rt_sigqueueinfo", p, HARMLESS, bytes(128))
        )


Attack, Defense = players(attempt)
