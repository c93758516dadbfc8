"""Timing that says what it measured: minimum, median and 95th percentile of several runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timed:
    """Seconds of each run, ascending."""

    seconds: tuple[float, ...]

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Timed:
        return cls(tuple(sorted(seconds)))

    @property
    def least(self) -> float:
        """The physical limit: a busy machine only adds."""
        return self.seconds[0]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def p95(self) -> float:
        return self.seconds[min(len(self.seconds) - 1, int(0.95 * len(self.seconds)))]


def timed(work: Callable[[], object], *, runs: int, warm_up: int = 1) -> Timed:
    """Run ``work`` ``warm_up`` times untimed, then ``runs`` times."""
    for _ in range(warm_up):
        work()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return Timed.of(seconds)
