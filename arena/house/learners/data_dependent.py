"""Data-dependent sanitisation: sphere and slab about the means of the very data that is poisoned.

Steinhardt, Koh & Liang 2017 (arXiv:1706.03691), sections 2 and 3.3. For each class y, with mean
μ_y, and each other class k, kept are the points with

    ||x - μ_y||_2 <= r_y      and      |<x - μ_y, μ_y - μ_k>| <= s_yk

where r_y and s_yk are the medians of the left-hand sides over the class and a few median absolute
deviations, which less than half of a class cannot set. Then a linear model of least hinge loss
(Crammer & Singer 2001) with weight decay. The means are moved by the poison that they are to
judge: that is the weakness which the paper shows, and an oracle that knows the clean ones has not.
An oracle is made of this learner by a file ``means.npz`` (means, radii, slabs) in its package.

Where the attacker moves first, the sizes follow the share that may be poisoned.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import Learner

MANIFEST = """
schema_version = 1
name = "Data-dependent sanitisation"
role = "learner"
framework = "numpy"
entry = "player.py:DataDependent"
family = "linear, hinge loss"
description = "Drops points far from their class's mean, or across, then least hinge loss."
"""

Array = NDArray[np.float64]


class DataDependent(Learner):
    """Keeps what lies where its class does, as the data itself tells."""

    deviations = 5.0
    iterations = 200
    decay = 1e-3

    def choose(
        self, x: NDArray[np.float32], y: NDArray[np.int64], *, share: float, mode: str
    ) -> None:
        """The more may be poison, the closer a point must lie."""
        self.deviations = 5.0 if share < 0.05 else 2.0 if share < 0.2 else 1.0

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int64], seed: int) -> None:
        """The seed draws a bootstrap of what was kept."""
        flat = x.reshape(len(x), -1).astype(np.float64)
        kept = self.kept(flat, y)
        kept = kept if len(np.unique(y[kept])) == len(np.unique(y)) else np.ones(len(y), bool)
        rows = np.random.default_rng(seed).choice(np.flatnonzero(kept), int(kept.sum()))
        features = np.concatenate([flat[rows], np.ones((len(rows), 1))], axis=1)
        self.weights = least_hinge(
            features, y[rows], len(self.task.classes), steps=self.iterations, decay=self.decay
        )

    def kept(self, flat: Array, y: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(m,) whether each point lies in the sphere and the slabs of its class."""
        path = self.package / "means.npz"
        if path.is_file():
            return _inside(flat, y, *_matched(flat, y, dict(np.load(path))))
        labels = np.unique(y)
        means = {int(k): flat[y == k].mean(axis=0) for k in labels}
        radii, slabs = sizes_of(flat, y, means, self.deviations)
        return _inside(flat, y, means, radii, slabs)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        flat = x.reshape(len(x), -1).astype(np.float64)
        scores: NDArray[np.float32] = (flat @ self.weights[:-1] + self.weights[-1]).astype(
            np.float32
        )
        return scores


def sizes_of(
    flat: Array, y: NDArray[np.int64], means: dict[int, Array], deviations: float
) -> tuple[dict[int, float], dict[tuple[int, int], float]]:
    """Radii by class, and half widths of slabs by pair of classes."""
    radii: dict[int, float] = {}
    slabs: dict[tuple[int, int], float] = {}
    for k, mean in means.items():
        offsets = flat[y == k] - mean
        radii[k] = _usual(np.linalg.norm(offsets, axis=1), deviations)
        for other in (j for j in means if j != k):
            slabs[k, other] = _usual(np.abs(offsets @ (mean - means[other])), deviations)
    return radii, slabs


def _usual(values: Array, deviations: float) -> float:
    middle = np.median(values)
    return float(middle + deviations * np.median(np.abs(values - middle)))


def _inside(
    flat: Array,
    y: NDArray[np.int64],
    means: dict[int, Array],
    radii: dict[int, float],
    slabs: dict[tuple[int, int], float],
) -> NDArray[np.bool_]:
    kept = np.zeros(len(flat), bool)
    for k, mean in means.items():
        offsets = flat[y == k] - mean
        good = np.linalg.norm(offsets, axis=1) <= radii[k] + 1e-6
        for other in (j for j in means if j != k):
            good &= np.abs(offsets @ (mean - means[other])) <= slabs[k, other] + 1e-6
        kept[y == k] = good
    return kept


def _matched(
    flat: Array, y: NDArray[np.int64], known: dict[str, Array]
) -> tuple[dict[int, Array], dict[int, float], dict[tuple[int, int], float]]:
    """What an oracle knows, under the names that this match gives the classes.

    A class is the known one whose mean is nearest to the median of its points.
    """
    labels = np.unique(y)
    medians = np.stack([np.median(flat[y == k], axis=0) for k in labels])
    gaps = np.linalg.norm(medians[:, None] - known["means"][None], axis=2)
    name = {int(k): int(j) for k, j in zip(labels, gaps.argmin(axis=1), strict=True)}
    means = {k: known["means"][j] for k, j in name.items()}
    radii = {k: float(known["radii"][j]) for k, j in name.items()}
    slabs = {
        (k, other): float(known["slabs"][j, name[other]])
        for k, j in name.items()
        for other in name
        if other != k
    }
    return means, radii, slabs


def least_hinge(
    features: Array, y: NDArray[np.int64], classes: int, *, steps: int, decay: float
) -> Array:
    """(features, classes) weights of about least mean hinge loss.

    loss = max_k [k != y] + w_k.x - w_y.x, its maximum smoothed at a temperature of .1 (Nesterov
    2005), by accelerated gradient descent.
    """
    m, warmth = len(features), 0.1
    onehot = np.eye(classes)[y]
    curvature = float(np.linalg.norm(features, 2) ** 2) / (2 * m * warmth) + decay
    weights = np.zeros((features.shape[1], classes))
    ahead, momentum = weights, 1.0
    for _ in range(steps):
        margins = (features @ ahead + 1.0 - onehot) / warmth
        powers = np.exp(margins - margins.max(axis=1, keepdims=True))
        pull = powers / powers.sum(axis=1, keepdims=True) - onehot
        step = ahead - (features.T @ pull / m + decay * ahead) / curvature
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = step + (momentum - 1) / following * (step - weights)
        weights, momentum = step, following
    return weights
