"""
number = 46
name = "A stochastic defense that draws from more than its seeds"
roles = ["defense"]
stopped_by = ["referee"]
ends = ["rows_depend_on_each_other", "not_deterministic"]
manifest = { stochastic = true }
"""

import os

import numpy as np
from hostile import HonestDefense, say


class Defense(HonestDefense):
    def predict(self, x, seeds):
        say("TRIED")
        noise = np.frombuffer(os.urandom(10 * len(x)), np.uint8).reshape(len(x), 10)
        return super().predict(x) + noise / np.float32(64)
