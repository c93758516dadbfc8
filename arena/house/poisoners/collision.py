"""Collision: points that stand where the chosen point stands, under the class that is wanted.

In free rounds the chosen point itself and its nearest neighbours of other classes get the wanted
label (label flipping near one point). In clean-label rounds the points of the wanted class that
lie nearest are moved towards the chosen point as far as the round allows, and keep their label:
feature collision (Shafahi et al. 2018, arXiv:1804.00792, eq. 1) in the space of inputs,

    x_b = argmin ||x - x_t||^2   subject to   |x - b| <= epsilon,   0 <= x <= 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import Poison, Poisoner, TargetedChallenge

MANIFEST = """
schema_version = 1
name = "Collision"
role = "poisoner"
framework = "numpy"
entry = "player.py:Collision"
family = "feature collision"
description = "Points at, or moved towards, the chosen point under the wanted class."

[needs]
games = ["targeted_poisoning"]
"""

Array = NDArray[np.float64]


class Collision(Poisoner):
    """Needs S and the chosen point alone."""

    def poison_target(self, challenge: TargetedChallenge) -> Poison:
        c = challenge
        flat = c.x.reshape(len(c.x), -1).astype(np.float64)
        goal = c.target_x.ravel().astype(np.float64)
        order = np.argsort(((flat - goal) ** 2).sum(axis=1), kind="stable")
        if c.epsilon is None:
            rows = order[c.y[order] != c.target][: c.count]
            x = c.x[rows]
            x[: max(1, len(rows) // 2)] = c.target_x
        else:
            rows = order[c.y[order] == c.target]
            rows = rows[: c.count] if c.mode == "replace" else np.resize(rows, c.count)
            delta = _within((goal - flat[rows]).reshape(-1, *c.x.shape[1:]), c)
            x = np.clip(c.x[rows] + delta, 0, 1).astype(np.float32)
        y = np.full(len(rows), c.target, np.int64)
        return Poison(x, y, rows if c.mode == "replace" else None)


def _within(delta: Array, challenge: TargetedChallenge) -> Array:
    """(n, *shape) moves cut to the round's size; a shorter way in the same direction."""
    size = float(challenge.epsilon or 0.0)
    if challenge.task.mutable is not None:
        delta = delta * challenge.task.mutable
    if challenge.norm == "linf":
        return np.clip(delta, -size, size)
    flat = np.abs(delta).reshape(len(delta), -1)
    if challenge.norm == "l0":
        pixels = np.abs(delta).max(axis=1) if delta.ndim == 4 else np.abs(delta)
        ranks = (-pixels.reshape(len(delta), -1)).argsort(axis=1, kind="stable").argsort(axis=1)
        kept = (ranks < int(size)).reshape(pixels.shape)
        fewest: Array = delta * (kept[:, None] if delta.ndim == 4 else kept)
        return fewest
    lengths = np.linalg.norm(flat, ord={"l2": 2, "l1": 1}[challenge.norm], axis=1)
    scale = np.minimum(1.0, size / np.maximum(lengths, 1e-12))
    shorter: Array = delta * scale.reshape(-1, *[1] * (delta.ndim - 1))
    return shorter
