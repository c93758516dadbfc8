"""
number = 46
name = "A defense that draws at random without saying so"
roles = ["defense"]
stopped_by = ["referee"]
ends = ["rows_depend_on_each_other", "not_deterministic"]
"""

import os

import numpy as np
from hostile import HonestDefense, say


class Defense(HonestDefense):
    def predict(self, x):
        say("TRIED")
        noise = np.frombuffer(os.urandom(10 * len(x)), np.uint8).reshape(len(x), 10)
        return super().predict(x) + noise / np.float32(64)
