"""The ball of radius ε around each example, cut to what the task allows, in single precision.

Bounds are rounded inwards once: whatever lies between them is within ε as the referee measures it,
in double precision, and no candidate has to be measured on the way. In L2 the radius gives up what
rounding d features may add.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from arena.players import EvasionChallenge

Real = TypeVar("Real", bound=np.floating)
Points = NDArray[np.float32]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ROUNDING = 3e-8
"""The most that rounding to float32 moves a coordinate in [0, 1]."""
RELATIVE = 1e-6
"""More than a sum of squares in single precision is off by."""


@dataclass(frozen=True)
class Ball:
    """``x``, ``low``, ``high`` (n, d) in [0, 1]; ``radius`` (n, 1), of L2; ``norm``: linf or l2."""

    norm: str
    x: Points = field(repr=False)
    low: Points = field(repr=False)
    high: Points = field(repr=False)
    radius: Points

    @classmethod
    def of(cls, challenge: EvasionChallenge, epsilon: Floats) -> Ball:
        """The balls of radius ``epsilon`` (n,) around ``challenge.x``."""
        x = challenge.x.reshape(len(challenge.x), -1)
        down, up = (np.full(x.shape, float(way)) for way in (-1, 1))
        if challenge.norm == "linf":
            down, up = (way * epsilon[:, None] for way in (down, up))
        down, up = challenge.task.allowed(down), challenge.task.allowed(up)
        exact = x.astype(np.float64)
        low = np.clip(exact + down, 0, 1).astype(np.float32)
        high = np.clip(exact + up, 0, 1).astype(np.float32)
        np.nextafter(low, np.float32(1), out=low, where=low - exact < down)
        np.nextafter(high, np.float32(0), out=high, where=high - exact > up)
        radius = (epsilon - ROUNDING * np.sqrt(x.shape[1])) * (1 - RELATIVE)
        return cls(challenge.norm, x, low, high, np.maximum(radius, 0)[:, None].astype(np.float32))

    def only(self, rows: NDArray[np.int64] | Bools) -> Ball:
        """The balls of ``rows``: their numbers, or (n,) whether each is one."""
        parts = (part[rows] for part in (self.x, self.low, self.high, self.radius))
        return Ball(self.norm, *parts)

    def project(self, points: Points) -> Points:
        """``points`` (n, d), moved into ball and box in place: clipped, in L2 then drawn to x."""
        np.clip(points, self.low, self.high, out=points)
        if self.norm == "l2":
            points -= self.x
            points *= np.minimum(1, self.radius / np.maximum(lengths(points), 1e-30))
            points += self.x
        return points


def lengths(delta: NDArray[Real]) -> NDArray[Real]:
    """(n, 1) L2 norms."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", delta, delta))[:, None], delta.dtype)


def steepest(slope: NDArray[Real], norm: str, size: NDArray[Real] | None = None) -> NDArray[Real]:
    """The step (n, d) of ``size`` (n, 1), or 1, along which a linear function grows fastest."""
    if norm == "linf":
        step = np.sign(slope)
        return np.asarray(step if size is None else np.multiply(step, size, out=step), slope.dtype)
    scale = (1.0 if size is None else size) / np.maximum(lengths(slope), 1e-30)
    return np.asarray(slope * scale, slope.dtype)
