"""Huber's line: least squares for small residuals, least absolute deviations for large ones.

    min_{a, b}  sum rho(y - a - b t)
    rho(r) = r^2 / 2 where |r| <= k s,   k s |r| - (k s)^2 / 2 elsewhere

Huber 1964 (k = 1.345, 95 % as efficient as least squares for normal noise), by iteratively
reweighted least squares; the scale s is the median absolute residual / 0.6745, anew at each step.
A point moved far weighs little, though one far out in time still has its leverage.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import Learner

MANIFEST = """
schema_version = 1
name = "Huber's line"
role = "learner"
framework = "numpy"
entry = "player.py:HuberTrend"
family = "robust regression"
description = "A line that gives large residuals less weight (k = 1.345)."

[needs]
games = ["trend_poisoning"]
"""

Floats = NDArray[np.float64]


class HuberTrend(Learner):
    """At most ``steps`` reweightings; fewer where the line stands still."""

    steps = 100
    k = 1.345
    still = 1e-10

    def fit(self, x: NDArray[np.float32], y: Floats, seed: int) -> None:
        t = x[:, 0].astype(np.float64)
        self.level, self.slope = _weighted_line(t, y, np.ones(len(y)))
        for _ in range(self.steps):
            residual = np.abs(y - self.level - self.slope * t)
            scale = float(np.median(residual)) / 0.6745
            if scale == 0.0:
                return
            weights = np.minimum(1.0, self.k * scale / np.maximum(residual, 1e-300))
            before = self.level, self.slope
            self.level, self.slope = _weighted_line(t, y, weights)
            if np.abs(np.subtract(before, (self.level, self.slope))).max() < self.still:
                return

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return (self.level + self.slope * x[:, :1].astype(np.float64)).astype(np.float32)


def _weighted_line(t: Floats, y: Floats, weights: Floats) -> tuple[float, float]:
    """(level at t = 0, slope) of the weighted least-squares line."""
    middle, level = np.average(t, weights=weights), np.average(y, weights=weights)
    centred = weights * (t - middle)
    slope = float(centred @ y / (centred @ (t - middle)))
    return float(level - slope * middle), slope
