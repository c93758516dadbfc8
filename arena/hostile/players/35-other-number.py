"""
number = 35
name = "An answer to another request than the one that was made"
roles = ["attack", "defense"]
stopped_by = ["frames"]
ends = "protocol"
"""

import numpy as np
from hostile import HonestAttack, HonestDefense, frame, say, send, wait

from arena.wire import Op

LATER = 77


class Attack(HonestAttack):
    def attack(self, challenge):
        say("TRIED")
        head = frame(Op.CANDIDATES, LATER, arrays=((1, challenge.x.shape),))
        send(head + challenge.x.tobytes())
        wait()


class Defense(HonestDefense):
    def predict(self, x):
        say("TRIED")
        scores = np.ascontiguousarray(super().predict(x), np.float32)
        send(frame(Op.SCORES, LATER, arrays=((1, scores.shape),)) + scores.tobytes())
        wait()
