"""Raw scores are read once, with one set of rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax as peer

from arena.answers import ABSTAIN, Answers, Columns, each, softmax
from arena.errors import FaultCode, PlayerError, Side
from arena.manifest import Output


def read(
    scores: object, *, abstains: bool = False, output: Output = Output.LOGITS, rows: int = 2
) -> Answers:
    columns = Columns(3, abstains, output)
    return columns.read(np.asarray(scores, np.float32), rows=rows)


def test_softmax_agrees_with_scipy_and_survives_large_logits() -> None:
    scores = np.random.default_rng(0).normal(0, 50, (20, 7))
    assert softmax(scores) == pytest.approx(peer(scores, axis=1))
    assert np.isfinite(softmax(scores * 1e30)).all()


def test_a_single_row_is_answered_as_it_is_among_others() -> None:
    scores = np.random.default_rng(1).normal(0, 9, (50, 10)).astype(np.float32)
    alone = np.concatenate([softmax(row[None]) for row in scores])
    assert alone == pytest.approx(softmax(scores), rel=1e-14)
    assert np.isfinite(softmax(np.array([[3e38, -3e38, 0]], np.float32))).all()


def test_the_label_is_the_highest_score_and_the_extra_column_abstains() -> None:
    answers = read([[1, 2, 0, 0], [1, 2, 0, 3]], abstains=True)
    assert answers.labels.tolist() == [1, ABSTAIN]
    assert answers.confidence == pytest.approx(peer([[1, 2, 0, 0], [1, 2, 0, 3]], axis=1).max(1))


@pytest.mark.parametrize(
    ("scale", "apart", "differs"),
    [(1, 2e-4, True), (1, 5e-5, False), (2e4, 2e-3, False), (2e4, 0.02, True), (1e30, 0.02, True)],
)
def test_a_probability_may_differ_by_what_rounding_makes_of_large_scores(
    scale: float, apart: float, differs: bool
) -> None:
    scores = np.array([[scale, scale, -scale]], np.float32)
    (one,) = each(read(scores, rows=1), scores)
    moved = np.array([apart, -apart, 0])
    other = replace(one, probabilities=one.probabilities + moved)
    assert one.differs(other) is differs


def test_another_label_that_leads_clearly_differs_however_large_the_scores_are() -> None:
    scores = np.array([[1e30, 1.1e30, 0], [1.1e30, 1e30, 0]], np.float32)
    one, other = each(read(scores), scores)
    assert one.differs(other)


def test_probabilities_are_renormalised() -> None:
    answers = read([[0.5, 0.3, 0.2005], [0, 1, 0]], output=Output.PROBABILITIES)
    assert answers.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "output", "code"),
    [
        (np.zeros((2, 4)), Output.LOGITS, FaultCode.WRONG_SHAPE),
        (np.zeros((1, 3)), Output.LOGITS, FaultCode.WRONG_SHAPE),
        ([[1, 2, np.nan], [1, 2, 3]], Output.LOGITS, FaultCode.NOT_FINITE),
        ([[1, 2, np.inf], [1, 2, 3]], Output.LOGITS, FaultCode.NOT_FINITE),
        ([[1, 2, 3], [0, 0, 1]], Output.PROBABILITIES, FaultCode.OUT_OF_RANGE),
        ([[1.5, -0.5, 0], [0, 0, 1]], Output.PROBABILITIES, FaultCode.OUT_OF_RANGE),
    ],
)
def test_what_is_no_answer_is_the_defenses_fault(
    scores: object, output: Output, code: FaultCode
) -> None:
    with pytest.raises(PlayerError) as error:
        read(scores, output=output)
    assert (error.value.side, error.value.code) == (Side.DEFENSE, code)
