"""
number = 38
name = "Probabilities that are negative, or do not sum to 1"
roles = ["defense"]
stopped_by = ["referee"]
ends = "out_of_range"
manifest = { output = "probabilities" }
"""

import numpy as np
from hostile import HonestDefense, say


class Defense(HonestDefense):
    def predict(self, x):
        say("TRIED")
        return np.where(super().predict(x) > 0.5, 3.0, -1.0)
