"""
number = 42
name = "Blaming the referee, or the other side, for its own end"
roles = ["attack", "defense"]
stopped_by = ["frames"]
ends = "protocol"
"""

import json

from hostile import frame, players, request, send, wait

from arena.wire import Op

BLAME = json.dumps({"kind": "lockdown", "traceback": "RefereeError: the arena is broken"}).encode()


def attempt():
    send(frame(Op.FAILED, request(), meta=len(BLAME)) + BLAME)
    wait()
    yield


Attack, Defense = players(attempt)
