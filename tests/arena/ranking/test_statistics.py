"""Intervals and tests against closed forms and peers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from arena.ranking.statistics import (
    bootstrap_means,
    bootstrap_medians,
    count_wins,
    holm,
    percentile_interval,
    sign_test,
    significantly_better,
    wilson,
)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (61, 100)])
def test_wilson_agrees_with_scipy(successes: int, trials: int) -> None:
    expected = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_no_trials_say_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("trials", [7, 60, 97, 100, 200])
def test_the_ends_of_wilson_are_exact(trials: int) -> None:
    assert wilson(0, trials).low == 0.0
    assert wilson(trials, trials).high == 1.0


@given(st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_the_sign_test_is_the_exact_binomial_test(wins: int, losses: int) -> None:
    ours = float(sign_test(np.array(wins), np.array(losses)))
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert ours == pytest.approx(expected, rel=1e-9)


def test_holm_steps_down_and_never_falls() -> None:
    adjusted = holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_of_nothing_is_nothing() -> None:
    assert len(holm(np.zeros(0))) == 0


def test_bootstrap_means_have_the_spread_of_the_mean() -> None:
    values = (np.random.default_rng(0).random((1, 400)) < 0.3).astype(float)
    replicates = bootstrap_means(values)[0]
    assert replicates.shape == (1000,)
    assert replicates.mean() == pytest.approx(values.mean(), abs=0.003)
    assert replicates.std() == pytest.approx(values.std() / np.sqrt(400), rel=0.1)


def test_bootstrap_draws_the_same_examples_for_every_row() -> None:
    row = np.random.default_rng(0).random(50)
    replicates = bootstrap_means(np.stack([row, 1 - row]))
    assert replicates[0] + replicates[1] == pytest.approx(np.ones(1000))


def test_unknown_examples_are_left_out_of_a_resampled_mean() -> None:
    values = np.array([[1.0, 1.0, np.nan, 1.0]])
    replicates = bootstrap_means(values)
    assert np.nanmin(replicates) == np.nanmax(replicates) == 1.0


def test_a_median_of_mostly_misses_is_infinite_and_not_a_number_between() -> None:
    values = np.array([0.1, 0.2] + [np.inf] * 30)
    assert np.isinf(bootstrap_medians(values)).all()
    assert percentile_interval(bootstrap_medians(values)) == (np.inf, np.inf)


def test_resampled_medians_cover_the_median_of_the_distribution() -> None:
    """95 % intervals of a standard normal's median hold 0 in about 95 of 100 samples."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        interval = percentile_interval(bootstrap_medians(rng.standard_normal(101)))
        assert interval is not None
        hits += interval.low <= 0 <= interval.high
    assert 180 <= hits <= 199


def test_unknown_values_win_and_lose_nothing() -> None:
    wins = count_wins(np.array([[1.0, np.nan, 0.0], [0.0, 0.0, np.nan]]))
    assert wins.tolist() == [[0, 1], [0, 0]]


def ahead(*figures: float) -> NDArray[np.bool_]:
    """Whose figure is the higher one."""
    return np.greater.outer(figures, figures)


def test_a_row_is_not_better_than_one_whose_figure_exceeds_its_own() -> None:
    wins = np.array([[0, 40], [2, 0]])
    assert significantly_better(wins, ahead(0.6, 0.5)).tolist() == [
        [False, True],
        [False, False],
    ]
    assert not significantly_better(wins, ahead(0.5, 0.6)).any()


def test_more_rivals_need_more_evidence() -> None:
    """Holm over all pairs: what convinces between two does not among forty."""
    duel = np.array([[0, 12], [2, 0]])
    assert significantly_better(duel, ahead(1.0, 0.0)).sum() == 1
    crowd = np.zeros((40, 40), np.int64)
    crowd[:2, :2] = duel
    assert not significantly_better(crowd, ahead(*np.linspace(1, 0, 40))).any()
