"""Some of the gradients that an attack was served, kept to see whether they lead uphill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.oracle.sample import Reservoir
from arena.seats import Array


@dataclass(frozen=True, eq=False)
class Slope:
    """``slope`` (*shape) was said to be the gradient at ``x`` (*shape), under ``seed``, of what
    ``weights`` ask for: a label's cross-entropy, or a sum of logits (columns,).

    ``example``: the judged one that it is about, where that is known.
    """

    x: NDArray[np.float32]
    seed: int
    weights: NDArray[Any]
    slope: NDArray[np.float32]
    example: int | None = None


class Slopes(Reservoir[Slope]):
    """Of all gradients that were not exactly zero: those are counted, and lead nowhere."""

    def offer(
        self, x: Array, seeds: Array, weights: Array, slopes: Array, examples: Array | None
    ) -> None:
        """``slopes`` (n, *shape) at ``x`` (n, *shape); ``examples`` (n,): whose."""
        rows = np.flatnonzero(slopes.reshape(len(slopes), -1).any(axis=1))

        def made(place: int) -> Slope:
            row = rows[place]
            whose = None if examples is None else int(examples[row])
            asked = np.array(weights[row])
            return Slope(x[row].copy(), int(seeds[row]), asked, slopes[row].copy(), whose)

        self.take(len(rows), made)
