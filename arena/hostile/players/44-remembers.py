"""
number = 44
name = "A defense that remembers what it was asked"
roles = ["defense"]
stopped_by = ["referee"]
ends = ["rows_depend_on_each_other", "not_deterministic"]
"""

from hostile import HonestDefense, say


class Defense(HonestDefense):
    """Right the first time that it meets an input, contrary to that ever after."""

    def load(self):
        super().load()
        say("TRIED")
        self.met = set()

    def predict(self, x):
        scores = super().predict(x)
        for row, scored in zip(x, scores, strict=True):
            if row.tobytes() in self.met:
                scored *= -1
            self.met.add(row.tobytes())
        return scores
