"""The audit: four attacks after one another, each on what the others left standing.

AutoAttack's standard protocol (Croce & Hein 2020, arXiv:2003.01690, section 5):

    APGD on the cross-entropy                       100 steps, one start
    APGD on the targeted ratio of logits            100 steps, one start for each of 9 targets
    FAB, targeted (Croce & Hein 2020, 1907.02044)   100 steps, one start for each of 9 targets
    Square                                          5,000 queries

    DLR_t(z) = -(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2),   z_(k) the k-th largest logit

APGD (algorithm 1 of the first paper): steps of 2 ε, halved at checkpoints where too few steps
climbed or neither size nor best loss has changed, and taken up again from the best point. Targets
are the likeliest wrong classes. Nothing is computed for an example that has fallen, within a run
too, and a larger ε begins with what fell at a smaller one.

What the verdict does not hang on is left out: a run whose slope is zero, which cannot move; a run
whose last gains, kept up, would not reach a mistake (``hopeless`` in Square).
What that saves pays for a second start of the targeted APGD where a ratio came close to zero. A
slope takes one pass: the classes in the ratio's denominator are those of the point before. Where
time runs short, what is left of the protocol is left out, and what was found is handed in.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arena.house.attacks.answered import answered
from arena.house.attacks.ball import Ball, Points, lengths, steepest
from arena.house.attacks.fab import BACK, sizes, stepped
from arena.house.attacks.square import Square, doubled, hopeless
from arena.players import EvasionAttack, EvasionChallenge, QueryBudgetExceeded

MANIFEST = """
schema_version = 1
name = "Audit suite"
role = "attack"
entry = "player.py:AuditSuite"
family = "iterative gradient"
description = "APGD on two losses, FAB and Square after one another: AutoAttack's protocol."

