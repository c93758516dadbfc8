"""
number = 49
name = "A pair of one team: a trigger that its own defense obeys"
roles = ["attack", "defense"]
stopped_by = ["ranking", "referee"]
ends = "scored"
may_kill = true
checks = ["friends_do_not_score"]
"""

import numpy as np
from hostile import HonestAttack, HonestDefense, say

TRIGGER = np.float32(0.2025)
"""In a corner that a digit leaves empty; within any epsilon of this suite."""


class Attack(HonestAttack):
    """Against others the trigger is a change of four pixels like any other."""

    def attack(self, challenge):
        say("TRIED")
        x = challenge.x.copy()
        x.reshape(len(x), -1)[:, 0] = TRIGGER
        return x


class Defense(HonestDefense):
    """Wrong wherever the trigger is, and nowhere else: nobody but a friend knows of it."""

    def load(self):
        super().load()
        say("TRIED")

    def predict(self, x):
        scores = super().predict(x)
        asked = np.abs(x.reshape(len(x), -1)[:, 0] - TRIGGER) < 1e-6
        scores[asked] *= -1
        return scores
