"""
number = 37
name = "NaN and infinity: as scores, as adversarial inputs"
roles = ["attack", "defense"]
stopped_by = ["referee"]
ends = { attack = "scored", defense = "not_finite" }
checks = ["all_rejected"]
"""

import numpy as np
from hostile import HonestAttack, HonestDefense, say


class Attack(HonestAttack):
    def attack(self, challenge):
        say("TRIED")
        x = challenge.x.copy()
        x[::2].fill(np.nan)
        x[1::2, 0] = np.inf
        return x


class Defense(HonestDefense):
    def predict(self, x):
        say("TRIED")
        scores = super().predict(x)
        scores[0, 0] = np.nan
        return scores
