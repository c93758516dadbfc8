"""
number = 7
name = "Spinning with every signal ignored"
roles = ["attack", "defense"]
stopped_by = ["rlimits", "clock"]
ends = "cpu_time"
limits = { cpu_seconds = 1, wall_seconds = 60, query_seconds = 60 }
"""

import signal

from hostile import players


def attempt():
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            pass
    while True:
        pass
    yield


Attack, Defense = players(attempt)
