"""Which candidates are admitted to judgement. One that fails is rejected, never clipped.

A rejected candidate reverts to the clean example (no kill), with the reason. Everything is measured
in float64 from the referee's own clean copy. Where the candidate is a move, its numbers are held to
the rules and the picture is made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.changes import SPATIAL
from arena.changes.corruptions import KINDS, corrupted
from arena.changes.warp import warped
from arena.games.norms import CHANGED, distance, rows_of
from arena.rounds import Norm

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
    ``shift``: the most pixels of a spatial change, beside ``epsilon`` degrees.
    """

    norm: Norm
    epsilon: float | None
    grid: int | None = None
    mutable: NDArray[np.bool_] | None = None
    shift: float = 0.0
    add_only: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Admitted:
    """What will be judged: (n, *shape) ``x`` float32, and (n,) why a candidate was rejected.

    ``moves`` (n,): in words, what was done to each example; None where candidates are pictures.
    """

    x: NDArray[np.float32]
    rejections: NDArray[np.str_]
    moves: NDArray[np.object_] | None = None

    @property
    def rejected(self) -> NDArray[np.bool_]:
        return np.asarray(self.rejections != Rejection.NONE.value)

    @property
    def tally(self) -> dict[str, int]:
        """``rejected``, and ``rejected_<reason>`` for each reason that there was."""
        counts = {r: int((self.rejections == r.value).sum()) for r in Rejection if r.value}
        told = {f"rejected_{reason.value}": count for reason, count in counts.items() if count}
        return {"rejected": int(self.rejected.sum()), **told}


def admit(candidates: NDArray[Any], clean: NDArray[np.float32], budget: Budget) -> Admitted:
    """Accept or reject each candidate (n, *shape)."""
    on_grid = _truncated(candidates, clean, budget.grid)
    rejections = _rejections(candidates, on_grid, clean, budget)
    kept = (rejections == Rejection.NONE.value).reshape(len(clean), *[1] * (clean.ndim - 1))
    return Admitted(np.where(kept, on_grid, clean).astype(np.float32), rejections)


def admit_moves(
    moves: NDArray[Any], clean: NDArray[np.float32], budget: Budget, seeds: NDArray[np.uint64]
) -> Admitted:
    """Accept or reject each move (n, numbers), and make the pictures of those that are accepted.

    ``seeds`` (n,): what a corruption draws from. With a grid, pictures are rounded to its levels;
    features outside the task's mask keep their values, and add-only ones never fall.
    """
    rejections = _moves_rejected(np.asarray(moves, np.float64), budget)
    kept = np.where((rejections == Rejection.NONE.value)[:, None], moves, 0.0)
    made = warped(clean, kept) if budget.norm is Norm.SPATIAL else corrupted(clean, kept, seeds)
    if budget.grid is not None:
        levels = budget.grid - 1
        still = (kept == 0).all(axis=1).reshape(len(clean), *[1] * (clean.ndim - 1))
        made = np.where(still, clean, np.rint(made * levels) / levels).astype(np.float32)
    if budget.mutable is not None:
        made = np.where(budget.mutable, made, clean)
    if budget.add_only is not None:
        made = np.where(budget.add_only, np.maximum(made, clean), made)
    told = np.array([_in_words(move, budget.norm) for move in kept], object)
    return Admitted(np.ascontiguousarray(made, np.float32), rejections, told)


def _moves_rejected(moves: NDArray[np.float64], budget: Budget) -> NDArray[np.str_]:
    assert budget.epsilon is not None, "A move has a bound."
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(moves).all(axis=1))
    size = np.abs(np.where(finite[:, None], moves, 0.0))
    whole: NDArray[np.bool_] = np.ones(len(moves), bool)
    over: NDArray[np.bool_]
    if budget.norm is Norm.SPATIAL:
        most = np.array([budget.epsilon, budget.shift, budget.shift])
        over = np.asarray((size > most + SLACK).any(axis=1))
    else:
        named = np.where(finite[:, None], moves, 0.0)
        whole = np.asarray(((named == np.rint(named)) & (named >= 0)).all(axis=1))
        whole &= named[:, 0] < len(KINDS)
        over = np.asarray(size[:, 1] > budget.epsilon)
    reasons = np.full(len(moves), Rejection.NONE.value, dtype="U32")
    reasons[over] = Rejection.OVER_BUDGET.value
    reasons[~whole] = Rejection.OUT_OF_RANGE.value
    reasons[~finite] = Rejection.NOT_FINITE.value
    return reasons


def _in_words(move: NDArray[np.float64], norm: Norm) -> str:
    if not move.any():
        return ""
    if norm is Norm.CORRUPTION:
        return f"{KINDS[int(move[0])].replace('_', ' ')}, severity {int(move[1])}"
    right, down = (("right", "down")[i] if move[i + 1] >= 0 else ("left", "up")[i] for i in (0, 1))
    return f"{move[0]:.1f}°, {abs(move[1]):.1f} px {right}, {abs(move[2]):.1f} px {down}"


def random_moves(rows: int, budget: Budget, stream: np.random.RandomState) -> NDArray[np.float64]:
    """(rows, numbers) of the size of the budget: the control of a round of moves.

    Spatial: uniform within the bounds. Corruption: any kind, at the largest severity.
    """
    assert budget.epsilon is not None, "A move has a bound."
    if budget.norm is Norm.SPATIAL:
        most = np.array([budget.epsilon, budget.shift, budget.shift])
        return np.asarray(stream.uniform(-most, most, (rows, len(SPATIAL))))
    kinds = stream.randint(0, len(KINDS), rows)
    return np.stack([kinds, np.full(rows, budget.epsilon)], axis=1).astype(np.float64)


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
    slack = 0.0 if budget.norm in (Norm.L0, Norm.PATCH) else SLACK
    return distance(delta, budget.norm) > budget.epsilon + slack
