"""
number = 45
name = "A defense whose answers hang on the clock"
roles = ["defense"]
stopped_by = ["referee"]
ends = ["rows_depend_on_each_other", "not_deterministic"]
"""

import time

from hostile import HonestDefense, say


class Defense(HonestDefense):
    """Right in every other microsecond."""

    def predict(self, x):
        say("TRIED")
        scores = super().predict(x)
        return scores * (1 if time.time_ns() // 1000 % 2 else -1)
