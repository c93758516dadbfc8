"""Some of what an attack was answered, kept so that it can be asked again of somebody else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from arena.answers import Answer, Answers, each
from arena.seats import Array

SAMPLED: Final = 128
"""Answers that are kept of each challenge, so that they can be asked for again."""

Kept = TypeVar("Kept")
Reader = Callable[[Array], Answers]
"""Of raw scores (n, columns)."""
Whose = Callable[[int], int | None]
"""row -> the judged example that it is about, where that is known."""


def nobody(_row: int) -> None:
    """Where it is not."""


@dataclass(frozen=True, eq=False)
class Heard:
    """One answer that an attack was given to ``x`` (*shape): raw ``scores`` (columns,).

    ``example``: the judged one that the attack asked about, where it said so.
    """

    x: NDArray[np.float32]
    seed: int
    scores: NDArray[np.float32]
    read: Reader
    example: int | None = None

    @property
    def answer(self) -> Answer:
        scores = self.scores[None]
        return each(self.read(scores), scores)[0]


class Reservoir(Generic[Kept]):
    """Some of all that is offered, each as likely to be kept as any other.

    Reservoir sampling that draws how many rows it passes over (Li 1994, Algorithm L): a row that
    is not kept costs a comparison.
    """

    def __init__(self, stream: np.random.RandomState) -> None:
        self._stream = stream
        self._kept: list[Kept] = []
        self._offered = self._next = 0
        """Rows so far, and the number of the next one that is kept."""
        self._below = 1.0

    def drawn(self) -> list[Kept]:
        """In an order that tells nothing of when they were given."""
        return [self._kept[i] for i in self._stream.permutation(len(self._kept))]

    def take(self, rows: int, made: Callable[[int], Kept]) -> None:
        """``rows`` are offered; ``made``: what is kept of one of them."""
        before = self._offered
        self._offered += rows
        while self._next < self._offered:
            self._keep(made(self._next - before))

    def _keep(self, kept: Kept) -> None:
        if len(self._kept) < SAMPLED:
            self._kept.append(kept)
        else:
            self._kept[self._stream.randint(SAMPLED)] = kept
        self._next += 1
        if len(self._kept) == SAMPLED:
            self._below *= math.exp(self._log_uniform() / SAMPLED)
            self._next += int(self._log_uniform() / math.log1p(-self._below))

    def _log_uniform(self) -> float:
        return math.log(1.0 - self._stream.random_sample())


class Sample(Reservoir[Heard]):
    """Of all answers."""

    def heard(self) -> list[Heard]:
        return self.drawn()

    def offer(
        self, x: Array, seeds: Array, scores: Array, read: Reader, whose: Whose = nobody
    ) -> None:
        """``x`` (n, *shape), answered with ``scores`` (n, columns)."""

        def made(row: int) -> Heard:
            return Heard(x[row].copy(), int(seeds[row]), scores[row].copy(), read, whose(row))

        self.take(len(x), made)
