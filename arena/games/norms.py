"""How a perturbation is measured, and random noise of a given size (docs/rules.md, "Norms").

Everything is float64. An image (channels, height, width) counts a pixel with all its channels as
one feature in L0; any other example counts each of its features.
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from arena.rounds import MOVES, Norm

MEASURED: Final = tuple(norm for norm in Norm if norm not in MOVES)
"""What has a size that can be measured on the pictures."""
CHANGED: Final = 1e-6
"""A feature counts as changed, for L0 and for immutable features, beyond this."""

Delta = NDArray[np.float64]
Scalar = TypeVar("Scalar", bound=np.generic)


def distance(delta: NDArray[Any], norm: Norm) -> Delta:
    """(n,) the size of each perturbation (n, *shape), in one of :data:`MEASURED`."""
    assert norm in MEASURED, f"{norm} has no size."
    size = np.abs(np.asarray(delta, np.float64))
    flat = rows_of(size)
    if norm is Norm.LINF:
        return np.asarray(flat.max(axis=1, initial=0.0))
    if norm is Norm.L2:
        return np.asarray(np.sqrt((flat**2).sum(axis=1)))
    if norm is Norm.L1:
        return np.asarray(flat.sum(axis=1))
    if norm is Norm.PATCH:
        return _rectangle(size)
    return np.asarray(_features_changed(size).sum(axis=1), np.float64)


def rows_of(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """(n, features), for n = 0 too."""
    return array.reshape(len(array), math.prod(array.shape[1:]))


def farthest(x: NDArray[Any], norm: Norm) -> Delta:
    """(n,) the largest perturbation that any candidate could have: what a miss costs."""
    x = np.asarray(x, np.float64)
    return distance(np.maximum(x, 1.0 - x), norm)


def _features_changed(size: Delta) -> NDArray[np.bool_]:
    changed: NDArray[np.bool_] = np.asarray(size > CHANGED)
    if changed.ndim == 4:
        changed = np.asarray(changed.any(axis=1))
    return rows_of(changed)


def _rectangle(size: Delta) -> Delta:
    """(n,) the share that the smallest upright rectangle around all that changed has.

    Features that are no picture are a picture one pixel high: their rectangle is a run.
    """
    changed: NDArray[np.bool_] = np.asarray(size > CHANGED)
    if changed.ndim == 4:
        changed = np.asarray(changed.any(axis=1))
    if changed.ndim != 3:
        changed = changed.reshape(len(changed), 1, -1)
    rows, columns = (_extent(np.asarray(changed.any(axis=axis))) for axis in (2, 1))
    return np.asarray(rows * columns / math.prod(changed.shape[1:]), np.float64)


def _extent(lines: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n,) how many lines (n, m) from the first that holds a change to the last."""
    first, last = lines.argmax(axis=1), lines.shape[1] - lines[:, ::-1].argmax(axis=1)
    return np.asarray(np.where(lines.any(axis=1), last - first, 0), np.int64)


def patch_sides(share: float, *, height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of the squarest rectangle of at most that share; at least one pixel."""
    pixels = max(1, int(share * height * width + 1e-6))
    rows = [r for r in range(1, height + 1) if pixels // r >= 1]
    sides = [(r, min(width, pixels // r)) for r in rows]
    return max(sides, key=lambda side: (side[0] * side[1], -abs(side[0] - side[1])))


def random_perturbation(
    shape: tuple[int, ...], *, norm: Norm, epsilon: float, stream: np.random.RandomState
) -> Delta:
    """(n, *shape) random perturbations of size ``epsilon``: the control that any attack must beat.

    L∞: each feature by plus or minus epsilon. L2: a random direction. L1: a random direction of
    the simplex. L0: as many random features, each moved by a uniform step in [-1, 1]. Patch: the
    same for all features of a random rectangle of that area.
    """
    if norm is Norm.LINF:
        return epsilon * stream.choice([-1.0, 1.0], shape)
    if norm is Norm.L0:
        return _sparse(shape, count=int(epsilon), stream=stream)
    if norm is Norm.PATCH:
        return _patches(shape, share=epsilon, stream=stream)
    raw = stream.standard_normal(shape) if norm is Norm.L2 else stream.laplace(size=shape)
    size = distance(raw, norm).reshape(-1, *[1] * (len(shape) - 1))
    return np.asarray(epsilon * raw / size)


def _sparse(shape: tuple[int, ...], *, count: int, stream: np.random.RandomState) -> Delta:
    rows, places = shape[0], shape[2:] if len(shape) == 4 else shape[1:]
    ranks = stream.random_sample((rows, int(np.prod(places)))).argsort(axis=1)
    chosen = (ranks < count).reshape(rows, *places)
    if len(shape) == 4:
        chosen = chosen[:, None]
    return np.asarray(stream.uniform(-1.0, 1.0, shape) * chosen)


def _patches(shape: tuple[int, ...], *, share: float, stream: np.random.RandomState) -> Delta:
    """A vector is a picture one pixel high, as where it is measured."""
    height, width = shape[-2:] if len(shape) > 2 else (1, shape[-1])
    rows, columns = patch_sides(share, height=height, width=width)
    delta = np.zeros((shape[0], math.prod(shape[1:]) // (height * width), height, width))
    top = stream.randint(0, height - rows + 1, len(delta))
    left = stream.randint(0, width - columns + 1, len(delta))
    for image, r, c in zip(delta, top, left, strict=True):
        part = image[:, r : r + rows, c : c + columns]
        part[:] = stream.uniform(-1.0, 1.0, part.shape)
    return delta.reshape(shape)
