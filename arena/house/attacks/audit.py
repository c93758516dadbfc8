"""What the parts of the audit share: which examples stand, what they cost to climb, who has fallen.

    DLR_t(z) = -(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2),   z_(k) the k-th largest logit

The ratio of Croce & Hein 2020 (arXiv:2003.01690, eq. 7), towards a target t; its sign is that of
the margin, and no scale of the logits changes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arena.house.attacks.answered import answered
from arena.house.attacks.ball import Ball, Points
from arena.players import EvasionChallenge

Images = NDArray[np.float32]
Scores = NDArray[np.float32]
Labels = NDArray[np.int64]
Bools = NDArray[np.bool_]
Loss = Callable[[Labels, Scores], tuple[Scores, Scores | Labels]]
"""(rows, logits) -> (value (n,), weights of the logits whose gradient climbs it)."""

NEAR = 0.1
"""A best ratio above -NEAR is a near miss: its run is played to the end, and it gets another."""


@dataclass
class Audit:
    """Which examples still stand, and the candidates of those that fell.

    ``rivals`` (n, classes): the classes of each example, the likeliest wrong one first.
    ``slack``: see :func:`hopeless`.
    """

    challenge: EvasionChallenge
    labels: Labels
    first: Scores = field(repr=False)
    ball: Ball = field(repr=False)
    rivals: Labels = field(repr=False)
    best: Images = field(repr=False)
    closest: Scores
    done: Bools
    until: float
    rng: np.random.Generator
    repeats: int
    slack: float

    @classmethod
    def of(
        cls,
        challenge: EvasionChallenge,
        *,
        until: float,
        before: tuple[Images, Images, Bools] | None,
        slack: float,
    ) -> Audit:
        assert challenge.epsilon is not None, "The audit searches a ball of a given size."
        x = challenge.x
        first = challenge.defense.logits(x).copy()
        noisy = not np.array_equal(first, challenge.defense.logits(x))
        labels = first.argmax(1) if challenge.y is None else challenge.y
        audit = cls(
            challenge=challenge,
            labels=labels,
            first=first,
            ball=Ball.of(challenge, np.full(len(x), challenge.epsilon)),
            rivals=_rivals(first[:, : len(challenge.task.classes) or None], labels),
            best=x.copy(),
            closest=np.full(len(x), -np.inf, np.float32),
            done=np.zeros(len(x), bool),
            until=until,
            rng=challenge.rng(),
            repeats=10 if noisy else 1,
            slack=np.inf if noisy else slack,
        )
        audit.keep(np.arange(len(x)), audit.ball.x, first)
        if before is not None and np.array_equal(before[0], x):
            rows = np.flatnonzero(before[2] & ~audit.done)
            audit.best[rows], audit.done[rows] = before[1][rows], True
        return audit

    @property
    def open(self) -> Labels:
        return np.flatnonzero(~self.done)

    @property
    def near(self) -> Labels:
        return np.flatnonzero(~self.done & (self.closest > -NEAR))

    @property
    def late(self) -> bool:
        return time.monotonic() > self.until

    @property
    def classes(self) -> int:
        return int(self.rivals.shape[1])

    @property
    def epsilon(self) -> float:
        return self.challenge.epsilon or 0.0

    def logits(self, points: Points) -> Scores:
        return self.challenge.defense.logits(self.shaped(points))

    def slopes(self, points: Points, weights: Scores | Labels) -> tuple[Scores, Points]:
        """Logits, and the gradient (n, d) of what ``weights`` say of them."""
        answer = self.challenge.defense.logits_and_gradient(self.shaped(points), weights)
        return answer[0], answer[1].reshape(len(points), -1)

    def judged(self, rows: Labels, points: Points, logits: Scores) -> Scores:
        """``logits`` that came with a slope; as the defense answers where they say a row fell."""
        if self.repeats > 1:  # a vote is taken
            return logits
        return answered(
            self.challenge.defense, self.shaped(points), logits, self._wrong(rows, logits)
        )

    def shaped(self, points: Points) -> Images:
        return points.reshape(-1, *self.challenge.x.shape[1:])

    def keep(self, rows: Labels, points: Points, logits: Scores) -> Bools:
        """Note which of ``rows`` fell to these points; (rows,) those."""
        hit = self._wrong(rows, logits) & ~self.done[rows]
        if self.repeats > 1 and hit.any():
            hit[hit] = self._mostly(rows[hit], points[hit])
        self.best[rows[hit]], self.done[rows[hit]] = self.shaped(points[hit]), True
        return hit

    def _mostly(self, rows: Labels, points: Points) -> Bools:
        """For a stochastic defense: which rows are wrong most of the time."""
        wrong = np.zeros(len(rows))
        for _ in range(self.repeats):
            wrong += self._wrong(rows, self.logits(points))
        mostly: Bools = wrong > 0.5 * self.repeats
        return mostly

    def _wrong(self, rows: Labels, logits: Scores) -> Bools:
        answers = logits.argmax(1)
        wrong: Bools = (answers != self.labels[rows]) & (answers < self.classes)
        return wrong

    # ── losses: value (n,) and weights of the logits whose gradient climbs it ─────────────────

    def cross_entropy(self, rows: Labels, logits: Scores) -> tuple[Scores, Labels]:
        z = logits - logits.max(1, keepdims=True)
        own = self.labels[rows]
        return np.log(np.exp(z).sum(1)) - z[np.arange(len(rows)), own], own

    def ratio(self, rank: int) -> Loss:
        """DLR towards each example's ``rank``-th likeliest wrong class (eq. 7)."""

        def loss(rows: Labels, logits: Scores) -> tuple[Scores, Scores]:
            z, line = logits[:, : self.classes], np.arange(len(rows))
            own, aim = self.labels[rows], self.rivals[rows, rank]
            order = np.argsort(-z, axis=1, kind="stable")
            third, fourth = order[:, min(2, z.shape[1] - 1)], order[:, min(3, z.shape[1] - 1)]
            spread = z[line, order[:, 0]] - (z[line, third] + z[line, fourth]) / 2 + 1e-12
            gap = z[line, own] - z[line, aim]
            weights = np.zeros_like(logits)
            weights[line, own] -= 1 / spread
            weights[line, aim] += 1 / spread
            weights[line, order[:, 0]] += gap / spread**2
            for place in (third, fourth):
                weights[line, place] -= gap / (2 * spread**2)
            return -gap / spread, np.clip(weights, -1e4, 1e4)

        return loss


def _rivals(logits: Scores, labels: Labels) -> Labels:
    others = logits.copy()
    others[np.arange(len(others)), labels] = -np.inf
    order: Labels = np.argsort(-others, axis=1, kind="stable")
    return order
