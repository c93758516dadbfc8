"""Intervals and tests, over arrays. Every generator is seeded by an argument.

The estimand is a figure on the task's distribution against the fixed pool: examples are the
sample, the pool is not. So intervals and tests are over examples, paired where rows share them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

Floats = NDArray[np.float64]

CONFIDENCE: Final = 0.95
Z: Final = 1.959963984540054
"""The 97.5 % quantile of the standard normal."""
REPLICATES: Final = 1000
ALPHA: Final = 0.05


class Interval(NamedTuple):
    """95 %, both ends included."""

    low: float
    high: float


def wilson(successes: float, trials: int) -> Interval:
    """Wilson's score interval for a proportion (Wilson 1927); [0, 1] when nothing was tried."""
    if trials == 0:
        return Interval(0.0, 1.0)
    p, spread = successes / trials, Z * Z / trials
    centre = (p + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * np.sqrt(p * (1 - p) / trials + spread / (4 * trials))
    low = 0.0 if successes == 0 else max(0.0, float(centre - half))  # not 3e-18
    return Interval(low, 1.0 if successes == trials else min(1.0, float(centre + half)))


@lru_cache(maxsize=8)
def resampling_weights(n: int, *, seed: int = 0, replicates: int = REPLICATES) -> Floats:
    """(replicates, n): how often each example is drawn, over n. The same for every row: paired."""
    drawn = np.random.default_rng([seed, n]).multinomial(n, np.full(n, 1 / n), size=replicates)
    weights = drawn.astype(np.float64) / n
    weights.flags.writeable = False
    return weights


def bootstrap_means(values: Floats, *, seed: int = 0, replicates: int = REPLICATES) -> Floats:
    """(rows, n) -> (rows, replicates) means over resampled examples; NaN values are left out."""
    weights = resampling_weights(values.shape[1], seed=seed, replicates=replicates)
    known = np.isfinite(values)
    total = np.where(known, values, 0.0) @ weights.T
    weight = known.astype(np.float64) @ weights.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / weight)


def bootstrap_medians(values: Floats, *, seed: int = 0, replicates: int = REPLICATES) -> Floats:
    """(n,) -> (replicates,) lower medians over resampled examples; infinite values are allowed."""
    known = np.sort(values[~np.isnan(values)])
    if not len(known):
        return np.full(replicates, np.nan)
    draws = np.random.default_rng([seed, len(known)]).integers(
        len(known), size=(replicates, len(known))
    )
    middle = (len(known) - 1) // 2
    # The values are sorted, so the median of a resample is the value at its median index.
    return np.asarray(known[np.partition(draws, middle, axis=1)[:, middle]])


def percentile_interval(replicates: Floats) -> Interval | None:
    """The middle 95 % of the replicates; None when none is known."""
    known = replicates[~np.isnan(replicates)]
    if not len(known):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(known, [tail, 1 - tail], method="inverted_cdf")
    return Interval(float(low), float(high))


def count_wins(values: Floats, others: Floats | None = None) -> NDArray[np.int64]:
    """(rows, n) -> (rows, others): on how many shared examples row i is above row j."""
    others = values if others is None else others
    wins = np.zeros((len(values), len(others)), np.int64)
    for i, row in enumerate(values):
        wins[i] = np.count_nonzero(row > others, axis=1)  # NaN compares as False on both sides
    return wins


def sign_test(wins: NDArray[Any], losses: NDArray[Any]) -> Floats:
    """Exact two-sided p, elementwise; on right/wrong data it is McNemar's exact test."""
    wins, losses = np.asarray(wins), np.asarray(losses)
    fewer = np.minimum(wins, losses).astype(np.float64)
    p = 2 * bdtr(fewer, (wins + losses).astype(np.int64), 0.5)
    return np.asarray(np.minimum(1.0, p), np.float64)


def holm(p: Floats) -> Floats:
    """Holm's step-down adjustment over all of ``p`` (Holm 1979): compare the result with alpha."""
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted


def significantly_better(wins: NDArray[np.int64], ahead: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(rows, rows): row i beats row j. ``ahead`` (rows, rows): i's figure is better than j's.

    Paired sign tests over every pair, Holm-adjusted together. The figures must point the same
    way, so that no row is ranked below one whose figure it exceeds.
    """
    rows = len(wins)
    better = np.zeros((rows, rows), bool)
    first, second = np.triu_indices(rows, 1)
    adjusted = holm(sign_test(wins[first, second], wins[second, first]))
    found = adjusted <= ALPHA
    for i, j in zip(first[found], second[found], strict=True):
        above, below = (i, j) if wins[i, j] > wins[j, i] else (j, i)
        better[above, below] = ahead[above, below]
    return better
