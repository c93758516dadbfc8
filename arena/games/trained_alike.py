"""Models that are trained alike answer alike: a fresh process, trained again, is asked again.

A model hangs on its training set and its seed, and an answer on the model and the row that is
asked. A learner that looks at who asks it could say one thing to the poisoner who probes it and
another to the judge; one that looks at what else it is asked could fit itself to the test. Neither
can do so in a process that is trained alike and asked something else.

A training that draws from the clock, or on a GPU, makes another model each time, which no rule
forbids. So where answers differ, one more process is trained and asked exactly as one before it:
what differs between these two is the training's.

Equal models differ by rounding alone, where other rows are asked beside. A poisoner who looks for
the points at which a learner tells two classes apart by a hair would find them answered otherwise,
so what rounding explains is no doubt (:meth:`arena.answers.Answer.differs`). That opens no lie,
since both answers must lead by a hair: who does so wherever it may be judged has no label that
counts there, as in evasion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from arena.answers import HAIR, NO_ANSWER, Answer
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
    def between(cls, one: Sequence[Answer], other: Sequence[Answer]) -> Self:
        """What two models say of the same rows, but for what rounding explains."""
        pairs = list(zip(one, other, strict=True))
        apart = [a.differs(b) for a, b in pairs]
        labels = [a.label != b.label for a, b in pairs]
        return cls(len(pairs), int(np.logical_and(labels, apart).sum()), sum(apart))

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

    def otherwise(self, other: Said) -> NDArray[np.bool_]:
        """(n,) whether a row has another label there."""
        return np.asarray(self.labels != other.labels)

    def differing(self, other: Said, *, tolerance: float) -> Differing:
        """``tolerance``: of the confidence."""
        gap = np.abs(self.confidence - other.confidence)
        return Differing.counted(self.otherwise(other), gap > tolerance)


@dataclass(frozen=True, eq=False)
class SaidAlone(Said):
    """Of rows that were asked alone, with the (n,) ``lead`` of each label."""

    lead: NDArray[np.float64]

    @classmethod
    def one_by_one(cls, parts: Sequence[SaidAlone]) -> SaidAlone:
        said = Said.joined(parts)
        return cls(said.labels, said.confidence, np.concatenate([part.lead for part in parts]))

    def otherwise(self, other: Said) -> NDArray[np.bool_]:
        """Than what counted. A label that led by a hair there counted as none: alone, any may lead
        by a hair, and as much more as rounding gives. One that did count must lead alone too."""
        none = other.labels == NO_ANSWER
        return np.where(none, self.lead > 2 * HAIR, self.labels != other.labels)


def depends(doubt: Differing) -> PlayerError:
    """The fault of a learner that answers a row among others otherwise than alone."""
    return PlayerError(
        Side.DEFENSE,
        FaultCode.ROWS_DEPEND,
        f"{doubt.answers} of {doubt.rows} rows were answered differently by the same model that "
        "was asked nothing else; predictions must not depend on other rows.",
    )
