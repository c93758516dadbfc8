"""Sphere sanitisation, then softmax regression.

Keeps the points with ||x - c_y||_2 <= r_y (Steinhardt, Koh & Liang 2017, eq. 4), with centre and
radius from the poisoned data itself: c_y the coordinate-wise median of class y, and r_y the median
distance to it plus five median absolute deviations. Medians hold while fewer than half of a class
is poisoned.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import Learner

MANIFEST = """
schema_version = 1
name = "Sphere sanitisation"
role = "learner"
framework = "numpy"
entry = "player.py:SphereSanitisation"
family = "logistic regression"
description = "Drops the points outside a sphere about each class's median, then fits softmax."
"""

Array = NDArray[np.float64]


class SphereSanitisation(Learner):
    """Far outliers are gone before training sees them."""

    iterations = 150
    decay = 1e-3
    deviations = 5.0

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int64], seed: int) -> None:
        kept = inside_spheres(x, y, deviations=self.deviations)
        rows = np.random.default_rng(seed).choice(np.flatnonzero(kept), int(kept.sum()))
        features, labels = _with_ones(x[rows]), y[rows]
        onehot = np.eye(len(self.task.classes))[labels]
        curvature = float(np.linalg.norm(features, 2) ** 2) / (2 * len(rows)) + self.decay
        weights = np.zeros((features.shape[1], onehot.shape[1]))
        ahead, momentum = weights, 1.0
        for _ in range(self.iterations):
            residual = _softmax(features @ ahead) - onehot
            step = ahead - (features.T @ residual / len(rows) + self.decay * ahead) / curvature
            following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            ahead = step + (momentum - 1) / following * (step - weights)
            weights, momentum = step, following
        self.weights = weights

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return (_with_ones(x) @ self.weights).astype(np.float32)


def inside_spheres(
    x: NDArray[np.float32], y: NDArray[np.int64], *, deviations: float
) -> NDArray[np.bool_]:
    """(m,) whether each point lies inside the sphere of its own class."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    kept = np.zeros(len(x), bool)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        distances = np.linalg.norm(flat[members] - np.median(flat[members], axis=0), axis=1)
        middle = np.median(distances)
        spread = np.median(np.abs(distances - middle))
        kept[members] = distances <= middle + deviations * spread
    return kept


def _with_ones(x: NDArray[np.float32]) -> Array:
    flat = x.reshape(len(x), -1).astype(np.float64)
    return np.concatenate([flat, np.ones((len(x), 1))], axis=1)


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares
