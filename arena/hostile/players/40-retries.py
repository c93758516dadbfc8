"""
number = 40
name = "More queries than the budget: after refusals, for other examples, by other questions"
roles = ["attack"]
stopped_by = ["referee"]
ends = "scored"
checks = ["within_budget"]
"""

import numpy as np
from hostile import HonestAttack, say

from arena.errors import InGameError

GRANTED = 4


class Attack(HonestAttack):
    def attack(self, challenge):
        say("TRIED")
        defense, x, answered = challenge.defense, challenge.x, 0
        for _ in range(10):
            for rows in (np.arange(len(x)), np.zeros(1, np.int64), np.arange(3)):
                try:
                    defense.ask(x[rows], rows)
                    answered += len(rows)
                except InGameError:
                    pass
        if answered > GRANTED * len(x):
            say("THROUGH", f"{answered} answers")
        labels = np.zeros(len(x), np.int64)
        for name, call in {
            "logits": lambda: defense.logits(x),
            "a gradient": lambda: defense.gradient(x, labels),
            "feedback": lambda: defense.check(x),
        }.items():
            try:
                call()
                say("THROUGH", name)
            except InGameError:
                pass
        return x
