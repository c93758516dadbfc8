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
too, and a larger ε begins with what fell at a smaller one. Where time runs short, what is left of
the protocol is left out, and what was found is handed in.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arena.house.attacks.pgd import norms, project, settled
from arena.house.attacks.square import Square
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
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Bools = NDArray[np.bool_]

MOMENTUM = 0.75
CLIMBS = 0.75
"""ρ: a stretch in which a smaller share of the steps climbed halves the step."""
SHARE = 0.85
"""Of the time that the round grants; each level may use half of what is left."""
USUAL_SECONDS = 120.0


class AuditSuite(EvasionAttack):
    """``steps`` a run, ``targets`` classes, ``queries`` of Square; ``parts`` that are played."""

    steps = 100
    targets = 9
    queries = 5000
    parts = ("apgd-ce", "apgd-t", "fab-t", "square")

    _ends = 0.0
    _fallen: tuple[Images, Images, Bools] | None = None
    """The examples of the level before, their candidates, and which of them fell."""

    def attack(self, challenge: EvasionChallenge) -> Images:
        for option in ("steps", "targets", "queries", "parts"):
            setattr(self, option, self.options.get(option, getattr(self, option)))
        audit = _Audit.of(challenge, until=self._until(), before=self._fallen)
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
            yield lambda: apgd(audit, audit.cross_entropy, self.steps)
        elif part == "apgd-t":
            yield from (lambda k=k: apgd(audit, audit.ratio(k), self.steps) for k in targets)
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
    """Which examples still stand, and the candidates of those that fell."""

    challenge: EvasionChallenge
    labels: Labels
    first: Scores = field(repr=False)
    x: Floats = field(repr=False)
    best: Images = field(repr=False)
    done: Bools
    until: float
    rng: np.random.Generator
    repeats: int

    @classmethod
    def of(
        cls,
        challenge: EvasionChallenge,
        *,
        until: float,
        before: tuple[Images, Images, Bools] | None,
    ) -> _Audit:
        x = challenge.x
        first = challenge.defense.logits(x).copy()
        noisy = not np.array_equal(first, challenge.defense.logits(x))
        audit = cls(
            challenge=challenge,
            labels=first.argmax(1) if challenge.y is None else challenge.y,
            first=first,
            x=x.reshape(len(x), -1).astype(np.float64),
            best=x.copy(),
            done=np.zeros(len(x), bool),
            until=until,
            rng=challenge.rng(),
            repeats=10 if noisy else 1,
        )
        audit.keep(np.arange(len(x)), x, first)
        if before is not None and np.array_equal(before[0], x):
            rows = np.flatnonzero(before[2] & ~audit.done)
            audit.best[rows], audit.done[rows] = before[1][rows], True
        return audit

    @property
    def open(self) -> Labels:
        return np.flatnonzero(~self.done)

    @property
    def late(self) -> bool:
        return time.monotonic() > self.until

    @property
    def classes(self) -> int:
        return len(self.challenge.task.classes) or self.first.shape[1]

    @property
    def epsilon(self) -> float:
        assert self.challenge.epsilon is not None, "The audit searches a ball of a given size."
        return self.challenge.epsilon

    def images(self, rows: Labels, delta: Floats) -> Images:
        """x + δ in float32, strictly within ε."""
        radius = np.full(len(rows), self.epsilon)
        flat = settled(self.x[rows], delta.copy(), radius, self.challenge.norm)
        return flat.reshape(-1, *self.challenge.x.shape[1:])

    def within(self, rows: Labels, delta: Floats) -> Floats:
        """The nearest perturbation in ball and box, on features that may change."""
        delta = self.challenge.task.allowed(delta)
        radius = np.full((len(rows), 1), self.epsilon)
        return project(delta, self.x[rows], radius, self.challenge.norm)

    def keep(self, rows: Labels, images: Images, logits: Scores) -> Bools:
        """Note which of ``rows`` fell to these images; (rows,) those."""
        answers = logits.argmax(1)
        hit: Bools = (answers != self.labels[rows]) & (answers < self.classes) & ~self.done[rows]
        if self.repeats > 1 and hit.any():
            hit[hit] = self._mostly(rows[hit], images[hit])
        self.best[rows[hit]], self.done[rows[hit]] = images[hit], True
        return hit

    def _mostly(self, rows: Labels, images: Images) -> Bools:
        """For a stochastic defense: which rows are wrong most of the time."""
        wrong = np.zeros(len(rows))
        for _ in range(self.repeats):
            answers = self.challenge.defense.logits(images).argmax(1)
            wrong += (answers != self.labels[rows]) & (answers < self.classes)
        mostly: Bools = wrong > 0.5 * self.repeats
        return mostly

    # ── losses: value (n,) and weights of the logits whose gradient climbs it ─────────────────

    def cross_entropy(self, rows: Labels, logits: Scores) -> tuple[Floats, Scores]:
        z = logits.astype(np.float64)
        z -= z.max(1, keepdims=True)
        odds = np.exp(z)
        share = odds / odds.sum(1, keepdims=True)
        line, own = np.arange(len(rows)), self.labels[rows]
        loss = np.log(odds.sum(1)) - z[line, own]
        share[line, own] -= 1
        return loss, share.astype(np.float32)

    def ratio(self, rank: int) -> Loss:
        """DLR towards each example's ``rank``-th likeliest wrong class (eq. 7)."""

        def loss(rows: Labels, logits: Scores) -> tuple[Floats, Scores]:
            z, line = logits[:, : self.classes].astype(np.float64), np.arange(len(rows))
            own, aim = self.labels[rows], self.rivals(rank)[rows]
            order = np.argsort(-z, axis=1, kind="stable")
            third, fourth = order[:, min(2, z.shape[1] - 1)], order[:, min(3, z.shape[1] - 1)]
            spread = z[line, order[:, 0]] - (z[line, third] + z[line, fourth]) / 2 + 1e-12
            gap = z[line, own] - z[line, aim]
            weights = np.zeros_like(logits, np.float64)
            np.add.at(weights, (line, own), -1 / spread)
            np.add.at(weights, (line, aim), 1 / spread)
            np.add.at(weights, (line, order[:, 0]), gap / spread**2)
            for place in (third, fourth):
                np.add.at(weights, (line, place), -gap / (2 * spread**2))
            return -gap / spread, np.clip(weights, -1e4, 1e4).astype(np.float32)

        return loss

    def rivals(self, rank: int) -> Labels:
        """(n,) the ``rank``-th likeliest wrong class on x, 0 the likeliest."""
        others = self.first[:, : self.classes].astype(np.float64)
        others[np.arange(len(others)), self.labels] = -np.inf
        chosen: Labels = np.argsort(-others, axis=1, kind="stable")[:, rank]
        return chosen


