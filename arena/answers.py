"""What a defense's raw scores say: labels, probabilities, abstentions.

Scores come from a stranger. They are read once, here, with the same rules in the oracle and in the
final judgement, so that both see the same labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import FaultCode, PlayerError, Side
from arena.manifest import Manifest, Output
from arena.ranges import FEW, all_finite

ABSTAIN: Final = -1
"""The label of an abstention."""
NO_ANSWER: Final = -2
"""The label where the defense gave no usable answer; it is wrong, whatever was asked."""
SUM_TOLERANCE: Final = 1e-3
TOLERANCE: Final = 1e-4
"""What a probability may differ by where the same is asked in other company."""
HAIR: Final = 1e-5
"""A lead of no more than this share of the largest score: what rounding gives, it takes again."""
ULPS: Final = 8
"""By so many of its last binary places a score in float32 may be another in other company."""
MOST_ROUNDED: Final = 0.01
"""What rounding may make of a probability at most, however large the scores are."""
TINIEST: Final = 1e-300


@dataclass(frozen=True, eq=False)
class Answers:
    """(n,) ``labels`` (:data:`ABSTAIN` and :data:`NO_ANSWER` below zero), (n, columns) scores."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> Answers:
        return Answers(self.labels[rows], self.probabilities[rows])

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(n,) the largest probability; NaN where there is no answer."""
        return np.asarray(self.probabilities.max(axis=1))


@dataclass(frozen=True, eq=False)
class Answer:
    """That to one input: ``probabilities`` (columns,), by how much its label leads, and what
    rounding may make of a probability."""

    label: int
    probabilities: NDArray[np.float64]
    lead: float
    rounding: float = TOLERANCE

    def differs(self, other: Answer) -> bool:
        """By more than rounding explains: by a probability, or by a label that leads clearly.

        Probabilities alone do not tell: scores can be so small that all of them seem equal, and so
        large that the last place of a score moves a probability.
        """
        apart = np.abs(self.probabilities - other.probabilities).max()
        if apart > max(self.rounding, other.rounding):
            return True
        return self.label != other.label and max(self.lead, other.lead) > HAIR


def each(answers: Answers, scores: NDArray[Any]) -> list[Answer]:
    """The rows of ``answers`` that were read from raw ``scores`` (n, columns)."""
    columns = answers.labels.tolist(), answers.probabilities, leads(scores), roundings(scores)
    return [Answer(*row) for row in zip(*columns, strict=True)]


def roundings(scores: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) by how much a probability may differ where each raw score does in its last places.

    A probability changes by a quarter of what two logits move apart, at most.
    """
    largest = np.abs(np.asarray(scores, np.float64)).max(axis=1, initial=0.0)
    moved = 2 * ULPS * float(np.finfo(np.float32).eps) * largest
    return np.asarray(np.clip(moved / 4, TOLERANCE, MOST_ROUNDED))


def clear_labels(answers: Answers, scores: NDArray[Any]) -> NDArray[np.int64]:
    """(n,) labels, none where another could lead in other company; exact ties stay ties there."""
    lead = leads(scores)
    return np.where((lead > 0) & (lead <= HAIR), NO_ANSWER, answers.labels)


def leads(scores: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) by what share of the largest of a row's raw scores the best is ahead of the next."""
    if scores.shape[1] < 2:
        return np.full(len(scores), np.inf)
    scores = np.asarray(scores, np.float64)
    second, best = np.partition(scores, -2, axis=1)[:, -2:].T
    return np.asarray((best - second) / np.maximum(np.abs(scores).max(axis=1), TINIEST))


@dataclass(frozen=True)
class Columns:
    """What the columns of a defense's scores mean: one a class, and a last one to abstain."""

    classes: int
    abstains: bool
    output: Output

    @classmethod
    def of(cls, manifest: Manifest, *, classes: int) -> Columns:
        return cls(classes, manifest.abstains, manifest.output)

    def __len__(self) -> int:
        return self.classes + int(self.abstains)

    def read(self, scores: NDArray[Any], *, rows: int) -> Answers:
        """Read raw scores (rows, columns).

        Raises:
            PlayerError: the defense's: wrong shape, not finite, or no probabilities where the
                manifest says that they are.
        """
        self._held_against(scores, rows=rows)
        if self.output is Output.LOGITS:
            probabilities = softmax(scores)
        else:
            probabilities = _checked(np.asarray(scores, np.float64))
        return Answers(labels_of(scores, classes=self.classes), probabilities)

    def labels(self, scores: NDArray[Any], *, rows: int) -> NDArray[np.int64]:
        """(rows,) the labels alone, at the price of no probabilities.

        Raises:
            PlayerError: as :meth:`read`.
        """
        self._held_against(scores, rows=rows)
        if self.output is not Output.LOGITS:
            _checked(np.asarray(scores, np.float64))
        return labels_of(scores, classes=self.classes)

    def _held_against(self, scores: NDArray[Any], *, rows: int) -> None:
        asked = (rows, len(self))
        if scores.shape != asked:
            raise _fault(
                FaultCode.WRONG_SHAPE,
                f"predict returned an array of shape {scores.shape}; {asked} was asked.",
            )
        if not all_finite(scores):
            raise _fault(FaultCode.NOT_FINITE, "predict returned NaN or infinite scores.")


def labels_of(scores: NDArray[Any], *, classes: int) -> NDArray[np.int64]:
    """(n,) the column with the highest score, whatever the scores are; the lower on a tie."""
    labels: NDArray[np.int64] = scores.argmax(axis=1)
    if scores.shape[1] > classes:
        labels[labels == classes] = ABSTAIN
    return labels


def no_answers(rows: int, columns: int) -> Answers:
    """What stands for answers that never came."""
    return Answers(np.full(rows, NO_ANSWER, np.int64), np.full((rows, columns), np.nan))


def softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    """(n, columns) probabilities in float64, safe for any finite scores."""
    if len(scores) == 1 and scores.size <= FEW:
        return np.array([_softmax_of_one(scores[0].tolist())])
    scores = np.asarray(scores, np.float64)
    raised = np.exp(scores - np.maximum.reduce(scores, axis=1, keepdims=True))
    return np.asarray(raised / np.add.reduce(raised, axis=1, keepdims=True), np.float64)


def _softmax_of_one(scores: list[float]) -> list[float]:
    """What a single question is answered with, at a third of an array's price."""
    highest = max(scores)
    raised = [math.exp(score - highest) for score in scores]
    total = sum(raised)
    return [value / total for value in raised]


def _checked(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = scores.sum(axis=1, keepdims=True)
    if len(scores) and (scores.min() < -SUM_TOLERANCE or abs(sums - 1).max() > SUM_TOLERANCE):
        raise _fault(
            FaultCode.OUT_OF_RANGE,
            "The manifest declares probabilities, and predict returned rows that are negative or "
            'do not sum to 1; normalise them, or declare output = "logits".',
        )
    positive = np.maximum(scores, 0.0)
    return np.asarray(positive / positive.sum(axis=1, keepdims=True), np.float64)


def _fault(code: FaultCode, message: str) -> PlayerError:
    return PlayerError(Side.DEFENSE, code, message)
