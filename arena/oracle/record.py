"""What the referee notes of an attack's play: when it first succeeded, and what it asked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arena.seats import Array


@dataclass
class Record:
    """What the referee noted of an attack's play, per example; -1: never."""

    queries_to_success: NDArray[np.int64]
    iterations: NDArray[np.float64]
    iterations_to_success: NDArray[np.float64]
    candidates: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    """The last one handed in early, by example."""
    gradients: int = 0
    zero_gradients: int = 0
    """Rows of all gradients that were answered, and those of them that were exactly zero."""
    claims: dict[int, bytes] = field(default_factory=dict)
    """The points of first successes that were only said beside a gradient, by example."""

    @classmethod
    def empty(cls, examples: int) -> Record:
        return cls(np.full(examples, -1, np.int64), np.zeros(examples), np.full(examples, -1.0))

    def note_hits(self, hits: NDArray[np.bool_], examples: Array, ordinals: Array) -> None:
        """(rows,) which of them are successes, whose they are, and which probe of it each was."""
        first = self.queries_to_success
        for row in np.flatnonzero(hits):
            if first[examples[row]] < 0:
                first[examples[row]] = ordinals[row]

    def note_claims(self, x: Array, examples: Array, iterations: NDArray[np.float64]) -> None:
        """Successes ``x`` (rows, *shape) that the defense told beside a gradient. What it says
        there need not be what it answers."""
        self.iterations_to_success[examples] = iterations[examples]
        for point, example in zip(x, examples.tolist(), strict=True):
            self.claims[example] = point.tobytes()

    def note_answers(
        self,
        x: Array,
        examples: Array,
        fell: NDArray[np.bool_],
        iterations: NDArray[np.float64],
        *,
        finds: NDArray[np.bool_],
    ) -> None:
        """(rows,) whether each of ``x`` is a success by what was answered: that decides about a
        claim. ``finds`` (rows,): whether it is also a success that was never claimed."""
        first = self.iterations_to_success
        for row in np.flatnonzero(np.isin(examples, list(self.claims))) if self.claims else ():
            example = int(examples[row])
            if self.claims.get(example) == x[row].tobytes():
                del self.claims[example]
                if not fell[row]:
                    first[example] = -1
        found = examples[fell & finds]
        found = found[(first[found] < 0) & (iterations[found] > 0)]
        first[found] = iterations[found]
