"""
number = 40
name = "More queries than the budget: from many threads at once"
roles = ["attack"]
stopped_by = ["frames", "referee"]
ends = "protocol"
checks = ["within_budget"]
"""

import numpy as np
from hostile import HonestAttack, frame, say, send, wait

from arena.wire import Op


class Attack(HonestAttack):
    """Two questions of one number, before either is answered: what threads would do at best."""

    def attack(self, challenge):
        say("TRIED")
        x = np.ascontiguousarray(challenge.x)
        numbers = np.arange(len(x), dtype=np.int64)
        ask = frame(Op.ASK, 1, arrays=((1, x.shape), (2, numbers.shape)))
        send((ask + x.tobytes() + numbers.tobytes()) * 2)
        wait()
