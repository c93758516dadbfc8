"""
number = 9
name = "Recursion until the stack ends"
roles = ["attack", "defense"]
stopped_by = ["rlimits", "referee"]
ends = "crashed"
"""

import sys

from hostile import players_at_play


def attempt():
    sys.setrecursionlimit(10**8)
    deeper([])
    yield "a stack without end"


def deeper(value):
    return deeper([value].__class__(map(deeper, [value])))


Attack, Defense = players_at_play(attempt)
