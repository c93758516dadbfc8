"""
number = 39
name = "A little more than epsilon, a little outside of [0, 1]"
roles = ["attack"]
stopped_by = ["referee"]
ends = "scored"
checks = ["all_rejected"]
"""

import numpy as np
from hostile import HonestAttack, say


class Attack(HonestAttack):
    def attack(self, challenge):
        """Every row breaks a rule by less than one would see."""
        say("TRIED")
        x = challenge.x.astype(np.float64)
        signs = challenge.rng().choice([-1.0, 1.0], x.shape)
        over = np.clip(x + challenge.epsilon * 1.001 * signs, 0, 1)
        over[1::3] = x[1::3]
        over[1::3].reshape(-1, x[0].size)[:, 0] = np.nextafter(np.float32(1), np.float32(2))
        over[2::3] = x[2::3]
        over[2::3].reshape(-1, x[0].size)[:, 0] = -1e-30
        return over.astype(np.float32)
