"""What games about training hand around: admitted poison, and what models said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arena.answers import NO_ANSWER
from arena.games.draws import derive
from arena.games.trained_alike import Said
from arena.players import Images, Labels


@dataclass(frozen=True, eq=False)
class Points:
    """Admitted poison: ``x`` (k, *shape), ``y`` (k,), ``replaces`` (k,) or None."""

    x: Images
    y: Labels
    replaces: NDArray[np.int64] | None

    def applied(self, x: Images, y: Labels) -> tuple[Images, Labels]:
        """S with the poison in it; nothing else of S changes."""
        if self.replaces is None:
            return np.concatenate([x, self.x]), np.concatenate([y, self.y])
        x, y = x.copy(), y.copy()
        x[self.replaces], y[self.replaces] = self.x, self.y
        return x, y

    @property
    def fingerprint(self) -> str:
        rows = b"" if self.replaces is None else self.replaces.tobytes()
        return derive(self.x.tobytes(), self.y.tobytes(), rows).hex()[:16]


@dataclass(frozen=True, eq=False)
class Judged:
    """(seeds, n) labels and confidences of the models trained on one training set."""

    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]

    @classmethod
    def nothing(cls, seeds: int, n: int) -> Judged:
        return cls(np.full((seeds, n), NO_ANSWER, np.int64), np.full((seeds, n), np.nan))

    def said(self, j: int, rows: NDArray[np.int64] | slice = slice(None)) -> Said:
        """By the model of the ``j``-th seed, of ``rows``."""
        return Said(self.labels[j, rows], self.confidence[j, rows])

    def flat(self) -> Said:
        """All in one row."""
        return Said(self.labels.ravel(), self.confidence.ravel())

    def where(self, rows: NDArray[np.bool_], other: Judged) -> Judged:
        """This in the examples ``rows`` (n,), ``other`` elsewhere."""
        return Judged(
            np.where(rows, self.labels, other.labels),
            np.where(rows, self.confidence, other.confidence),
        )

    def wrong(self, y: Labels) -> NDArray[np.bool_]:
        """(seeds, n); an abstention or a missing answer is wrong."""
        return np.asarray(self.labels != y[None, :])
