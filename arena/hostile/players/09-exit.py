"""
number = 9
name = "Leaving without a word in the middle of a query"
roles = ["attack", "defense"]
stopped_by = ["frames"]
ends = "crashed"
"""

import os

from hostile import players_at_play


def attempt():
    os._exit(0)
    yield


Attack, Defense = players_at_play(attempt)
