"""Turns a least-squares line by a few points: those farthest from the middle, moved to the edge.

The slope is b = sum d y / sum d^2 with d = t - mean t: a point at t moved by δ changes it by
d δ / sum d^2. In L0 (so many points) the best move of a point goes to 0 or 1, whichever is against
the trend, so the points with the largest d δ are taken; in L1 the cheapest are those with the
largest |d|, each moved to the edge before the next is touched. The last point is moved only so far
that the slope is gone.

What a robust line withstands: it does not ask how far a point has gone (Theil 1950, Huber 1964).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import Poisoner, TrendChallenge

MANIFEST = """
schema_version = 1
name = "A few points"
role = "poisoner"
framework = "numpy"
entry = "player.py:FewPoints"
family = "closed form"
description = "Moves few points, far out in time, to the edge until a least-squares line is level."

[needs]
games = ["trend_poisoning"]
norms = ["l0", "l1"]
"""

Floats = NDArray[np.float64]


class FewPoints(Poisoner):
    """``beyond``: how much of the slope is removed; twice it is turned around, and so on."""

    beyond = 1.0 + 1e-7

    def poison_trend(self, challenge: TrendChallenge) -> Floats:
        y = challenge.values
        for rows in challenge.series():
            t = challenge.x[rows, 0].astype(np.float64)
            y[rows] = self._turned(t - t.mean(), y[rows], challenge.norm, challenge.epsilon)
        return y

    def _turned(self, d: Floats, y: Floats, norm: str, epsilon: float) -> Floats:
        wanted = float(self.options.get("beyond", self.beyond)) * float(d @ y)
        edge = np.where(d * wanted > 0, 0.0, 1.0)
        room = edge - y
        gain = np.abs(d * room)
        order = np.argsort(-gain if norm == "l0" else -np.abs(d), kind="stable")
        moved, left = y.copy(), abs(wanted)
        budget = epsilon
        for point in order:
            if left <= 0 or budget <= 0 or gain[point] == 0:
                break
            share = min(1.0, left / gain[point])
            if norm == "l1":
                share = min(share, budget / abs(room[point]))
            moved[point] += share * room[point]
            left -= share * gain[point]
            budget -= 1 if norm == "l0" else share * abs(room[point])
        return np.clip(moved, 0.0, 1.0)
