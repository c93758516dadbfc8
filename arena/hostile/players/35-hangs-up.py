"""
number = 35
name = "Hanging up one half of the stream, and going on for a while"
roles = ["attack", "defense"]
stopped_by = ["frames"]
ends = "crashed"
"""

import os
import socket
import time

from hostile import players_at_play


def attempt():
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, os.dup(3))
    stream.shutdown(socket.SHUT_WR)
    time.sleep(0.2)
    os._exit(0)
    yield


Attack, Defense = players_at_play(attempt)
