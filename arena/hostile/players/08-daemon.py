"""
number = 8
name = "Outliving the match: a double fork, and a thread that never ends"
roles = ["attack", "defense"]
stopped_by = ["seccomp", "namespaces", "clock"]
ends = "scored"
"""

import os
import threading
import time

from hostile import child_of, players, through


def attempt():
    yield from through("daemon", child_of(daemon))
    yield from through("session", os.setsid)
    threading.Thread(target=time.sleep, args=(10**6,), daemon=False).start()


def daemon():
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(10**6)
    return pid


Attack, Defense = players(attempt)
