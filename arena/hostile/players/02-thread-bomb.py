"""
number = 2
name = "Thread bomb"
roles = ["attack", "defense"]
stopped_by = ["rlimits", "cgroup"]
ends = "scored"
"""

import threading

from hostile import players

MOST = 1000
"""Far more than any machine's limit of this suite, far fewer than would hurt one."""


def attempt():
    threading.stack_size(2**16)
    hold, count = threading.Event(), 0
    try:
        while count < MOST:
            threading.Thread(target=hold.wait, daemon=True).start()
            count += 1
    except (RuntimeError, MemoryError):
        pass
    hold.set()
    if count == MOST:
        yield f"{count} threads"


Attack, Defense = players(attempt)