Loss = Callable[[Labels, Scores], tuple[Floats, Scores]]


# ── APGD ───────────────────────────────────────────────────────────────────────────────────────


def apgd(audit: _Audit, loss: Loss, steps: int) -> None:
    """One run over the examples that stand (algorithm 1 of the paper)."""
    climb = _Climb.of(audit, loss)
    checkpoints = _checkpoints(steps)
    for step in range(1, steps):
        if not len(climb.rows) or audit.late:
            return
        climb.move(1.0 if step == 1 else MOMENTUM)
        climb.look()
        if step in checkpoints:
            climb.check(checkpoints[step])


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
    """Where the run stands, one row for each example that has not fallen."""

    audit: _Audit
    loss_of: Loss
    rows: Labels
    delta: Floats
    before: Floats
    slope: Floats
    loss: Floats
    size: Floats
    best: Floats
    best_slope: Floats
    best_loss: Floats
    climbs: Floats
    last_best: Floats
    reduced: Bools

    @classmethod
    def of(cls, audit: _Audit, loss: Loss) -> _Climb:
        rows = audit.open
        drawn = audit.rng.uniform(-1, 1, (len(rows), audit.x.shape[1]))
        if audit.challenge.norm == "l2":
            drawn = audit.rng.standard_normal(drawn.shape)
        drawn *= audit.epsilon / np.maximum(norms(drawn, audit.challenge.norm), 1e-300)[:, None]
        n, delta = len(rows), audit.within(rows, drawn)
        climb = cls(
            audit=audit,
            loss_of=loss,
            rows=rows,
            delta=delta,
            before=delta.copy(),
            slope=np.zeros_like(delta),
            loss=np.zeros(n),
            size=np.full(n, 2 * audit.epsilon),
            best=delta.copy(),
            best_slope=np.zeros_like(delta),
            best_loss=np.full(n, -np.inf),
            climbs=np.zeros(n),
            last_best=np.zeros(n),
            reduced=np.ones(n, bool),
        )
        climb.look()
        climb.last_best, climb.climbs = climb.best_loss.copy(), np.zeros(len(climb.rows))
        return climb

    def look(self) -> None:
        """Loss and slope at δ; what fell leaves, the best point is kept."""
        images = self.audit.images(self.rows, self.delta)
        logits, slope, loss = slopes(self.audit, self.rows, images, self.loss_of)
        hit = self.audit.keep(self.rows, images, logits)
        self.climbs += loss > self.loss
        self.loss, self.slope = loss, slope
        better = loss > self.best_loss
        self.best[better], self.best_slope[better] = self.delta[better], slope[better]
        self.best_loss[better] = loss[better]
        self._only(~hit)

    def move(self, share: float) -> None:
        """z = P(x + η s(g)), then x + a (z - x) + (1 - a) (x - x_before)."""
        size = self.size[:, None]
        ahead = self.audit.within(
            self.rows, self.delta + size * _steepest(self.slope, self.audit.challenge.norm)
        )
        moved = self.delta + share * (ahead - self.delta) + (1 - share) * (self.delta - self.before)
        self.before, self.delta = self.delta, self.audit.within(self.rows, moved)

    def check(self, stretch: int) -> None:
        """Halve the step where it does not pay, and go on from the best point."""
        stuck = self.climbs < CLIMBS * stretch
        still = ~self.reduced & (self.last_best >= self.best_loss)
        halve = stuck | still
        self.size[halve] /= 2
        self.delta[halve], self.slope[halve] = self.best[halve], self.best_slope[halve]
        self.loss[halve] = self.best_loss[halve]
        self.reduced, self.last_best = halve, self.best_loss.copy()
        self.climbs = np.zeros(len(self.rows))

    def _only(self, keep: Bools) -> None:
        if keep.all():
            return
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, value[keep])


