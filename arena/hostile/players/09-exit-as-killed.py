"""
number = 9
name = "Leaving with the status of a process that somebody else has ended"
roles = ["attack", "defense"]
stopped_by = ["referee"]
ends = "crashed"
"""

import os
import signal

from hostile import players_at_play

BY_SIGNAL = 128


def attempt():
    """A match whose jail was ended from outside is nobody's fault, and is played again."""
    os._exit(BY_SIGNAL + signal.SIGKILL)
    yield


Attack, Defense = players_at_play(attempt)
