"""The least-squares line: the trend that everybody draws, and the easiest to bend.

    b = sum (t - mean t) y / sum (t - mean t)^2,   f(t) = mean y + b (t - mean t)

Legendre 1805. Every point has a say, in proportion to its distance from the middle of the series:
one point moved far enough turns the line.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import Learner

MANIFEST = """
schema_version = 1
name = "Least squares"
role = "learner"
framework = "numpy"
entry = "player.py:OlsTrend"
family = "linear regression"
description = "The ordinary least-squares line through a series."

[needs]
games = ["trend_poisoning"]
"""

Floats = NDArray[np.float64]


class OlsTrend(Learner):
    """Of time, the first feature, alone."""

    def fit(self, x: NDArray[np.float32], y: Floats, seed: int) -> None:
        t = x[:, 0].astype(np.float64)
        self.middle, self.level = float(t.mean()), float(y.mean())
        centred = t - self.middle
        self.slope = float(centred @ y / (centred @ centred))

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        t = x[:, :1].astype(np.float64)
        return (self.level + self.slope * (t - self.middle)).astype(np.float32)
