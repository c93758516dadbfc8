"""Cases: which example is to be attacked towards which class.

An untargeted round has one case an example, so has a targeted one under ``random`` and
``least_likely``; under ``all`` there is one case for each class but the example's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arena.games.base import Examples
from arena.players import Labels
from arena.rounds import Goal, RoundSpec, TargetRule

NO_TARGET = -1

Scorer = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""(n, *shape) -> (n, classes): the house reference, for least likely targets."""


@dataclass(frozen=True, eq=False)
class Cases:
    """(c,) ``example``: position among the judged examples; (c,) ``target``, or None."""

    example: NDArray[np.int64]
    target: Labels | None

    def __len__(self) -> int:
        return len(self.example)

    @property
    def target_or_none(self) -> Labels:
        """(c,) the target, :data:`NO_TARGET` in untargeted rounds."""
        if self.target is None:
            return np.full(len(self), NO_TARGET, np.int64)
        return self.target

    def take(self, rows: NDArray[np.int64]) -> Cases:
        return Cases(self.example[rows], None if self.target is None else self.target[rows])


def deal(
    round_: RoundSpec,
    examples: Examples,
    *,
    classes: int,
    stream: np.random.RandomState,
    reference: Scorer,
) -> Cases:
    """The round's cases; ``stream`` hangs on the round, so that all attacks meet the same."""
    everyone = np.arange(len(examples))
    if round_.goal is Goal.UNTARGETED:
        return Cases(everyone, None)
    if round_.target_rule is TargetRule.RANDOM:
        return Cases(everyone, _others(examples.y, stream.randint(0, classes - 1, len(examples))))
    if round_.target_rule is TargetRule.LEAST_LIKELY:
        return Cases(everyone, least_likely(reference(examples.x), examples.y))
    each = np.repeat(everyone, classes - 1)
    return Cases(each, _others(examples.y[each], np.tile(np.arange(classes - 1), len(examples))))


def _others(y: Labels, rank: NDArray[np.int64]) -> Labels:
    """(n,) the ``rank``-th class among those that are not y."""
    return np.asarray(rank + (rank >= y), np.int64)


def least_likely(scores: NDArray[np.float64], y: Labels) -> Labels:
    """(n,) the class with the lowest score that is not y; the lower number on a tie."""
    scores = scores.copy()
    scores[np.arange(len(y)), y] = np.inf
    return np.asarray(scores.argmin(axis=1), np.int64)
