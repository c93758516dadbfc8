"""
number = 9
name = "A null pointer"
roles = ["attack", "defense"]
stopped_by = ["referee"]
ends = "crashed"
"""

import ctypes

from hostile import players_at_play


def attempt():
    ctypes.string_at(8)
    yield "read at address 8"


Attack, Defense = players_at_play(attempt)
