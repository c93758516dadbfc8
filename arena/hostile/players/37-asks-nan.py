"""
number = 37
name = "Asking the oracle about NaN, past the library that would have refused"
roles = ["attack"]
stopped_by = ["referee"]
ends = "not_finite"
"""

import numpy as np
from hostile import HonestAttack, frame, say, send, wait

from arena.wire import Op


class Attack(HonestAttack):
    def attack(self, challenge):
        say("TRIED")
        x = np.full(challenge.x.shape, np.nan, np.float32)
        numbers = np.arange(len(x), dtype=np.int64)
        head = frame(Op.ASK, 1, arrays=((1, x.shape), (2, numbers.shape)))
        send(head + x.tobytes() + numbers.tobytes())
        wait()
