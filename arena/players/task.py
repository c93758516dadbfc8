"""What every player is told of the task, and the arrays that it deals in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Step = TypeVar("Step", bound=np.floating)
Images = NDArray[np.float32]
"""(n, *shape) float32 in [0, 1]."""
Scores = NDArray[np.float32]
"""(n, classes) float32: logits or probabilities, as the manifest declares."""
Labels = NDArray[np.int64]
"""(n,) int64 in [0, classes)."""


@dataclass(frozen=True)
class TaskInfo:
    """The schema of the task, as far as switch S2 (task knowledge) shows it.

    ``shape``: of one example; () when withheld. ``classes``: names; () when withheld.
    ``grid``: number of levels of the input grid, None for none. ``cost``: C[y, ŷ] or None.
    ``mutable``: (shape) bool, the features that may change, None for all.
    ``add_only``: (shape) bool, the features that may only grow, None for none.
    ``regression``: whether y are values (n,) float64 in [0, 1] rather than classes; never withheld.
    ``device``: "cpu", or "cuda" where the task lets its players use a GPU; never withheld.
    """

    name: str
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    grid: int | None = None
    cost: NDArray[np.float64] | None = None
    mutable: NDArray[np.bool_] | None = None
    add_only: NDArray[np.bool_] | None = None
    device: str = "cpu"
    regression: bool = False

    def allowed(self, delta: NDArray[Step]) -> NDArray[Step]:
        """``delta`` (n, *shape) or (n, features) without what the task forbids.

        0 where a feature is fixed, and nothing taken away where it may only grow. ``delta``
        itself where the task allows everything.
        """
        if self.mutable is not None:
            delta = delta * self.mutable.reshape(1, *delta.shape[1:])
        if self.add_only is not None:
            lowers = self.add_only.reshape(1, *delta.shape[1:]) & (delta < 0)
            delta = np.where(lowers, np.zeros((), delta.dtype), delta)
        return delta


def row_noise(shape: Sequence[int], seeds: NDArray[np.uint64]) -> Images:
    """Standard normal noise (n, *shape) float32 where row i depends on ``seeds[i]`` alone."""
    rows = [
        np.random.Generator(np.random.Philox(key=int(seed))).standard_normal(
            tuple(shape), dtype=np.float32
        )
        for seed in seeds
    ]
    return np.stack(rows) if rows else np.zeros((0, *shape), np.float32)
