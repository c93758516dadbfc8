"""
number = 43
name = "A defense that answers rows alone otherwise than rows in company"
roles = ["defense"]
stopped_by = ["referee"]
ends = "rows_depend_on_each_other"
"""

from hostile import HonestDefense, say


class Defense(HonestDefense):
    def predict(self, x):
        """Robust in the batches of a judge, whatever it costs whoever asks row by row."""
        say("TRIED")
        scores = super().predict(x)
        return scores if len(x) > 1 else -scores
