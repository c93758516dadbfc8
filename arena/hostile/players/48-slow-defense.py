"""
number = 48
name = "A defense that takes long, so that the attack's time runs out"
roles = ["defense"]
stopped_by = ["clock"]
ends = "scored"
attack_limits = { wall_seconds = 2.5 }
"""

import time

from hostile import HonestDefense, say


class Defense(HonestDefense):
    """The honest attack asks four times: more of its clock than it has, were it its clock."""

    asked = 0

    def load(self):
        super().load()
        say("TRIED")

    def predict(self, x):
        self.asked += 1
        if self.asked <= 4 and len(x) > 1:
            time.sleep(0.8)
        return super().predict(x)
