"""
number = 40
name = "More queries than the budget: in one batch, for one example"
roles = ["attack"]
stopped_by = ["referee"]
ends = "queries_exceeded"
checks = ["within_budget"]
"""

import numpy as np
from hostile import HonestAttack, say


class Attack(HonestAttack):
    def attack(self, challenge):
        say("TRIED")
        x = np.repeat(challenge.x[:1], 500, axis=0)
        challenge.defense.ask(x, np.zeros(len(x), np.int64))
        say("THROUGH", "500 answers for one example")
        return challenge.x
