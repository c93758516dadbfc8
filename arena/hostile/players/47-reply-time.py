"""
number = 47
name = "Reading confidence off the time of a reply, in a round that gives labels alone"
roles = ["attack"]
stopped_by = ["referee"]
ends = "scored"
label_only = true
"""

import time

import numpy as np
from hostile import HonestAttack, say


class Attack(HonestAttack):
    """Labels are all that it is told, a whole number of milliseconds after it asked."""

    def attack(self, challenge):
        say("TRIED")
        spent = []
        for _ in range(4):
            started = time.perf_counter()
            replies = challenge.defense.ask(challenge.x)
            spent.append(time.perf_counter() - started)
            if replies.shape != (len(challenge.x),) or replies.dtype != np.int64:
                say("THROUGH", f"more than labels: {replies!r}")
        say("MEASURED", f"{min(spent) * 1e6:.0f} to {max(spent) * 1e6:.0f} µs a request")
        return challenge.x
