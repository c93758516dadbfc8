"""Figures of models trained with several seeds: means, and intervals over examples and seeds."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.metrics import Metrics, wilson

RESAMPLES: Final = 1000


def bootstrap_mean(
    values: NDArray[np.float64], *, stream: np.random.RandomState
) -> tuple[float, float]:
    """95 % interval of the mean of (seeds, n) values, over examples and seeds together."""
    seeds, n = values.shape
    draws = np.empty(RESAMPLES)
    for b in range(RESAMPLES):
        picked = values[stream.randint(0, seeds, seeds)]
        draws[b] = picked.mean(axis=0)[stream.randint(0, n, n)].mean()
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def told(name: str, values: NDArray[Any], *, stream: np.random.RandomState) -> Metrics:
    """The mean of (seeds, n) values with its interval; null where there are none.

    Of a share that is all or nothing every resample is the same: it has Wilson's interval, with the
    n examples as trials.
    """
    if not values.size:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    low, high = bootstrap_mean(values.astype(np.float64), stream=stream)
    if values.dtype == bool and values.all() == values.any():
        n = values.shape[1]
        low, high = wilson(n if values.all() else 0, n)
    return {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}


def mostly(right: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) right under more than half of the seeds; ties are wrong."""
    return np.asarray(right.sum(axis=0) * 2 > len(right))