def _steepest(slope: Floats, norm: str) -> Floats:
    if norm == "linf":
        return np.sign(slope)
    unit: Floats = slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12)
    return unit


def slopes(
    audit: _Audit, rows: Labels, images: Images, loss_of: Loss
) -> tuple[Scores, Floats, Floats]:
    """(logits, slope of the loss, loss) at ``images``.

    The weights of the logits hang on the logits: one forward pass finds them, and the gradient's
    own pass answers again. The cross-entropy needs one pass alone.
    """
    defense = audit.challenge.defense
    if loss_of == audit.cross_entropy:
        logits, raw = defense.logits_and_gradient(images, audit.labels[rows])
        loss = loss_of(rows, logits)[0]
    else:
        loss, weights = loss_of(rows, defense.logits(images))
        logits, raw = defense.logits_and_gradient(images, weights)
    return logits, raw.reshape(len(rows), -1).astype(np.float64), loss


# ── FAB ────────────────────────────────────────────────────────────────────────────────────────

FARTHER = 1.05
"""η: overshoot of each projection."""
PULL_MOST = 0.1
"""α: the most that x itself counts in a step."""
BACK = 0.9
"""β: a success is drawn so far towards x."""


def fab(audit: _Audit, rank: int, steps: int) -> None:
    """FAB towards each example's ``rank``-th likeliest wrong class (algorithm 1 of its paper).

    Each step projects point and x onto the plane where the two logits would be equal if they were
    linear, mixes both and overshoots; a success steps back towards x. It looks for the nearest
    mistake; what comes to lie within ε has fallen.
    """
    rows, norm = audit.open, audit.challenge.norm
    x, point = audit.x[rows], audit.x[rows].copy()
    for _ in range(steps):
        if not len(rows) or audit.late:
            return
        images = point.astype(np.float32).reshape(-1, *audit.challenge.x.shape[1:])
        weights = np.zeros((len(rows), audit.first.shape[1]), np.float32)
        line, aim = np.arange(len(rows)), audit.rivals(rank)[rows]
        weights[line, aim], weights[line, audit.labels[rows]] = 1.0, -1.0
        logits, raw = audit.challenge.defense.logits_and_gradient(images, weights)
        gap = (weights * logits).sum(1).astype(np.float64)
        normal = raw.reshape(len(rows), -1).astype(np.float64)
        mutable = audit.challenge.task.mutable
        if mutable is not None:
            normal = normal * mutable.reshape(1, -1)
        fallen = _settle(audit, rows, point, gap)
        point = x + audit.challenge.task.allowed(_step(x, point, gap, normal, norm) - x)
        keep = ~fallen
        rows, x, point = rows[keep], x[keep], point[keep]


