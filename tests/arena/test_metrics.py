"""Metrics against hand-worked numbers and peers (scipy, scikit-learn)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import CensoredData, binomtest, ecdf
from sklearn.metrics import roc_auc_score

from arena import metrics

T, F = True, False


def bits(*values: bool) -> metrics.Bits:
    return np.array(values, bool)


@pytest.mark.parametrize(
    ("hits", "trials"), [(0, 10), (10, 10), (3, 10), (1, 1), (977, 1000), (50, 200)]
)
def test_wilson_agrees_with_scipy(hits: int, trials: int) -> None:
    peer = binomtest(hits, trials).proportion_ci(method="wilson")
    assert metrics.wilson(hits, trials) == pytest.approx((peer.low, peer.high), abs=1e-12)


def test_shares_by_hand() -> None:
    right, broken = bits(T, T, T, F), bits(T, F, F, F)
    assert metrics.clean_accuracy(right)["clean_accuracy"] == 0.75
    assert metrics.attack_success_rate(right, broken)["attack_success_rate"] == pytest.approx(1 / 3)
    assert metrics.robust_accuracy(right, broken)["robust_accuracy"] == 0.5


def test_a_share_of_nothing_is_not_known() -> None:
    assert metrics.attack_success_rate(bits(F, F), bits(F, F)) == {
        "attack_success_rate": None,
        "attack_success_rate_low": None,
        "attack_success_rate_high": None,
    }


def test_the_transfer_rate_is_over_what_fooled_the_source() -> None:
    rate = metrics.transfer_rate(bits(T, T, F, T), bits(T, F, T, F))["transfer_rate"]
    assert rate == pytest.approx(1 / 3)
    assert metrics.ratio(rate, 1 / 6) == pytest.approx(2)
    assert metrics.ratio(rate, 0) is None
    assert metrics.ratio(None, 1.0) is None


def test_repeatability_is_the_chance_to_err_again() -> None:
    assert metrics.repeatability(np.array([10, 10, 0]), 10) == 1.0
    # Two of four wrong: after one mistake, 1 of the 3 other seeds errs.
    assert metrics.repeatability(np.array([2]), 4) == pytest.approx(1 / 3)
    assert metrics.repeatability(np.array([1, 0, 0]), 4) == 0.0
    assert metrics.repeatability(np.array([0, 0]), 4) is None
    assert metrics.repeatability(np.array([1, 0]), 1) == 1.0


def test_repeatability_agrees_with_drawing_pairs() -> None:
    stream = np.random.default_rng(2)
    rates = stream.uniform(0, 1, 400)
    votes = stream.uniform(size=(400, 10)) < rates[:, None]
    pairs = [(votes[:, i] & votes[:, j]).sum() for i in range(10) for j in range(10) if i != j]
    given = [votes[:, i].sum() for i in range(10) for j in range(10) if i != j]
    told = metrics.repeatability(votes.sum(axis=1), 10)
    assert told == pytest.approx(sum(pairs) / sum(given))


def test_the_area_is_the_mean_height() -> None:
    assert metrics.curve_area([0.1, 0.2, 0.4], [0.9, 0.7, 0.1]) == pytest.approx(
        (0.1 * 0.8 + 0.2 * 0.4) / 0.3
    )
    assert metrics.curve_area([0.1], [0.9]) is None
    assert metrics.curve_area([1, 2], [0.5, 0.5]) == 0.5


def test_distances() -> None:
    found = np.array([0.0, 0.1, 0.3, np.inf])
    right = bits(F, T, T, T)
    assert metrics.robust_at(found, right, 0.1).tolist() == [F, F, T, T]
    assert metrics.median_distance(found) == pytest.approx(0.2)
    assert metrics.median_distance(np.array([0.1, np.inf, np.inf])) is None
    assert metrics.median_distance(np.array([])) is None


def test_the_auroc_agrees_with_scikit_learn_ties_included() -> None:
    stream = np.random.default_rng(3)
    score, label = stream.integers(0, 6, 200) / 5, stream.uniform(size=200) < 0.4
    mine = metrics.auroc(score[label], score[~label])
    assert mine == pytest.approx(roc_auc_score(label, score))
    assert metrics.auroc(score, score[:0]) is None


def test_confidence_on_mistakes_by_hand() -> None:
    confidence = np.array([0.95, 0.5, 0.8, 0.6, np.nan])
    wrong = bits(T, T, F, F, T)
    told = metrics.confidence_on_mistakes(confidence, wrong)
    assert told["mistake_confidence"] == pytest.approx(0.725)
    assert told["sure_mistakes"] == 0.5
    assert told["confidence_auroc"] == 0.5
    nothing = metrics.confidence_on_mistakes(confidence, bits(F, F, F, F, F))
    assert nothing["mistake_confidence"] is None
    assert nothing["confidence_auroc"] is None


def test_kaplan_meier_by_hand() -> None:
    # Found at 1, 3 and 5, given up at 2 and 4: survival 4/5, then 4/5 * 2/3 = 8/15, then 0.
    times = np.array([1, 2, 3, 4, 5])
    assert metrics.kaplan_meier_median(times, bits(T, F, T, F, T)) == 5
    assert metrics.kaplan_meier_median(times, bits(T, F, F, F, F)) is None
    assert metrics.kaplan_meier_median(times, bits(T, T, T, T, T)) == 3
    assert metrics.kaplan_meier_median(times[:0], bits()) is None


@pytest.mark.parametrize("seed", range(5))
def test_kaplan_meier_agrees_with_scipy(seed: int) -> None:
    stream = np.random.default_rng(seed)
    times, found = stream.integers(1, 50, 120).astype(float), stream.uniform(size=120) < 0.7
    peer = ecdf(CensoredData(uncensored=times[found], right=times[~found])).sf
    reached = peer.quantiles[peer.probabilities <= 0.5]
    expected = float(reached[0]) if len(reached) else None
    assert metrics.kaplan_meier_median(times, found) == expected


def test_costs_by_hand() -> None:
    matrix = np.array([[0.0, 2.0], [5.0, 0.0]])
    y, predictions = np.array([0, 1, 1, 0, 0]), np.array([1, 0, 1, -1, -1])
    wrong = bits(T, T, F, T, F)
    assert metrics.costs(y, predictions, wrong, matrix).tolist() == [2, 5, 0, 2, 0]
    assert metrics.costs(y, predictions, wrong, None).tolist() == [1, 1, 0, 1, 0]


def test_the_second_half_of_the_iterations_by_hand() -> None:
    # Two stand after 100; the others fell after 3, 50 and 51.
    iterations, fell = np.array([3.0, 50, 51, 100, 100]), np.array([3.0, 50, 51, -1, -1])
    assert metrics.second_half(iterations, fell) == {"standing_halfway": 3, "late_successes": 1}


def test_an_attack_that_broke_everything_or_took_one_step_has_no_second_half() -> None:
    nothing = {"standing_halfway": None, "late_successes": None}
    assert metrics.second_half(np.array([3.0, 9.0]), np.array([3.0, 9.0])) == nothing
    assert metrics.second_half(np.ones(3), np.array([-1.0, 1.0, -1.0])) == nothing
    assert metrics.second_half(np.zeros(3), np.full(3, -1.0)) == nothing
