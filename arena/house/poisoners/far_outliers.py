"""Far outliers: corners of the input box that a linear model of the data gets most wrong.

Steinhardt, Koh & Liang 2017, algorithm 1, without a sanitisation constraint: in each round a
softmax regression takes a few gradient steps on S and the poison so far, and the point of highest
loss is added. For a linear model that point is a corner of the box: for label y and rival k,
x_j = 1 where w_k,j > w_y,j and 0 elsewhere. The surrogate is fitted on S alone, so that nothing
of the learner is needed. Features that are zero all over S stay zero: on them a learner could
set the poison apart at no cost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import Poison, Poisoner, PoisoningChallenge

MANIFEST = """
schema_version = 1
name = "Far outliers"
role = "poisoner"
framework = "numpy"
entry = "player.py:FarOutliers"
family = "far outliers"
description = "Corner points of the input box under the label that fits them least."
"""

Array = NDArray[np.float64]


class FarOutliers(Poisoner):
    """``rounds`` distinct corners, repeated until the budget is spent."""

    rounds = 20
    steps = 15

    def poison(self, challenge: PoisoningChallenge) -> Poison:
        surrogate = _Surrogate(challenge.x, challenge.y, len(challenge.task.classes))
        weight = challenge.count / self.rounds
        for _ in range(self.rounds):
            surrogate.descend(self.steps)
            surrogate.add(*surrogate.worst_corner(), weight=weight)
        turn = np.arange(challenge.count) % self.rounds
        points = np.stack(surrogate.corners)[turn].reshape(-1, *challenge.x.shape[1:])
        labels = np.array(surrogate.labels, np.int64)[turn]
        replaces = None
        if challenge.mode == "replace":
            replaces = challenge.rng().choice(len(challenge.x), challenge.count, replace=False)
        return Poison(points.astype(np.float32), labels, replaces)


class _Surrogate:
    """Softmax regression on S and the weighted poison, by plain gradient descent."""

    def __init__(self, x: NDArray[np.float32], y: NDArray[np.int64], classes: int) -> None:
        flat = x.reshape(len(x), -1).astype(np.float64)
        self.live = flat.max(axis=0) > 0
        self.m = len(x)
        self.features = np.concatenate([flat, np.ones((len(x), 1))], axis=1)
        self.onehot = np.eye(classes)[y]
        self.sizes = np.ones(len(x))
        self.curvature = float(np.linalg.norm(self.features, 2) ** 2) / (2 * self.m)
        self.weights = np.zeros((self.features.shape[1], classes))
        self.corners: list[Array] = []
        self.labels: list[int] = []

    def descend(self, steps: int) -> None:
        for _ in range(steps):
            residual = (_softmax(self.features @ self.weights) - self.onehot) * self.sizes[:, None]
            self.weights -= self.features.T @ residual / self.m / self.curvature

    def worst_corner(self) -> tuple[Array, int]:
        """The corner and label whose margin the current weights get most wrong."""
        classes = self.weights.shape[1]
        best = (-np.inf, np.zeros(0), 0)
        for label in range(classes):
            for rival in (k for k in range(classes) if k != label):
                slope = self.weights[:-1, rival] - self.weights[:-1, label]
                corner = ((slope > 0) & self.live).astype(np.float64)
                offset = self.weights[-1, rival] - self.weights[-1, label]
                best = max(best, (float(corner @ slope + offset), corner, label), key=_first)
        return best[1], best[2]

    def add(self, corner: Array, label: int, *, weight: float) -> None:
        self.corners.append(corner)
        self.labels.append(label)
        row = np.append(corner, 1.0)
        self.features = np.vstack([self.features, row])
        self.onehot = np.vstack([self.onehot, np.eye(self.onehot.shape[1])[label]])
        self.sizes = np.append(self.sizes, weight)
        self.curvature += weight * float(row @ row) / (2 * self.m)


def _first(item: tuple[float, Array, int]) -> float:
    return item[0]


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares
