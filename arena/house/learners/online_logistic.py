"""Softmax regression by stochastic gradient descent, a batch at a time: the undefended online one.

    W <- W - η_t (x^T (softmax(x W) - onehot(y)) / b + decay W),    η_t = η_0 / sqrt(t)

Zinkevich 2003 (online convex programming). A few passes are made over each batch and none over
what came before; predictions are those of the mean of the iterates (Polyak & Juditsky 1992).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import Learner

MANIFEST = """
schema_version = 1
name = "Online softmax regression"
role = "learner"
framework = "numpy"
entry = "player.py:OnlineLogistic"
family = "logistic regression"
description = "Stochastic gradient descent, one batch after the other; every point counts alike."
"""

Array = NDArray[np.float64]


class OnlineLogistic(Learner):
    """Learns from what comes; forgets slowly what was before."""

    rate = 0.5
    decay = 1e-4
    size = 16
    passes = 3

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int64], seed: int) -> None:
        """One stream of twenty batches in an order that hangs on the seed."""
        self.start(seed)
        order = np.random.default_rng(seed).permutation(len(x))
        for rows in np.array_split(order, 20):
            self.update(x[rows], y[rows])

    def start(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.weights: Array | None = None
        self.steps = 0

    def update(self, x: NDArray[np.float32], y: NDArray[np.int64]) -> None:
        """One batch of any size."""
        if not len(x):
            return
        features, onehot = _with_ones(x), np.eye(len(self.task.classes))[y]
        if self.weights is None:
            self.weights = np.zeros((features.shape[1], onehot.shape[1]))
            self.mean = self.weights.copy()
        for _ in range(self.passes):
            order = self.draw.permutation(len(features))
            for rows in np.array_split(order, max(1, len(order) // self.size)):
                self._descend(features[rows], onehot[rows])

    def _descend(self, features: Array, onehot: Array) -> None:
        assert self.weights is not None
        self.steps += 1
        residual = _softmax(features @ self.weights) - onehot
        length = max(1.0, float((features**2).sum(axis=1).mean()))
        slope = features.T @ residual / len(features) + self.decay * self.weights
        self.weights = self.weights - self.rate * 10 / length / np.sqrt(self.steps) * slope
        share = min(1.0, 10 / self.steps)
        self.mean = (1 - share) * self.mean + share * self.weights

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Before the first batch every class scores alike."""
        if self.weights is None:
            return np.zeros((len(x), len(self.task.classes)), np.float32)
        return (_with_ones(x) @ self.mean).astype(np.float32)


def _with_ones(x: NDArray[np.float32]) -> Array:
    flat = x.reshape(len(x), -1).astype(np.float64)
    return np.concatenate([flat, np.ones((len(x), 1))], axis=1)


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares
