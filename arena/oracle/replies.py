"""What a reply shows of an answer: as much as the threat model lets out (S10)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.answers import ABSTAIN, Answers, labels_of
from arena.seats import Array
from arena.threat_model import OracleOutput, OutputKind


def labels_shown(
    answers: Answers, scores: Array, output: OracleOutput, *, classes: int
) -> NDArray[np.int64]:
    """(n,) the label that a reply tells: rounding may make another class lead."""
    if output.kind is not OutputKind.ROUNDED:
        return answers.labels
    return labels_of(filtered(answers, scores, output, classes=classes), classes=classes)


def filtered(answers: Answers, scores: Array, output: OracleOutput, *, classes: int) -> Array:
    """What S10 leaves of a reply."""
    if output.kind is OutputKind.LABEL:
        return answers.labels
    if output.kind is OutputKind.TOP_K:
        return _best_labels(scores, classes=classes, k=output.k or 1)
    if output.kind is OutputKind.LOGITS:
        return np.asarray(scores, np.float32)
    probabilities = answers.probabilities
    if output.kind is OutputKind.ROUNDED:
        probabilities = probabilities.round(output.decimals or 0)
    return probabilities.astype(np.float32)


def _best_labels(scores: Array, *, classes: int, k: int) -> Array:
    """(n, k) labels, best first; the answered label always leads, an abstention is -1."""
    order = np.argsort(-np.asarray(scores, np.float64), axis=1, kind="stable")[:, :k]
    return np.where(order == classes, ABSTAIN, order).astype(np.int64)