def _settle(audit: _Audit, rows: Labels, point: Floats, gap: Floats) -> Bools:
    """Judge the points that are mistakes and near enough; step those that are mistakes back."""
    wrong = gap > 0
    near = wrong & (norms(point - audit.x[rows], audit.challenge.norm) <= 1.02 * audit.epsilon)
    fallen = np.zeros(len(rows), bool)
    if near.any():
        some = rows[near]
        images = audit.images(some, audit.within(some, point[near] - audit.x[some]))
        fallen[near] = audit.keep(some, images, audit.challenge.defense.logits(images))
    point[wrong] = (1 - BACK) * audit.x[rows[wrong]] + BACK * point[wrong]
    return fallen


def _step(x: Floats, point: Floats, gap: Floats, normal: Floats, norm: str) -> Floats:
    """Eq. 9 of the paper."""
    here = _to_plane(point, normal, -gap, norm)
    level = -gap - (normal * (x - point)).sum(1)
    there = _to_plane(x, normal, level, norm)
    one, other = norms(here, norm), norms(there, norm)
    share = np.minimum(one / np.maximum(one + other, 1e-12), PULL_MOST)[:, None]
    mixed = (1 - share) * (point + FARTHER * here) + share * (x + FARTHER * there)
    return np.clip(mixed, 0, 1)


def _to_plane(point: Floats, normal: Floats, level: Floats, norm: str) -> Floats:
    """The smallest δ with <normal, δ> = level and point + δ in the box.

    |δ_i| = min(τ r_i, room_i), with r_i = 1 for L∞ and |n_i| for L2. The product with the normal
    is linear in τ between the places where coordinates reach the wall: sorted, they tell τ.
    Where the box does not reach the plane, its corner.
    """
    towards = normal * np.where(level >= 0, 1.0, -1.0)[:, None]
    steep = np.abs(towards)
    room = np.where(towards > 0, 1 - point, point) * (steep > 0)
    rise = (steep > 0).astype(float) if norm == "linf" else steep
    wall = np.where(rise > 0, room / np.maximum(rise, 1e-300), np.inf)
    order, line = np.argsort(wall, axis=1), np.arange(len(point))
    walls, spend, pull = (
        np.take_along_axis(array, order, 1) for array in (wall, steep * room, steep * rise)
    )
    stopped = np.cumsum(spend, axis=1)
    moving = np.cumsum(pull[:, ::-1], axis=1)[:, ::-1]
    sorted_wall = np.where(np.isinf(walls), 0.0, walls)
    after = np.c_[moving[:, 1:], np.zeros(len(point))]
    reached = stopped + sorted_wall * after >= np.abs(level)[:, None]
    place = np.where(reached.any(1), reached.argmax(1), -1)
    spent = np.where(place > 0, stopped[line, np.maximum(place - 1, 0)], 0.0)
    scale = (np.abs(level) - spent) / np.maximum(moving[line, place], 1e-300)
    scale = np.where(place >= 0, scale, np.inf)[:, None]
    size = np.minimum(np.where(rise > 0, scale * np.maximum(rise, 1e-300), 0.0), room)
    step: Floats = np.sign(towards) * size
    return step


# ── Square ─────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Free:
    """What Square sees of the defense: logits of the white-box handle, as many as it asks."""

    audit: _Audit

    @property
    def probes_left(self) -> float:
        return np.inf

    def probes_left_for(self, examples: Labels) -> Floats:
        return np.full(len(examples), np.inf)

    def ask(self, x: Images, _examples: Labels | None = None) -> Scores:
        if self.audit.late:
            raise QueryBudgetExceeded("The audit's time is up.")
        return self.audit.challenge.defense.logits(x)


def square(audit: _Audit, queries: int) -> None:
    """Square on what stands, by the same handle."""
    rows = audit.open
    part = replace(
        audit.challenge,
        x=audit.challenge.x[rows],
        y=audit.labels[rows],
        defense=_Free(audit),  # type: ignore[arg-type]
        output="logits",
        submit_candidates=lambda _x, _rows: None,
    )
    images = Square(audit.challenge.package or Path(), {"queries": queries}).attack(part)
    audit.keep(rows, images, audit.challenge.defense.logits(images))
