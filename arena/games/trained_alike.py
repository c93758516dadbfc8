"""Models that are trained alike answer alike: a fresh process, trained again, is asked again.

A model hangs on its training set and its seed, and an answer on the model and the row that is
asked. A learner that looks at who asks it could say one thing to the poisoner who probes it and
another to the judge; one that looks at what else it is asked could fit itself to the test. Neither
can do so in a process that is trained alike and asked something else.

A training that draws from the clock, or on a GPU, makes another model each time, which no rule
forbids. So where answers differ, one more process is trained and asked exactly as one before it:
what differs between these two is the training's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from arena.answers import TOLERANCE, Answers
from arena.errors import FaultCode, PlayerError, Side
from arena.metrics import binomial_quantile, wilson

TRAINS_OTHERWISE: Final = "training_not_repeatable"
ROWS_ALONE: Final = 64
"""Rows that are asked alone: two of them differ for sure enough where one in twenty does."""
MODEL_TOLERANCE: Final = 0.05
"""What the confidence of equal models may differ by, each of which was trained for itself."""
QUANTILE: Final = 0.999
"""Of how many rows differ by chance, where training again makes another model."""


@dataclass(frozen=True)
class Differing:
    """Of ``rows`` rows: how many got another label, and how many another answer at all."""

    rows: int
    labels: int
    answers: int

    @classmethod
    def between(cls, one: Answers, other: Answers) -> Self:
        """What two models say of the same rows."""
        gap = np.abs(one.probabilities - other.probabilities).max(axis=1, initial=0.0)
        return cls.counted(one.labels != other.labels, gap > TOLERANCE)

    @classmethod
    def counted(cls, otherwise: NDArray[np.bool_], apart: NDArray[np.bool_]) -> Self:
        """(n,) whether a row got another label, and whether its figures lie too far apart."""
        return cls(len(otherwise), int(otherwise.sum()), int((otherwise | apart).sum()))

    def explained_by(self, apart: Differing) -> bool:
        """Whether trainings that make models so far ``apart`` explain it. Those that make the same
        model explain nothing; of the others the cautious end of their share of labels is taken."""
        if not apart.answers:
            return False
        _, share = wilson(apart.labels, apart.rows)
        return self.labels <= binomial_quantile(self.rows, share, QUANTILE)


@dataclass(frozen=True, eq=False)
class Said:
    """(n,) labels and confidence of n rows."""

    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[Said]) -> Self:
        labels = np.concatenate([part.labels for part in parts])
        return cls(labels, np.concatenate([part.confidence for part in parts]))

    def differing(self, other: Said, *, tolerance: float) -> Differing:
        """``tolerance``: of the confidence."""
        gap = np.abs(self.confidence - other.confidence)
        return Differing.counted(self.labels != other.labels, gap > tolerance)


def depends(doubt: Differing) -> PlayerError:
    """The fault of a learner that answers a row among others otherwise than alone."""
    return PlayerError(
        Side.DEFENSE,
        FaultCode.ROWS_DEPEND,
        f"{doubt.answers} of {doubt.rows} rows were answered differently by the same model that "
        "was asked nothing else; predictions must not depend on other rows.",
    )
