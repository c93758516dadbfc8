"""Online softmax regression that looks at each batch before it learns from it.

A point is kept where most of its nearest neighbours, among the batch and a reservoir of points
that were kept before, carry its label (Paudice, Munoz-Gonzalez & Lupu 2018, arXiv:1803.00992), and
where it lies no farther from its class's median than most of the class (sphere: Steinhardt, Koh &
Liang 2017, section 3). The reservoir is a uniform sample of what was kept (Vitter 1985), so that a
poisoner must have got many points through before neighbours turn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.house.learners.online_logistic import OnlineLogistic

MANIFEST = """
schema_version = 1
name = "Online sanitising"
role = "learner"
framework = "numpy"
entry = "player.py:OnlineSanitising"
family = "logistic regression"
description = "Learns from the points of a batch that agree with their neighbours and their class."
"""

Array = NDArray[np.float64]


class OnlineSanitising(OnlineLogistic):
    """What does not look like its class never reaches the weights."""

    neighbours = 7
    deviations = 5.0
    room = 600

    def start(self, seed: int) -> None:
        super().start(seed)
        self.kept_x: Array | None = None
        self.met = 0

    def update(self, x: NDArray[np.float32], y: NDArray[np.int64]) -> None:
        if not len(x):
            return
        flat = x.reshape(len(x), -1).astype(np.float64)
        if self.kept_x is None:
            self.kept_x, self.kept_y = flat[:0], y[:0]
        around = np.concatenate([flat, self.kept_x])
        labels = np.concatenate([y, self.kept_y])
        good = self._agrees(flat, y, around, labels) & self._plausible(flat, y, around, labels)
        super().update(x[good], y[good])
        self._remember(flat[good], y[good])

    def _agrees(
        self, flat: Array, y: NDArray[np.int64], around: Array, labels: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        gaps = (flat**2).sum(axis=1)[:, None] + (around**2).sum(axis=1)[None] - 2 * flat @ around.T
        gaps[np.arange(len(flat)), np.arange(len(flat))] = np.inf
        count = min(self.neighbours, len(around) - 1)
        if count < 1:
            return np.ones(len(flat), bool)
        nearest = np.argpartition(gaps, count - 1, axis=1)[:, :count]
        return np.asarray((labels[nearest] == y[:, None]).mean(axis=1) > 0.5)

    def _plausible(
        self, flat: Array, y: NDArray[np.int64], around: Array, labels: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        kept = np.ones(len(flat), bool)
        for label in np.unique(y):
            centre = np.median(around[labels == label], axis=0)
            usual = np.linalg.norm(around[labels == label] - centre, axis=1)
            middle = np.median(usual)
            limit = middle + self.deviations * np.median(np.abs(usual - middle))
            mine = y == label
            kept[mine] = np.linalg.norm(flat[mine] - centre, axis=1) <= limit
        return kept

    def _remember(self, flat: Array, y: NDArray[np.int64]) -> None:
        """Algorithm R: every kept point of the stream is in the reservoir with the same chance."""
        assert self.kept_x is not None
        for point, label in zip(flat, y, strict=True):
            self.met += 1
            if len(self.kept_x) < self.room:
                self.kept_x = np.vstack([self.kept_x, point])
                self.kept_y = np.append(self.kept_y, label)
            elif (place := int(self.draw.integers(self.met))) < self.room:
                self.kept_x[place], self.kept_y[place] = point, label
