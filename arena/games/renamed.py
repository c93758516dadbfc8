"""A learner that cannot know its classes by name: they are permuted in every match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.seats import Array, DefenseSeat


class Renamed:
    """A learner whose class names are permuted on the way in, and undone on the way out."""

    def __init__(self, seat: DefenseSeat, permutation: NDArray[np.int64]) -> None:
        self.seat = seat
        self.manifest = seat.manifest
        self.permutation = permutation

    @property
    def seconds(self) -> float:
        return self.seat.seconds

    def fit(self, x: Array, y: Array, seed: int, *, told: Mapping[str, Any] | None = None) -> None:
        more = {} if told is None else {"told": told}
        self.seat.fit(x, self.permutation[y], seed, **more)

    def predict(self, x: Array, seeds: Array) -> Array:
        return self._undone(self.seat.predict(x, seeds))

    def logits(self, x: Array, seeds: Array) -> Array:
        return self._undone(self.seat.logits(x, seeds))

    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        """The gradient of the renamed learner; weights are renamed alike."""
        if weights.ndim == 1:
            renamed = self.permutation[weights]
        else:
            renamed = weights.copy()
            renamed[:, self.permutation] = weights[:, : len(self.permutation)]
        logits, slope = self.seat.gradient(x, renamed, seeds)
        return self._undone(logits), slope

    def certify(self, x: Array, seeds: Array, *, norm: str, effort: int) -> tuple[Array, Array]:
        labels, radii = self.seat.certify(x, seeds, norm=norm, effort=effort)
        names = np.argsort(self.permutation)
        return np.where(labels < 0, labels, names[labels]), radii

    def _undone(self, scores: Array) -> Array:
        """Column c becomes that of permutation[c]; an abstention stays last."""
        classes = len(self.permutation)
        return np.concatenate([scores[:, self.permutation], scores[:, classes:]], axis=1)

    def close(self) -> str:
        return self.seat.close()

    def __enter__(self) -> DefenseSeat:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
