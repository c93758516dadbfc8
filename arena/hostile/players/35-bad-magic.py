"""
number = 35
name = "Bytes that are no frame"
roles = ["attack", "defense"]
stopped_by = ["frames"]
ends = "protocol"
"""

from hostile import players_at_play, send, wait


def attempt():
    send(b"GET / HTTP/1.1\r\n" * 20)
    wait()
    yield


Attack, Defense = players_at_play(attempt)
