"""Removes the slope of a least-squares line by the smallest change there is, in closed form.

The slope is b = sum d y / sum d^2 with d = t - mean t, so a change δ removes it where sum d δ =
-b sum d^2. The smallest one follows from Hoelder's inequality:

    L2:  δ = -b d,                       of size |b| ||d||
    L∞:  δ = -b (sum d^2 / sum |d|) sign(d)

It goes all the way where the budget allows, and as far as it allows where not. What would leave
[0, 1] is cut off, and made up for by the others as far as the budget goes. Against other estimators
it is a guess, since their slope is near that of least squares: so it goes ``beyond`` it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import Poisoner, TrendChallenge

MANIFEST = """
schema_version = 1
name = "Level the trend"
role = "poisoner"
framework = "numpy"
entry = "player.py:LevelTrend"
family = "closed form"
description = "The smallest change in L2 or L∞ that removes the slope of a least-squares line."

[needs]
games = ["trend_poisoning"]
norms = ["l2", "linf"]
"""

Floats = NDArray[np.float64]


class LevelTrend(Poisoner):
    """``beyond``: how much of the slope is removed, at most; 1 and a hair is exact for least
    squares."""

    beyond = 1.0 + 1e-7
    rounds = 50

    def poison_trend(self, challenge: TrendChallenge) -> Floats:
        y = challenge.values
        for rows in challenge.series():
            t = challenge.x[rows, 0].astype(np.float64)
            y[rows] = self._levelled(t, y[rows], challenge.norm, challenge.epsilon)
        return y

    def _levelled(self, t: Floats, y: Floats, norm: str, epsilon: float) -> Floats:
        d = t - t.mean()
        direction = d if norm == "l2" else np.sign(d)
        wanted = float(self.options.get("beyond", self.beyond)) * float(d @ y)
        moved = y.copy()
        for _ in range(self.rounds):
            left = wanted - float(d @ (y - moved))
            if abs(left) <= 1e-12:
                break
            reached = moved - left / float(d @ direction) * direction
            inside = np.clip(_within(reached - y, norm, epsilon) + y, 0.0, 1.0)
            if np.array_equal(inside, moved):
                break
            moved = inside
        return moved


def _within(delta: Floats, norm: str, epsilon: float) -> Floats:
    """The nearest change of that size."""
    if norm == "linf":
        return np.clip(delta, -epsilon, epsilon)
    size = float(np.linalg.norm(delta))
    return delta * min(1.0, epsilon / size) if size > 0 else delta
