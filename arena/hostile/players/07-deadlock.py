"""
number = 7
name = "Waiting for a lock that nobody gives back"
roles = ["attack", "defense"]
stopped_by = ["clock"]
ends = { attack = "wall_time", defense = "query_latency" }
limits = { wall_seconds = 1, query_seconds = 0.5 }
"""

import threading

from hostile import players_at_play


def attempt():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
    yield "a lock taken twice"


Attack, Defense = players_at_play(attempt)
