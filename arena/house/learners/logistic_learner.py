"""Softmax regression, trained on whatever it is given: the undefended baseline.

    min_W  mean cross-entropy(softmax(x W + b), y) + (decay / 2) ||W||^2

Full-batch accelerated gradient descent (Nesterov 1983) with the step 1 / L of the loss's own
curvature bound L = lambda_max(X^T X) / (2 m) + decay, so that no learning rate is tuned.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import Learner

MANIFEST = """
schema_version = 1
name = "Softmax regression, undefended"
role = "learner"
framework = "numpy"
entry = "player.py:LogisticLearner"
family = "logistic regression"
description = "L2-regularised softmax regression on all points it is given."
"""

Array = NDArray[np.float64]


class LogisticLearner(Learner):
    """Trains on every point alike; far points weigh as much as near ones."""

    iterations = 150
    decay = 1e-3

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int64], seed: int) -> None:
        """x (m, *shape) in [0, 1], y (m,); the seed draws a bootstrap of the training set."""
        rows = np.random.default_rng(seed).integers(0, len(x), len(x))
        features = _with_ones(x[rows])
        classes = len(self.task.classes)
        self.weights = _descend(
            features, np.eye(classes)[y[rows]], iterations=self.iterations, decay=self.decay
        )

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return (_with_ones(x) @ self.weights).astype(np.float32)


def _with_ones(x: NDArray[np.float32]) -> Array:
    flat = x.reshape(len(x), -1).astype(np.float64)
    return np.concatenate([flat, np.ones((len(x), 1))], axis=1)


def _descend(features: Array, onehot: Array, *, iterations: int, decay: float) -> Array:
    m = len(features)
    curvature = float(np.linalg.norm(features, 2) ** 2) / (2 * m) + decay
    weights = np.zeros((features.shape[1], onehot.shape[1]))
    ahead, momentum = weights, 1.0
    for _ in range(iterations):
        slope = features.T @ (_softmax(features @ ahead) - onehot) / m + decay * ahead
        step = ahead - slope / curvature
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = step + (momentum - 1) / following * (step - weights)
        weights, momentum = step, following
    return weights


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares
