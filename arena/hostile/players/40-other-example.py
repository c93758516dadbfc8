"""
number = 40
name = "Charging queries to examples that do not exist, past the library"
roles = ["attack"]
stopped_by = ["referee"]
ends = "out_of_range"
checks = ["within_budget"]
"""

import numpy as np
from hostile import HonestAttack, frame, say, send, wait

from arena.wire import Op


class Attack(HonestAttack):
    def attack(self, challenge):
        say("TRIED")
        x = np.ascontiguousarray(challenge.x)
        numbers = np.full(len(x), -1, np.int64)
        head = frame(Op.ASK, 1, arrays=((1, x.shape), (2, numbers.shape)))
        send(head + x.tobytes() + numbers.tobytes())
        wait()
