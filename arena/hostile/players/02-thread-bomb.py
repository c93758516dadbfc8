"""
number = 2
name = "Thread bomb"
roles = ["attack", "defense"]
stopped_by = ["rlimits", "cgroup"]
ends = "scored"
"""

import _thread

from hostile import players

MOST = 1000
"""Far more than any machine's limit of this suite, far fewer than would hurt one."""


def attempt():
    # Not threading.Thread: its start() waits for ever for a thread that found no memory to begin.
    _thread.stack_size(2**16)
    hold, count = _thread.allocate_lock(), 0
    hold.acquire()

    def wait():
        with hold:
            pass

    try:
        while count < MOST:
            _thread.start_new_thread(wait, ())
            count += 1
    except (RuntimeError, MemoryError):
        pass
    hold.release()
    if count == MOST:
        yield f"{count} threads"


Attack, Defense = players(attempt)
