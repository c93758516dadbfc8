"""Models that are trained alike answer alike: a fresh process, trained again, is asked again.

A model hangs on its training set and its seed, and an answer on the model and the row that is
asked. A learner that looks at who asks it could say one thing to the poisoner who probes it and
another to the judge; one that looks at what else it is asked could fit itself to the test. Neither
can do so in a process that is trained alike and asked something else.

A training that draws from the clock, or on a GPU, makes another model each time, which no rule
forbids. So where answers differ, one more process is trained and asked exactly as one before it:
what differs between these two is the training's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from arena.metrics import binomial_quantile, wilson

TRAINS_OTHERWISE: Final = "training_not_repeatable"
TOLERANCE: Final = 1e-4
"""What a probability of the very same model may differ by."""
QUANTILE: Final = 0.999
"""Of how many rows differ by chance, where training again makes another model."""


@dataclass(frozen=True)
class Differing:
    """Of ``rows`` rows: how many got another label, and how many another answer at all."""

    rows: int
    labels: int
    answers: int

    @classmethod
    def of(
        cls, other_label: NDArray[np.bool_], gap: NDArray[np.float64], *, tolerance: float
    ) -> Self:
        """``other_label`` (n,); ``gap`` (n,) between the probabilities told."""
        otherwise = other_label | (gap > tolerance)
        return cls(len(gap), int(other_label.sum()), int(otherwise.sum()))

    @classmethod
    def between(cls, one: NDArray[np.float64], other: NDArray[np.float64]) -> Self:
        """Two models' probabilities (n, columns) of the same rows."""
        gap = np.abs(one - other).max(axis=1, initial=0.0)
        return cls.of(one.argmax(axis=1) != other.argmax(axis=1), gap, tolerance=TOLERANCE)

    def explained_by(self, apart: Differing) -> bool:
        """Whether trainings that make models so far ``apart`` explain it. Those that make the same
        model explain nothing; of the others the cautious end of their share of labels is taken."""
        if not apart.answers:
            return False
        _, share = wilson(apart.labels, apart.rows)
        return self.labels <= binomial_quantile(self.rows, share, QUANTILE)
