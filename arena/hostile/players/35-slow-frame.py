"""
number = 35
name = "A frame that comes a byte at a time, and never to its end"
roles = ["attack", "defense"]
stopped_by = ["clock", "frames"]
ends = { attack = "wall_time", defense = "query_latency" }
limits = { wall_seconds = 1, query_seconds = 0.5 }
"""

import time

from hostile import frame, players_at_play, send

from arena.wire import Op


def attempt():
    head = frame(Op.FAILED)
    for position in range(len(head) - 1):
        send(head[position : position + 1])
        time.sleep(0.1)
    time.sleep(1000)
    yield


Attack, Defense = players_at_play(attempt)
