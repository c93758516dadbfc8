"""The median of the slopes between all pairs of points: a trend that few points cannot turn.

    b = median over i < j of (y_j - y_i) / (t_j - t_i),   f(t) = median(y - b t) + b t

Theil 1950; Sen 1968. It holds as long as fewer than 1 - 1/sqrt 2 = 29 % of the points are moved,
wherever they are moved to.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import Learner

MANIFEST = """
schema_version = 1
name = "Theil-Sen"
role = "learner"
framework = "numpy"
entry = "player.py:TheilSenTrend"
family = "robust regression"
description = "The median slope between pairs of points; at most 400 points are paired."

[needs]
games = ["trend_poisoning"]
"""

Floats = NDArray[np.float64]


class TheilSenTrend(Learner):
    """``most`` points are paired; of a longer series so many are drawn."""

    most = 400

    def fit(self, x: NDArray[np.float32], y: Floats, seed: int) -> None:
        rows = np.random.default_rng(seed).permutation(len(y))[: self.most]
        t, values = x[rows, 0].astype(np.float64), y[rows]
        one, other = np.triu_indices(len(t), 1)
        apart = t[other] != t[one]
        one, other = one[apart], other[apart]
        self.slope = float(np.median((values[other] - values[one]) / (t[other] - t[one])))
        self.level = float(np.median(values - self.slope * t))

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return (self.level + self.slope * x[:, :1].astype(np.float64)).astype(np.float32)
