"""
number = 43
name = "A defense that pairs what was attacked with its clean twin"
roles = ["defense"]
stopped_by = ["referee"]
ends = "scored"
"""

import numpy as np
from hostile import HonestDefense, say

EPSILON = 0.3
CLOSE = 1e-5


class Defense(HonestDefense):
    """Knows its phase by what it was asked: the oracle's process sees twins, and may."""

    def load(self):
        super().load()
        say("TRIED")
        self.seen = np.zeros((0, 64), np.float32)
        self.probed = False

    def predict(self, x):
        rows = x.reshape(len(x), -1)
        # Of two distinct digits none are within epsilon of each other in every pixel.
        self.seen = np.unique(np.r_[self.seen, rows], axis=0)
        far = np.abs(self.seen[:, None] - self.seen[None]).max(axis=2)
        twins = int(((far > CLOSE) & (far <= EPSILON + CLOSE)).sum() // 2)
        on_grid = float((np.abs(self.seen * 16 - np.rint(self.seen * 16)) < CLOSE).all(1).mean())
        if twins and 0 < on_grid < 1:  # a process that met both a clean example and its x'
            say("THROUGH", f"{twins} of {len(self.seen)} inputs are twins of others")
        return super().predict(x)
