"""
number = 36
name = "A header that claims four thousand million bytes of text"
roles = ["attack", "defense"]
stopped_by = ["frames"]
ends = "protocol"
checks = ["referee_stays_small"]
"""

from hostile import frame, players_at_play, request, send, wait

from arena.wire import Op


def attempt():
    send(frame(Op.FAILED, request(), meta=2**32 - 1) + b"[" * 2**16)
    wait()
    yield


Attack, Defense = players_at_play(attempt)
