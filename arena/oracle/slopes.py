"""Some of the gradients that an attack was served, kept to see whether they lead uphill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.oracle.sample import Reservoir, Whose, nobody
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
        self,
        x: Array,
        seeds: Array,
        weights: Array,
        slopes: Array,
        leading: NDArray[np.intp],
        whose: Whose = nobody,
    ) -> None:
        """``slopes`` (n, *shape) at ``x`` (n, *shape); ``leading``: the rows of those that are not
        zero."""

        def made(place: int) -> Slope:
            row = int(leading[place])
            asked = np.array(weights[row])
            return Slope(x[row].copy(), int(seeds[row]), asked, slopes[row].copy(), whose(row))

        self.take(len(leading), made)
