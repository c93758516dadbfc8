"""
number = 35
name = "Answers that nobody asked for: two for one request, and one ahead of it"
roles = ["attack", "defense"]
stopped_by = ["frames"]
ends = "protocol"
"""

import numpy as np
from hostile import HonestAttack, HonestDefense, frame, request, say, send

from arena.wire import Op


class Attack(HonestAttack):
    """Plays the referee: an answer to its own question."""

    def attack(self, challenge):
        say("TRIED")
        send(frame(Op.ANSWER, 1, arrays=((1, challenge.x.shape),)) + challenge.x.tobytes())
        return challenge.x


class Defense(HonestDefense):
    def predict(self, x):
        say("TRIED")
        scores = np.ascontiguousarray(super().predict(x), np.float32)
        send(frame(Op.SCORES, request(), arrays=((1, scores.shape),)) + scores.tobytes())
        return scores
