"""Boundary attack++ (HopSkipJump): walks along the decision boundary, on labels alone.

Chen, Jordan & Wainwright 2020 (arXiv:1904.02144), algorithm 2. From an image that the defense
already takes for something else: (1) halve in on the boundary towards x; (2) estimate its normal
from labels of B random points around it, v = mean (φ_b - mean φ) u_b; (3) step along v by
|x_t - x| / sqrt(t), halved until the step stays on the far side. L2: u_b on the sphere,
projection by mixing. L∞: sign(v), projection by clipping to a smaller box.

It starts from other images at hand (training examples, or the round's own examples with another
label), the nearest first, and from noise. The probes of each example are never exceeded (each has
an equal share where they are granted in total alone), and its nearest success is what it returns;
with ε given, an example is done once it is within ε.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arena.players import EvasionAttack, EvasionChallenge, QueryBudgetExceeded

MANIFEST = """
schema_version = 1
name = "Boundary attack"
role = "attack"
entry = "player.py:Boundary"
description = "HopSkipJump: walks along the decision boundary towards x, on labels alone."

[needs]
probes = true
output = "label"
norms = ["linf", "l2"]
games = ["evasion", "minimum_norm"]
nearest = true
"""

Images = NDArray[np.float32]
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Bools = NDArray[np.bool_]


ROWS_AT_ONCE = 2048


class Boundary(EvasionAttack):
    """``queries``: at most so many an example; ``points``: B of the first step."""

    queries = 1000
    points = 40
    starts = 6

    def attack(self, challenge: EvasionChallenge) -> Images:
        for option in ("queries", "points", "starts"):
            setattr(self, option, self.options.get(option, getattr(self, option)))
        try:
            walk = _Walk.of(challenge, self.queries)
        except QueryBudgetExceeded:
            return challenge.x
        with suppress(QueryBudgetExceeded):  # the defense's time is up: what was found stands
            self._walk(challenge, walk)
        return walk.result()

    def _walk(self, challenge: EvasionChallenge, walk: _Walk) -> None:
        rng = challenge.rng()
        for start in _starts(challenge, self.starts, rng):
            if len(rows := walk.unstarted()):
                walk.ask(rows, start[rows])
        self._approach(walk, walk.going())
        step = 1
        while len(rows := walk.going()):
            spent = walk.left.copy()
            points = int(self.points * np.sqrt(step))
            normal = walk.normal(rows, points, step, rng)
            walk.jump(rows, normal, step)
            self._approach(walk, walk.going())
            challenge.submit(walk.result())
            step += 1
            if np.array_equal(spent, walk.left):
                break

    def _approach(self, walk: _Walk, rows: Labels) -> None:
        """Halve in on the boundary between x and the point reached, and stand there."""
        far = walk.point[rows].copy()
        low, high = np.zeros(len(rows)), np.ones(len(rows))
        for _ in range(8 if walk.challenge.norm == "l2" else 10):
            middle = (low + high) / 2
            hit = walk.ask(rows, walk.between(rows, far, middle))
            low, high = np.where(hit, low, middle), np.where(hit, middle, high)
        walk.stand(rows, walk.between(rows, far, high))


def _starts(
    challenge: EvasionChallenge, count: int, rng: np.random.Generator
) -> list[NDArray[np.float32]]:
    """(n, *shape) starting images, in the order in which they are tried."""
    x, y = challenge.x, challenge.y
    pool, labels = (x, y) if challenge.training is None else challenge.training
    uniform = [rng.uniform(size=x.shape).astype(np.float32) for _ in range(count)]
    corners = [rng.integers(0, 2, x.shape).astype(np.float32) for _ in range(count)]
    noise = [*uniform[:1], *corners[:1], *uniform[1:], *corners[1:]]
    if labels is None:
        return noise
    aims = challenge.targets
    near = [
        np.stack([_near(i, rank, x, y, pool, labels, aims) for i in range(len(x))])
        for rank in range(count)
    ]
    return near + noise


def _near(
    i: int,
    rank: int,
    x: Images,
    y: Labels | None,
    pool: Images,
    labels: Labels,
    targets: Labels | None,
) -> Images:
    """The ``rank``-th nearest image of the pool with the label that example ``i`` wants."""
    if targets is not None:
        wanted = labels == targets[i]
    else:
        wanted = labels != y[i] if y is not None else np.ones(len(pool), bool)
    rows = np.flatnonzero(wanted)
    if not len(rows):
        nothing: Images = x[i]
        return nothing
    distance = ((pool[rows] - x[i]) ** 2).reshape(len(rows), -1).sum(1)
    nearest: Images = pool[rows[distance.argsort()[min(rank, len(rows) - 1)]]]
    return nearest


@dataclass
class _Walk:
    """Where each example's walk stands, and its nearest success."""

    challenge: EvasionChallenge
    left: Floats
    labels: Labels
    point: Floats = field(repr=False)
    best: Images = field(repr=False)
    size: Floats
    x: Floats = field(repr=False)

    @classmethod
    def of(cls, challenge: EvasionChallenge, queries: int) -> _Walk:
        n = len(challenge)
        x = challenge.x.reshape(n, -1).astype(np.float64)
        granted = np.minimum(challenge.defense.probes_left_for(np.arange(n)), queries)
        if granted.sum() > (total := challenge.defense.probes_left):
            granted = np.minimum(granted, total // n)
        walk = cls(
            challenge=challenge,
            left=granted,
            labels=np.full(n, -2),
            point=x.copy(),
            best=challenge.x.copy(),
            size=np.full(n, np.inf),
            x=x,
        )
        labels = challenge.targets if challenge.targets is not None else challenge.y
        if labels is not None:
            walk.labels = labels.copy()
        rows = np.flatnonzero(walk.left >= 1)
        answers = walk.answers(rows, x[rows])
        if labels is None:
            walk.labels[rows] = answers
        walk.size[rows[walk._wanted(rows, answers)]] = 0.0
        return walk

    def unstarted(self) -> Labels:
        return np.flatnonzero(np.isinf(self.size) & (self.left >= 1))

    def going(self) -> Labels:
        """Started, with probes left, and not done."""
        goal = self.challenge.epsilon or 1e-6
        return np.flatnonzero(np.isfinite(self.size) & (self.size > goal) & (self.left >= 1))

    def answers(self, rows: Labels, flat: Floats) -> Labels:
        """One probe a row; labels, -1 for an abstention."""
        if not len(rows):
            return np.zeros(0, np.int64)
        self.left -= np.bincount(rows, minlength=len(self.left))
        reply = self.challenge.defense.ask(self._images(flat), rows)
        if self.challenge.output == "label":
            return reply.astype(np.int64)
        if self.challenge.output == "top_k":
            return reply[:, 0].astype(np.int64)
        labels = reply.argmax(1)
        classes = len(self.challenge.task.classes) or reply.shape[1]
        return np.where(labels < classes, labels, -1)

    def ask(self, rows: Labels, images: NDArray[np.floating]) -> Bools:
        """Which of these (one row an example) succeed; rows without probes left do not.

        The nearest success becomes the example's point and candidate.
        """
        hit = np.zeros(len(rows), bool)
        able = self.left[rows] >= 1
        flat = images.reshape(-1, self.x.shape[1]).astype(np.float64)
        flat = self.x[rows] + self.challenge.task.allowed(flat - self.x[rows])
        if able.any():
            mine = rows[able]
            hit[able] = self._wanted(mine, self.answers(mine, flat[able]))
        self._keep(rows[hit], flat[hit])
        return hit

    def stand(self, rows: Labels, flat: Floats) -> None:
        """Go on from there, be it nearer than before or not: a normal is found at the boundary."""
        self.point[rows] = self.x[rows] + self.challenge.task.allowed(flat - self.x[rows])

    def _keep(self, rows: Labels, flat: Floats) -> None:
        size = self._size(flat.astype(np.float32) - self.x[rows])
        nearer = size < self.size[rows]
        rows, flat = rows[nearer], flat[nearer]
        self.size[rows], self.point[rows] = size[nearer], flat
        self.best[rows] = self._images(flat)

    def normal(self, rows: Labels, points: int, step: int, rng: np.random.Generator) -> Floats:
        """Eq. 12 and 16: the direction into the wanted region, from labels around the point."""
        count = np.maximum(np.minimum(points, self.left[rows] - 3), 0).astype(int)
        normal = np.zeros((len(rows), self.x.shape[1]))
        reach = self._reach(rows, step)
        for first in range(0, len(rows), ROWS_AT_ONCE // points + 1):
            some = np.arange(first, min(len(rows), first + ROWS_AT_ONCE // points + 1))
            owner = np.repeat(some, count[some])
            if len(owner):
                around = self._around(rows[owner], reach[owner], rng)
                self._add_up(owner, rows, around, normal)
        return normal

    def _reach(self, rows: Labels, step: int) -> Floats:
        """How far from the point to look: the paper's |x_t - x| / sqrt(d) and 1 / d of it."""
        d = self.x.shape[1]
        if step == 1:
            return np.full(len(rows), 0.1)
        return self.size[rows] / (1.0 if self.challenge.norm == "linf" else np.sqrt(d))

    def _around(self, rows: Labels, reach: Floats, rng: np.random.Generator) -> Floats:
        drawn = rng.standard_normal((len(rows), self.x.shape[1]))
        if self.challenge.task.mutable is not None:
            drawn *= self.challenge.task.mutable.reshape(-1)
        drawn *= reach[:, None] / np.linalg.norm(drawn, axis=1, keepdims=True)
        return np.clip(self.point[rows] + drawn, 0, 1)

    def _add_up(self, owner: Labels, rows: Labels, around: Floats, normal: Floats) -> None:
        """v = mean (φ - mean φ) u of each owner's points, into ``normal``."""
        side = np.where(self._wanted(rows[owner], self.answers(rows[owner], around)), 1.0, -1.0)
        moved = around - self.point[rows[owner]]
        moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
        total = np.bincount(owner, weights=side, minlength=len(rows))
        mean = total / np.maximum(np.bincount(owner, minlength=len(rows)), 1)
        centred = np.where(np.abs(mean[owner]) < 1, side - mean[owner], side)
        np.add.at(normal, owner, centred[:, None] * moved)

    def jump(self, rows: Labels, normal: Floats, step: int) -> None:
        """Step along the normal, half as far each time until it stays on the far side."""
        if self.challenge.norm == "linf":
            normal = np.sign(normal)
        else:
            normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        length = self.size[rows] / np.sqrt(step)
        waiting = np.arange(len(rows))
        for _ in range(6):
            mine = rows[waiting]
            far = np.clip(self.point[mine] + length[waiting, None] * normal[waiting], 0, 1)
            hit = self._try(mine, far)
            waiting = waiting[~hit]
            length[waiting] /= 2
            if not len(waiting):
                break

    def _try(self, rows: Labels, far: Floats) -> Bools:
        """As :meth:`ask`, but a success becomes the point even where it is farther off."""
        able = self.left[rows] >= 1
        hit = np.zeros(len(rows), bool)
        if able.any():
            hit[able] = self._wanted(rows[able], self.answers(rows[able], far[able]))
        self.point[rows[hit]] = far[hit]
        return hit

    def between(self, rows: Labels, far: Floats, share: Floats) -> Floats:
        """From x (0) to ``far`` (1): on the line for L2, by a growing box for L∞."""
        delta = far - self.x[rows]
        if self.challenge.norm == "linf":
            reach = share[:, None] * np.abs(delta).max(1, keepdims=True)
            return self.x[rows] + np.clip(delta, -reach, reach)
        return self.x[rows] + share[:, None] * delta

    def result(self) -> Images:
        best = self.best.copy()
        if self.challenge.epsilon is not None:
            far = self.size > self.challenge.epsilon
            best[far] = self.challenge.x[far]
        return best

    def _wanted(self, rows: Labels, answers: Labels) -> Bools:
        if self.challenge.targeted:
            hit: Bools = answers == self.labels[rows]
            return hit
        wrong: Bools = (answers != self.labels[rows]) & (answers >= 0)
        return wrong

    def _size(self, delta: Floats) -> Floats:
        if self.challenge.norm == "linf":
            return np.asarray(np.abs(delta).max(1, initial=0.0))
        return np.asarray(np.linalg.norm(delta, axis=1))

    def _images(self, flat: Floats) -> Images:
        shape = self.challenge.x.shape[1:]
        return np.clip(flat, 0, 1).astype(np.float32).reshape(-1, *shape)
