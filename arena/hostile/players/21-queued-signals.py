"""
number = 21
name = "Signals through the number of signals in a queue, which is counted by user"
roles = ["attack", "defense"]
stopped_by = ["rlimits"]
ends = "scored"

[known]
gvisor = "its kernel is one jail's own, and bounds each queue by itself"
"""

import os
import signal
import threading

from hostile import players, syscall, through

MOST = 200_000


def attempt():
    """As many as there is room for: who finds less room than usual knows that another filled it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN + 6})
    queued = 0
    while queued < MOST and list(through("a signal", queue)):
        queued += 1
    if queued:
        yield f"{queued} signals in the queue"


def queue():
    return syscall("tgkill", os.getpid(), threading.get_native_id(), signal.SIGRTMIN + 6)


Attack, Defense = players(attempt)
