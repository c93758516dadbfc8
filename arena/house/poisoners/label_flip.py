"""Label flipping (Biggio, Nelson & Laskov 2011): honest points under the wrong label.

All flips go one way, from one class to the class nearest to it: that pushes the boundary, where
flips in both directions would cancel. Which class is tried on a surrogate, ridge regression on
one-hot labels, and the one whose flips cost the surrogate most of S is taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import Poison, Poisoner, PoisoningChallenge

MANIFEST = """
schema_version = 1
name = "Label flip"
role = "poisoner"
framework = "numpy"
entry = "player.py:LabelFlip"
family = "label flip"
description = "Repeats (or replaces) points of one class under the nearest class's label."
"""

RIDGE = 1.0
Array = NDArray[np.float64]


class LabelFlip(Poisoner):
    """Needs S alone."""

    def poison(self, challenge: PoisoningChallenge) -> Poison:
        options = [
            _flips(challenge, source, rival)
            for source, rival in _nearest_rivals(challenge.x, challenge.y)
        ]
        damages = [_damage(challenge, rows, labels) for rows, labels in options]
        rows, labels = options[int(np.argmax(damages))]
        replaces = rows if challenge.mode == "replace" else None
        return Poison(challenge.x[rows], labels, replaces)


def _flips(
    challenge: PoisoningChallenge, source: int, rival: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices into S and their wrong labels: first the source class, then what is left of it."""
    order = challenge.rng().permutation(len(challenge.x))
    members = order[challenge.y[order] == source]
    if challenge.mode == "add":
        rows = np.resize(members, challenge.count)
        return rows, np.full(len(rows), rival, np.int64)
    others = order[(challenge.y[order] != source) & (challenge.y[order] != rival)]
    rest = order[challenge.y[order] == rival]
    rows = np.concatenate([members, others, rest])[: challenge.count]
    labels = np.where(challenge.y[rows] == rival, source, rival)
    return rows, labels.astype(np.int64)


def _nearest_rivals(x: NDArray[np.float32], y: NDArray[np.int64]) -> list[tuple[int, int]]:
    """(class, the class whose mean is nearest to its own) for each class present."""
    present = np.unique(y)
    means = np.stack([x[y == label].mean(axis=0).ravel() for label in present])
    gaps = np.linalg.norm(means[:, None] - means[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    return [(int(present[i]), int(present[j])) for i, j in enumerate(gaps.argmin(axis=1))]


def _damage(
    challenge: PoisoningChallenge, rows: NDArray[np.int64], labels: NDArray[np.int64]
) -> float:
    """The share of S that ridge regression on S and the flips gets wrong."""
    x, y = challenge.x, challenge.y
    flat = np.concatenate([x.reshape(len(x), -1), np.ones((len(x), 1))], axis=1, dtype=np.float64)
    onehot = np.eye(int(y.max()) + 1)
    sizes = np.ones(len(x)) if challenge.mode == "add" else _without(len(x), rows)
    features = np.concatenate([flat, flat[rows]])
    weighted = features * np.concatenate([sizes, np.ones(len(rows))])[:, None]
    targets = np.concatenate([onehot[y], onehot[labels]])
    weights = np.linalg.solve(
        features.T @ weighted + RIDGE * np.eye(features.shape[1]), weighted.T @ targets
    )
    return float(((flat @ weights).argmax(axis=1) != y).mean())


def _without(m: int, rows: NDArray[np.int64]) -> Array:
    sizes = np.ones(m)
    sizes[rows] = 0.0
    return sizes