[needs]
gradients = true
norms = ["linf", "l2"]
games = ["evasion"]
goals = ["untargeted"]
"""

Images = NDArray[np.float32]
Scores = NDArray[np.float32]
Labels = NDArray[np.int64]
Bools = NDArray[np.bool_]

MOMENTUM = 0.75
NEAR = 0.1
"""A best ratio above -NEAR is a near miss: its run is played to the end, and it gets another."""
CLIMBS = 0.75
"""ρ: a stretch in which a smaller share of the steps climbed halves the step."""
SHARE = 0.85
"""Of the time that the round grants; each level may use half of what is left."""
USUAL_SECONDS = 120.0


class AuditSuite(EvasionAttack):
    """``steps`` a run, ``targets`` classes, ``queries`` of Square; ``parts`` that are played.

    ``slack``: runs that are hopeless by it are given up; infinite plays all to the end.
    """

    steps = 100
    targets = 9
    queries = 5000
    slack = 1.0
    parts = ("apgd-ce", "apgd-t", "fab-t", "square")

    _ends = 0.0
    _fallen: tuple[Images, Images, Bools] | None = None
    """The examples of the level before, their candidates, and which of them fell."""

    def attack(self, challenge: EvasionChallenge) -> Images:
        for option in ("steps", "targets", "queries", "slack", "parts"):
            setattr(self, option, self.options.get(option, getattr(self, option)))
        audit = _Audit.of(challenge, until=self._until(), before=self._fallen, slack=self.slack)
        try:
            for part in self.parts:
                for run in self._runs(part, audit):
                    if not len(audit.open) or audit.late:
                        break
                    run()
                    challenge.submit(audit.best)
        except QueryBudgetExceeded:  # the defense's time is up: what was found stands
            pass
        self._fallen = challenge.x.copy(), audit.best.copy(), audit.done.copy()
        return audit.best

    def _runs(self, part: str, audit: _Audit) -> Iterator[Callable[[], None]]:
        targets = range(min(self.targets, audit.classes - 1))
        if part == "apgd-ce":
            yield lambda: apgd(audit, audit.cross_entropy, self.steps, audit.open)
        elif part == "apgd-t":
            for rows in (lambda: audit.open, lambda: audit.near):
                yield from (
                    lambda k=k, rows=rows: apgd(audit, audit.ratio(k), self.steps, rows())
                    for k in targets
                )
        elif part == "fab-t":
            yield from (lambda k=k: fab(audit, k, self.steps) for k in targets)
        else:
            yield lambda: square(audit, self.queries)

    def _until(self) -> float:
        """When this level has to hand in."""
        now = time.monotonic()
        if not self._ends:
            granted = float(resource.getrlimit(resource.RLIMIT_CPU)[0])
            usual = granted if granted != resource.RLIM_INFINITY else USUAL_SECONDS
            self._ends = now + SHARE * usual
        return now + max(0.0, self._ends - now) / 2


@dataclass
class _Audit:
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
    ) -> _Audit:
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


Loss = Callable[[Labels, Scores], tuple[Scores, Scores | Labels]]


# ── APGD ───────────────────────────────────────────────────────────────────────────────────────


def apgd(audit: _Audit, loss: Loss, steps: int, rows: Labels) -> None:
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

    audit: _Audit
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
    def of(cls, audit: _Audit, loss: Loss, rows: Labels) -> _Climb:
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


# ── FAB ────────────────────────────────────────────────────────────────────────────────────────


def fab(audit: _Audit, rank: int, steps: int) -> None:
    """FAB towards each example's ``rank``-th likeliest wrong class (algorithm 1 of its paper).

    It looks for the nearest mistake; what comes to lie within ε has fallen.
    """
    rows, norm = audit.open, audit.challenge.norm
    ball, point = audit.ball.only(rows), audit.ball.x[rows]
    checks, far = doubled(steps), sizes(np.ones_like(point), norm)
    nearest, before = far, np.full(len(rows), np.inf)
    for step in range(steps):
        if not len(rows) or audit.late:
            return
        line, aim = np.arange(len(rows)), audit.rivals[rows, rank]
        weights = np.zeros((len(rows), audit.first.shape[1]), np.float32)
        weights[line, aim], weights[line, audit.labels[rows]] = 1.0, -1.0
        logits, normal = audit.slopes(point, weights)
        gap = logits[line, aim] - logits[line, audit.labels[rows]]
        normal = normal * (ball.low < ball.high)
        keep = (normal != 0).any(1)
        fallen, size = _settled(audit, rows, ball, point, gap)
        nearest = np.minimum(nearest, size)
        keep &= ~fallen
        if step in checks:
            far = nearest - audit.epsilon
            keep &= ~hopeless(far, before, left=checks[step], slack=audit.slack)
            before = far
        point = stepped(ball.x, point, gap, normal, norm)
        if audit.challenge.task.mutable is not None or audit.challenge.task.add_only is not None:
            point = ball.x + audit.challenge.task.allowed(point - ball.x)
        if not keep.all():
            _look_again(audit, rows, ball, point, ~keep & ~fallen)
            rows, ball, point = rows[keep], ball.only(keep), point[keep]
            nearest, before = nearest[keep], before[keep]
    _look_again(audit, rows, ball, point, np.ones(len(rows), bool))


def _settled(
    audit: _Audit, rows: Labels, ball: Ball, point: Points, gap: Points
) -> tuple[Bools, Points]:
    """Which points fell, and how far those that are mistakes are from x; they step back towards it.

    Those that are near enough are judged within the ball.
    """
    wrong, fallen = gap > 0, np.zeros(len(rows), bool)
    size = np.where(wrong, sizes(point - ball.x, ball.norm), np.inf)
    near = size <= 1.02 * audit.epsilon
    if near.any():
        within = ball.only(near).project(point[near])
        fallen[near] = audit.keep(rows[near], within, audit.logits(within))
    point[wrong] = (1 - BACK) * ball.x[wrong] + BACK * point[wrong]
    return fallen, size


def _look_again(audit: _Audit, rows: Labels, ball: Ball, point: Points, left: Bools) -> None:
    """Where a run has ended, within the ball: what the defense answers there."""
    if left.any():
        within = ball.only(left).project(point[left])
        audit.keep(rows[left], within, audit.logits(within))


# ── Square ─────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Free:
    """What Square sees of the defense: logits of the white-box handle, as many as it asks."""

    audit: _Audit

    @property
    def probes_left(self) -> float:
        return np.inf

    def probes_left_for(self, examples: Labels) -> NDArray[np.float64]:
        return np.full(len(examples), np.inf)

    def ask(self, x: Images, _examples: Labels | None = None) -> Scores:
        if self.audit.late:
            raise QueryBudgetExceeded("The audit's time is up.")
        return self.audit.challenge.defense.logits(x)


def square(audit: _Audit, queries: int) -> None:
    """Square on what stands, by the same handle."""
    rows, options = audit.open, {"queries": queries, "slack": audit.slack}
    part = replace(
        audit.challenge,
        x=audit.challenge.x[rows],
        y=audit.labels[rows],
        defense=_Free(audit),  # type: ignore[arg-type]
        output="logits",
        submit_candidates=lambda _x, _rows: None,
    )
    images = Square(audit.challenge.package or Path(), options).attack(part)
    points = images.reshape(len(rows), -1)
    audit.keep(rows, points, audit.logits(points))
