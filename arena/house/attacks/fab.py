"""FAB, targeted: the nearest mistake, by steps onto the plane between two classes.

Croce & Hein 2020 (arXiv:1907.02044), algorithm 1. With the logits' gap and its gradient n at the
point, each step projects point and x onto the plane where the two logits would be equal if they
were linear, within the box (eq. 7); mixes both and overshoots (eq. 9); a success is drawn back
towards x.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

FARTHER = 1.05
"""η: overshoot of each projection."""
PULL_MOST = 0.1
"""α: the most that x itself counts in a step."""
BACK = 0.9
"""β: a success is drawn so far towards x."""
TINY, FAR = 1e-30, 1e30


def stepped(x: Floats, point: Floats, gap: Floats, normal: Floats, norm: str) -> Floats:
    """Eq. 9: the next point (n, d), of a ``gap`` (n,) that ``normal`` (n, d) is the slope of."""
    here = to_plane(point, normal, -gap, norm)
    there = to_plane(x, normal, -gap - np.einsum("ij,ij->i", normal, x - point), norm)
    one, other = sizes(here, norm), sizes(there, norm)
    share = np.minimum(one / np.maximum(one + other, TINY), PULL_MOST)[:, None]
    here *= FARTHER
    here += point
    here *= 1 - share
    there *= FARTHER
    there += x
    there *= share
    here += there
    return np.clip(here, 0, 1, out=here)


def to_plane(point: Floats, normal: Floats, level: Floats, norm: str) -> Floats:
    """The smallest δ with <normal, δ> = level and point + δ in the box; else the box's corner.

    |δ_i| = min(τ r_i, room_i), with r_i = 1 for L∞ and |n_i| for L2. The product with the normal
    is concave in τ and linear between the places where a coordinate reaches the wall: Newton's
    steps climb to the root from below and end where the last of them met no wall.
    """
    towards = normal * np.where(level >= 0, 1, -1).astype(normal.dtype)[:, None]
    steep, level = np.abs(towards), np.abs(level)
    room = np.where(towards > 0, 1 - point, point)
    rise = np.asarray(steep > 0, normal.dtype) if norm == "linf" else steep
    pull, spend = steep * rise, steep * room
    moving, spent = pull.sum(1), np.zeros(len(point), normal.dtype)
    scale = level / np.maximum(moving, TINY)
    for _ in range(point.shape[1]):
        free = rise * scale[:, None] < room
        left = np.einsum("ij,ij->i", pull, free)
        if np.array_equal(left, moving):
            break
        moving, spent = left, spend.sum(1) - np.einsum("ij,ij->i", spend, free)
        further = (level - spent) / np.maximum(moving, TINY)
        scale = np.where(moving > 0, np.maximum(scale, further), FAR).astype(normal.dtype)
    size = np.minimum(np.where(rise > 0, scale[:, None], 0) * np.maximum(rise, TINY), room)
    return np.asarray(np.sign(towards) * size, normal.dtype)


def sizes(delta: Floats, norm: str) -> Floats:
    """(n,) norms."""
    found = np.abs(delta).max(1, initial=0)
    if norm != "linf":
        found = np.sqrt(np.einsum("ij,ij->i", delta, delta))
    return np.asarray(found, delta.dtype)
