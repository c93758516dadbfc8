"""The attack of a certificate: what an oracle sphere and slab lets through, worst point by point.

Steinhardt, Koh & Liang 2017 (arXiv:1706.03691), algorithm 1. For a linear model of hinge loss on m
clean points and floor(εm) poisoned ones in the feasible set F (sphere and slabs about the clean
means, and the box), rounds of online learning play

    (x, y) = argmax over F of loss(θ; x, y)
    U(θ)   = mean clean loss(θ) + ε loss(θ; x, y)
    θ      <- a dual averaging step on U

The least U(θ) found is a bound U* on the clean loss that *any* poison in F can leave to the best
linear model of that norm; the points found are an attack that comes near it. The maximum over F of
a linear function is exact: x = clip(μ + (c - ν a) / 2λ, 0, 1), λ and ν by bisection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arena.players import Poison, Poisoner, PoisoningChallenge

MANIFEST = """
schema_version = 1
name = "Certified bound"
role = "poisoner"
framework = "numpy"
entry = "player.py:CertifiedBound"
family = "certified attack"
description = "Worst points that an oracle's sphere and slabs let through; prints the bound U*."
"""

INSIDE = 0.995
"""Points keep so far inside, for the rounding of float32 and for means that move a little."""

Array = NDArray[np.float64]


class CertifiedBound(Poisoner):
    """Needs S alone; prints U* and how far below it the attack stays."""

    rounds = 80
    deviations = 5.0
    distinct = 50
    """The last points of the play, repeated until the budget is spent."""

    def poison(self, challenge: PoisoningChallenge) -> Poison:
        c = challenge
        flat = c.x.reshape(len(c.x), -1).astype(np.float64)
        feasible = Feasible.of(flat, c.y, self.deviations)
        found = play(flat, c.y, feasible, share=c.count / len(flat), rounds=self.rounds)
        print(f"U* = {found.bound:.4f} for a share of {c.count / len(flat):.3f}")  # noqa: T201
        turn = np.resize(np.arange(max(0, self.rounds - self.distinct), self.rounds), c.count)
        x = np.stack(found.points)[turn].reshape(-1, *c.x.shape[1:]).astype(np.float32)
        y = np.array(found.labels, np.int64)[turn]
        replaces = None
        if c.mode == "replace":
            replaces = c.rng().choice(len(c.x), c.count, replace=False)
        return Poison(np.clip(x, 0, 1), y, replaces)


@dataclass(frozen=True)
class Feasible:
    """Sphere and slabs of each class, about its mean: what an oracle keeps."""

    means: dict[int, Array]
    radii: dict[int, float]
    slabs: dict[tuple[int, int], float]

    @classmethod
    def of(cls, flat: Array, y: NDArray[np.int64], deviations: float) -> Feasible:
        """Of clean points (m, d): medians of the class, and median absolute deviations."""
        means = {int(k): flat[y == k].mean(axis=0) for k in np.unique(y)}
        radii, slabs = {}, {}
        for k, mean in means.items():
            offsets = flat[y == k] - mean
            radii[k] = _usual(np.linalg.norm(offsets, axis=1), deviations)
            for other in (j for j in means if j != k):
                slabs[k, other] = _usual(np.abs(offsets @ (mean - means[other])), deviations)
        return cls(means, radii, slabs)

    def farthest(self, slope: Array, label: int, rival: int) -> Array:
        """The point of class ``label`` that is farthest along ``slope``; the slab to ``rival``.

        Of several slabs that one alone binds: for two classes the maximum is exact.
        """
        mean, radius = self.means[label], INSIDE * self.radii[label]
        axis, width = mean - self.means[rival], INSIDE * self.slabs[label, rival]
        point = _in_sphere(slope, mean, radius)
        across = float((point - mean) @ axis)
        if abs(across) <= width:
            return point
        sign = np.sign(across)

        def beyond(pull: float) -> tuple[bool, Array]:
            found = _in_sphere(slope - pull * sign * axis, mean, radius)
            return float((found - mean) @ axis) * sign > width, found

        low, high = 0.0, float(np.linalg.norm(slope)) / max(1e-12, float(np.linalg.norm(axis)))
        while beyond(high)[0] and high < 1e9:
            low, high = high, 2 * high
        for _ in range(20):
            middle = (low + high) / 2
            low, high = (middle, high) if beyond(middle)[0] else (low, middle)
        return beyond(high)[1]


def _usual(values: Array, deviations: float) -> float:
    middle = np.median(values)
    return float(middle + deviations * np.median(np.abs(values - middle)))


def _in_sphere(slope: Array, mean: Array, radius: float) -> Array:
    """argmax <slope, x> over the ball about ``mean`` and the box [0, 1]."""
    low, high = 1e-9, 1.0
    while np.linalg.norm(np.clip(mean + slope * high, 0, 1) - mean) < radius and high < 1e9:
        high *= 4
    for _ in range(24):
        middle = (low * high) ** 0.5
        if np.linalg.norm(np.clip(mean + slope * middle, 0, 1) - mean) <= radius:
            low = middle
        else:
            high = middle
    point: Array = np.clip(mean + slope * low, 0, 1)
    return point


@dataclass
class Played:
    """``bound`` is U*; one point and label a round."""

    bound: float
    points: Sequence[Array] = field(default_factory=list)
    labels: Sequence[int] = field(default_factory=list)


def play(
    flat: Array, y: NDArray[np.int64], feasible: Feasible, *, share: float, rounds: int,
    norm: float = 10.0,
) -> Played:  # fmt: skip
    """Algorithm 1 with weights of Frobenius norm at most ``norm``."""
    features = np.concatenate([flat, np.ones((len(flat), 1))], axis=1)
    classes, rows = int(y.max()) + 1, np.arange(len(flat))
    weights, total = np.zeros((features.shape[1], classes)), np.zeros((features.shape[1], classes))
    points: list[Array] = []
    labels: list[int] = []
    bound, squares = np.inf, 0.0
    for _ in range(rounds):
        loss, slope = _hinge(features, y, weights, rows)
        worst, point, label, rival = _worst(weights, feasible)
        points.append(point)
        labels.append(label)
        bound = min(bound, loss + share * max(0.0, worst))
        if worst > 0:
            row = np.append(point, 1.0)
            slope[:, label] -= share * row
            slope[:, rival] += share * row
        total += slope
        squares += float((slope**2).sum())
        weights = -norm * total / max(1e-12, float(np.sqrt(squares * 2)))
        length = float(np.linalg.norm(weights))
        weights = weights * min(1.0, norm / max(length, 1e-12))
    return Played(float(bound), points, labels)


def _hinge(
    features: Array, y: NDArray[np.int64], weights: Array, rows: NDArray[np.int64]
) -> tuple[float, Array]:
    """Mean of max_k [k != y] + w_k.x - w_y.x, and its subgradient."""
    scores = features @ weights + 1.0
    scores[rows, y] -= 1.0
    worst = scores.argmax(axis=1)
    loss = float((scores[rows, worst] - scores[rows, y]).mean())
    pull = np.zeros_like(scores)
    pull[rows, worst] += 1.0
    pull[rows, y] -= 1.0
    return loss, features.T @ pull / len(features)


def _worst(weights: Array, feasible: Feasible) -> tuple[float, Array, int, int]:
    """The largest loss over F: (loss, point, label, the class that it is mistaken for)."""
    best: tuple[float, Array, int, int] = (-np.inf, np.zeros(0), 0, 0)
    for label in feasible.means:
        for rival in (k for k in feasible.means if k != label):
            slope = weights[:-1, rival] - weights[:-1, label]
            point = feasible.farthest(slope, label, rival)
            loss = 1 + float(point @ slope + weights[-1, rival] - weights[-1, label])
            if loss > best[0]:
                best = (loss, point, label, rival)
    return best
