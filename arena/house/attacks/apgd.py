"""APGD: projected gradient steps whose size is found on the way.

Algorithm 1 of Croce & Hein 2020 (arXiv:2003.01690): steps of 2 ε with momentum, halved at
checkpoints where too few steps climbed or neither size nor best loss has changed, and taken up
again from the best point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from arena.house.attacks.audit import NEAR, Audit, Bools, Labels, Loss, Scores
from arena.house.attacks.ball import Ball, Points, lengths, steepest
from arena.house.attacks.square import hopeless

MOMENTUM = 0.75
CLIMBS = 0.75
"""ρ: a stretch in which a smaller share of the steps climbed halves the step."""


def apgd(audit: Audit, loss: Loss, steps: int, rows: Labels) -> None:
    """One run over ``rows``, which stand (algorithm 1 of the paper)."""
    if not len(rows):
        return
    climb = _Climb.of(audit, loss, rows)
    checkpoints = _checkpoints(steps)
    for step in range(1, steps):
        if not len(climb.rows) or audit.late:
            return
        climb.move(1.0 if step == 1 else MOMENTUM)
        climb.look()
        if step in checkpoints:
            left = math.log(steps / step) / math.log(step / (step - checkpoints[step] or 1))
            climb.check(checkpoints[step], left=left)
    climb.look_again(np.ones(len(climb.rows), bool))


def _checkpoints(steps: int) -> dict[int, int]:
    """Step -> length of the stretch that ends there: .22 of the steps, then .03 less each time."""
    places, stretch, place = {}, max(int(0.22 * steps), 1), 0
    least, less = max(int(0.06 * steps), 1), max(int(0.03 * steps), 1)
    while place + stretch < steps:
        place += stretch
        places[place] = stretch
        stretch = max(stretch - less, least)
    return places


@dataclass
class _Climb:
    """Where the run stands, one row for each example that has not fallen or been given up.

    ``weights`` are what the loss makes of the logits at the point before: the slope takes one pass
    a step, the likeliest classes trail it by one.
    """

    audit: Audit
    loss_of: Loss
    rows: Labels
    ball: Ball
    point: Points
    before: Points
    slope: Points
    weights: Scores | Labels
    loss: Scores
    size: Points
    best: Points
    best_slope: Points
    best_loss: Scores
    climbs: Labels
    last_best: Scores
    reduced: Bools

    @classmethod
    def of(cls, audit: Audit, loss: Loss, rows: Labels) -> _Climb:
        ball, n = audit.ball.only(rows), len(rows)
        if ball.norm == "l2":
            drawn = audit.rng.standard_normal(ball.x.shape, np.float32)
            drawn *= audit.epsilon / np.maximum(lengths(drawn), 1e-30)
        else:
            drawn = 2 * audit.rng.random(ball.x.shape, np.float32) - 1
            drawn *= audit.epsilon / np.abs(drawn).max(1, keepdims=True)
        drawn += ball.x
        point = ball.project(drawn)
        climb = cls(
            audit=audit,
            loss_of=loss,
            rows=rows,
            ball=ball,
            point=point,
            before=point,
            slope=np.zeros_like(point),
            weights=loss(rows, audit.first[rows])[1],
            loss=np.zeros(n, np.float32),
            size=np.full((n, 1), 2 * audit.epsilon, np.float32),
            best=point.copy(),
            best_slope=np.zeros_like(point),
            best_loss=np.full(n, -np.inf, np.float32),
            climbs=np.zeros(n, np.int64),
            last_best=np.zeros(n, np.float32),
            reduced=np.ones(n, bool),
        )
        climb.look()
        climb.only((climb.slope != 0).any(1))  # where there is no slope, no step is ever taken
        climb.last_best, climb.climbs = climb.best_loss.copy(), np.zeros_like(climb.climbs)
        return climb

    def look(self) -> None:
        """Loss and slope at the point; what fell leaves, the best point is kept."""
        logits, self.slope = self.audit.slopes(self.point, self.weights)
        logits = self.audit.judged(self.rows, self.point, logits)
        loss, self.weights = self.loss_of(self.rows, logits)
        hit = self.audit.keep(self.rows, self.point, logits)
        self.climbs += loss > self.loss
        self.loss = loss
        better = loss > self.best_loss
        self.best[better], self.best_slope[better] = self.point[better], self.slope[better]
        self.best_loss[better] = loss[better]
        self.only(~hit)

    def move(self, share: float) -> None:
        """z = P(x + η s(g)), then x + a (z - x) + (1 - a) (x - x_before)."""
        ahead = steepest(self.slope, self.ball.norm, self.size)
        ahead += self.point
        ahead = self.ball.project(ahead)
        ahead -= self.point
        ahead *= share
        if share < 1:
            inertia = self.point - self.before
            inertia *= 1 - share
            ahead += inertia
        ahead += self.point
        self.before, self.point = self.point, self.ball.project(ahead)

    def check(self, stretch: int, *, left: float) -> None:
        """Halve the step where it does not pay, and go on from the best point; or not at all."""
        stuck = self.climbs < CLIMBS * stretch
        still = ~self.reduced & (self.last_best >= self.best_loss)
        halve, lost = stuck | still, self._lost(left)
        fallen = self.look_again(halve | lost)
        self.size[halve] /= 2
        self.point[halve], self.slope[halve] = self.best[halve], self.best_slope[halve]
        self.loss[halve] = self.best_loss[halve]
        self.reduced, self.last_best = halve, self.best_loss.copy()
        self.climbs = np.zeros_like(self.climbs)
        self.only(~lost & ~fallen)

    def look_again(self, left: Bools) -> Bools:
        """Which fall, of the rows whose point is ``left`` behind: as the defense answers there."""
        fallen = left.copy()
        if left.any():
            rows, point = self.rows[left], self.point[left]
            fallen[left] = self.audit.keep(rows, point, self.audit.logits(point))
        return fallen

    def _lost(self, left: float) -> Bools:
        """Which runs to give up; of a ratio, 0 is the boundary."""
        if self.loss_of == self.audit.cross_entropy:
            return np.zeros(len(self.rows), bool)
        best, closest = self.best_loss, self.audit.closest
        closest[self.rows] = np.maximum(closest[self.rows], best)
        lost = hopeless(-best, -self.last_best, left=left, slack=self.audit.slack)
        return lost & (best < -NEAR)

    def only(self, keep: Bools) -> None:
        if keep.all():
            return
        self.ball = self.ball.only(keep)
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, value[keep])
