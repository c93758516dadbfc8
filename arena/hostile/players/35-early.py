"""
number = 35
name = "Saying twice that it is loaded"
roles = ["attack", "defense"]
stopped_by = ["frames"]
ends = "protocol"
"""

from hostile import frame, players, request, send

from arena.wire import Op


def attempt():
    for _ in range(3):
        send(frame(Op.READY, request()))
    yield from ()


Attack, Defense = players(attempt)
