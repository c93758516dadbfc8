"""
number = 42
name = "Success said in a field that a reply does not have"
roles = ["attack", "defense"]
stopped_by = ["frames"]
ends = "protocol"
"""

import numpy as np
from hostile import HonestAttack, HonestDefense, frame, request, say, send, wait

from arena.wire import Op

CLAIM = b'{"success": true, "broken": [true, true, true]}'


class Attack(HonestAttack):
    def attack(self, challenge):
        say("TRIED")
        head = frame(Op.CANDIDATES, request(), arrays=((1, challenge.x.shape),), meta=len(CLAIM))
        send(head + CLAIM + challenge.x.tobytes())
        wait()


class Defense(HonestDefense):
    def predict(self, x):
        say("TRIED")
        scores = np.ascontiguousarray(super().predict(x), np.float32)
        head = frame(Op.SCORES, request(), arrays=((1, scores.shape),), meta=len(CLAIM))
        send(head + CLAIM + scores.tobytes())
        wait()
