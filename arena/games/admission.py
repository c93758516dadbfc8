"""Which candidates are admitted to judgement. One that fails is rejected, never clipped.

A rejected candidate reverts to the clean example (no kill), with the reason. Everything is measured
in float64 from the referee's own clean copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from arena.games.norms import CHANGED, distance, rows_of
from arena.rounds import Norm
from arena.tasks import Task

SLACK: Final = 1e-6
"""What L1, L2 and L∞ may exceed epsilon by: the rounding of float32. L0 is exact."""


class Rejection(StrEnum):
    """Why a candidate was rejected; the outcome record's fixed vocabulary."""

    NONE = ""
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    IMMUTABLE = "immutable_feature_changed"
    LOWERED = "add_only_feature_lowered"
    OVER_BUDGET = "over_budget"


@dataclass(frozen=True)
class Budget:
    """What a candidate must keep to. ``epsilon`` None: any size (minimum-norm rounds).

    ``grid``: levels of the task's input grid, None for none. ``mutable`` and ``add_only``:
    (*shape) bool or None, the features that may change, and those that may only grow.
    """

    norm: Norm
    epsilon: float | None
    grid: int | None = None
    mutable: NDArray[np.bool_] | None = None
    add_only: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, task: Task, norm: Norm, epsilon: float | None) -> Self:
        """What the task allows, within epsilon."""
        return cls(norm, epsilon, task.grid, task.mutable, task.add_only)


@dataclass(frozen=True, eq=False)
class Admitted:
    """What will be judged: (n, *shape) ``x`` float32, and (n,) why a candidate was rejected."""

    x: NDArray[np.float32]
    rejections: NDArray[np.str_]

    @property
    def rejected(self) -> NDArray[np.bool_]:
        return np.asarray(self.rejections != Rejection.NONE.value)


def admit(candidates: NDArray[Any], clean: NDArray[np.float32], budget: Budget) -> Admitted:
    """Accept or reject each candidate (n, *shape)."""
    on_grid = _truncated(candidates, clean, budget.grid)
    rejections = _rejections(candidates, on_grid, clean, budget)
    kept = (rejections == Rejection.NONE.value).reshape(len(clean), *[1] * (clean.ndim - 1))
    return Admitted(np.where(kept, on_grid, clean).astype(np.float32), rejections)


def within(
    candidates: NDArray[Any], clean: NDArray[np.float32], budget: Budget
) -> NDArray[np.bool_]:
    """(n,) whether each candidate would be admitted as it is."""
    return ~admit(candidates, clean, budget).rejected


def _truncated(
    candidates: NDArray[Any], clean: NDArray[np.float32], grid: int | None
) -> NDArray[np.float32]:
    """With a grid, the perturbation is truncated toward x on it, so that no norm grows."""
    if grid is None:
        return np.asarray(candidates, np.float32)
    steps = grid - 1
    start = np.rint(np.asarray(clean, np.float64) * steps)
    with np.errstate(invalid="ignore"):
        moved = np.asarray(candidates, np.float64) * steps - start
        # float32 cannot hold most levels: a level reached up to rounding is reached.
        whole = np.where(abs(moved - np.rint(moved)) < 1e-3, np.rint(moved), np.trunc(moved))
        return np.where(whole == 0, clean, (start + whole) / steps).astype(np.float32)


def _rejections(
    candidates: NDArray[Any],
    judged: NDArray[np.float32],
    clean: NDArray[np.float32],
    budget: Budget,
) -> NDArray[np.str_]:
    """(n,) the first rule that each candidate breaks, in the order of :class:`Rejection`."""
    rows = len(clean)
    flat = rows_of(np.asarray(candidates, np.float64))
    finite = np.isfinite(flat)
    safe = np.where(np.isfinite(judged), judged, clean).astype(np.float64)
    delta = safe - np.asarray(clean, np.float64)
    bounded = np.where(finite, flat, 0.0)
    broken = {
        Rejection.NOT_FINITE: ~finite.all(axis=1),
        Rejection.OUT_OF_RANGE: ((bounded < 0) | (bounded > 1)).any(axis=1),
        Rejection.IMMUTABLE: _touches_immutable(delta, budget.mutable),
        Rejection.LOWERED: _lowers(delta, budget.add_only),
        Rejection.OVER_BUDGET: _over_budget(delta, budget),
    }
    reasons = np.full(rows, Rejection.NONE.value, dtype="U32")
    for reason, rows_broken in reversed(broken.items()):
        reasons[rows_broken] = reason.value
    return reasons


def _touches_immutable(
    delta: NDArray[np.float64], mutable: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    if mutable is None:
        return np.zeros(len(delta), bool)
    touched = (np.abs(delta) > CHANGED) & ~mutable
    return np.asarray(rows_of(touched).any(axis=1))


def _lowers(delta: NDArray[np.float64], add_only: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    if add_only is None:
        return np.zeros(len(delta), bool)
    return np.asarray(rows_of((delta < -CHANGED) & add_only).any(axis=1))


def _over_budget(delta: NDArray[np.float64], budget: Budget) -> NDArray[np.bool_]:
    if budget.epsilon is None:
        return np.zeros(len(delta), bool)
    slack = 0.0 if budget.norm is Norm.L0 else SLACK
    return distance(delta, budget.norm) > budget.epsilon + slack
