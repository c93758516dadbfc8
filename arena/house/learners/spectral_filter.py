"""Spectral filter: drops the points that stretch their class's covariance, then learns.

Diakonikolas, Kamath, Kane, Li, Moitra & Stewart 2016/2017 (arXiv:1604.06443, 1703.00893): if few
points have moved a mean far, they stick out along the direction of greatest variance. So, until
that variance is no longer much above what most directions have,

    v = top eigenvector of the covariance,   score_i = <v, x_i - mean>^2,
    drop the points of highest score,

and what is left has a mean whose error does not grow with the dimension. :func:`filtered_mean` is
the estimator; the learner filters every class by it, and then fits softmax regression.

Where the attacker moves first, the learner drops no more than the share that may be poisoned.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.house.learners.logistic_learner import LogisticLearner

MANIFEST = """
schema_version = 1
name = "Spectral filter"
role = "learner"
framework = "numpy"
entry = "player.py:SpectralFilter"
family = "logistic regression"
description = "Drops points that stick out along their class's main directions, then learns."
"""

Array = NDArray[np.float64]


class SpectralFilter(LogisticLearner):
    """Filters each class apart; clean data has main directions of its own, so it drops little."""

    most = 0.3
    """The largest share of a class that is dropped."""

    def choose(
        self, x: NDArray[np.float32], y: NDArray[np.int64], *, share: float, mode: str
    ) -> None:
        """One class could hold all of the poison."""
        fewest = np.bincount(y)[np.unique(y)].min() / len(y)
        self.most = float(min(0.45, share / fewest))

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int64], seed: int) -> None:
        kept = np.zeros(len(x), bool)
        for label in np.unique(y):
            rows = np.flatnonzero(y == label)
            flat = x[rows].reshape(len(rows), -1).astype(np.float64)
            kept[rows] = filtered(flat, most=self.most)
        super().fit(x[kept], y[kept], seed)


def filtered_mean(x: Array, *, most: float, variance: float = 1.0) -> Array:
    """(d,) the mean of (m, d) points of covariance ``variance`` times the identity.

    A share of at most ``most`` may be anything. Points are dropped, those that stick out most
    first, until no direction varies more than clean points of this number would.
    """
    kept, (m, d) = np.ones(len(x), bool), x.shape
    fewest = int(np.ceil((1 - most) * m))
    usual = variance * (1 + np.sqrt(d / m)) ** 2
    while kept.sum() > fewest:
        largest, offsets = sticking_out(x[kept])
        if largest <= usual:
            break
        scores = offsets * np.sign((offsets**3).sum())  # the side that is drawn out
        drop = min(int(kept.sum()) - fewest, max(1, m // 100))
        rows = np.flatnonzero(kept)
        kept[rows[np.argsort(-scores, kind="stable")[:drop]]] = False
    mean: Array = x[kept].mean(axis=0)
    return mean


def filtered(x: Array, *, most: float, tail: float = 4.0, step: float = 0.02) -> NDArray[np.bool_]:
    """(m,) which points are kept, whatever the covariance of clean ones.

    A direction sticks out where squared offsets from the median, in units of their own median, are
    beyond those of ``tail`` standard deviations of a Gaussian; each round drops the worst ``step``
    of them. The unit is a median, so that fewer than half cannot set it.
    """
    kept = np.ones(len(x), bool)
    fewest = int(np.ceil((1 - most) * len(x)))
    while kept.sum() > max(fewest, 2):
        scores = sticking_out(x[kept])[1] ** 2
        limit = tail**2 * np.median(scores) / 0.455  # the median of a squared standard normal
        room = int(kept.sum()) - fewest
        drop = min(int((scores > limit).sum()), room, max(1, int(step * len(x))))
        if not drop:
            break
        rows = np.flatnonzero(kept)
        kept[rows[np.argsort(-scores, kind="stable")[:drop]]] = False
    return kept


def sticking_out(x: Array) -> tuple[float, Array]:
    """The largest variance of any direction of (m, d) points, and (m,) offsets along it."""
    centred = x - x.mean(axis=0)
    if len(x) < x.shape[1]:
        values, vectors = np.linalg.eigh(centred @ centred.T)
        direction = centred.T @ vectors[:, -1]
    else:
        values, vectors = np.linalg.eigh(centred.T @ centred)
        direction = vectors[:, -1]
    along = centred @ (direction / max(float(np.linalg.norm(direction)), 1e-12))
    return float(values[-1]) / len(x), np.asarray(along - np.median(along))
