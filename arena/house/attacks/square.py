"""Square attack: random search with squares, on the scores of the oracle alone.

Andriushchenko, Croce, Flammarion & Hein 2020 (arXiv:1912.00049), algorithms 1 to 3. The loss is
the margin of the log-probabilities; a candidate replaces the best one where the loss is no larger.

    L∞: start with vertical stripes of ±ε; a step sets a square window to ±ε, a sign a channel.
    L2: start with a grid of bumps of norm ε; a step moves the norm of one window into another.

The window's area is a share p of the image that falls as queries are spent: at places that the
paper gives for 10,000 queries, scaled to those there are. With fewer than FEW of them it falls
later than that: else squares are small before they have found anything.
A window that would set what it finds takes the other sign (on a black ground, -ε is no change).
Examples that fall leave the batch, and nobody is asked for more than the probes left for each
example; where probes are granted in total alone, examples take turns and those that fall leave
theirs to the others.

A defense whose score is a step function, as a vote of three neighbours is, tells a random search
nothing between steps. Where PATIENCE changes of an example left its loss as it was, the next
candidates draw it towards images of other classes, the nearest first: x + P(x_j - x), with P the
projection onto the ball. The search goes on from whichever is no worse.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arena.house.attacks.ball import Ball
from arena.players import EvasionAttack, EvasionChallenge, QueryBudgetExceeded

MANIFEST = """
schema_version = 1
name = "Square"
role = "attack"
entry = "player.py:Square"
description = "Random search with squares on the scores of the oracle, without gradients."

[needs]
probes = true
output = "rounded"
norms = ["linf", "l2"]
games = ["evasion"]
"""

Images = NDArray[np.float32]
Floats = NDArray[np.float64]
Gaps = NDArray[np.floating]
Labels = NDArray[np.int64]
Bools = NDArray[np.bool_]

FALLS_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Iterations of 10,000 after which the share p halves."""
FEW = 1000
PATIENCE = 5
"""Changes that leave the loss exactly as it was after which it counts as flat."""


class Square(EvasionAttack):
    """``queries``: at most so many an example; ``share``: p of the first squares.

    ``starts``: at most so many images of other classes are tried where the score is flat.
    ``slack``: examples that are :func:`hopeless` by it are given up; by default none is.
    """

    queries = 1000
    share = 0.8
    starts = 40
    slack = np.inf

    def attack(self, challenge: EvasionChallenge) -> Images:
        for option in ("queries", "share", "starts", "slack"):
            setattr(self, option, self.options.get(option, getattr(self, option)))
        everyone = np.arange(len(challenge))
        granted = np.minimum(challenge.defense.probes_left_for(everyone), self.queries)
        try:
            search = _Search.of(challenge, granted)
        except QueryBudgetExceeded:
            return challenge.x
        with suppress(QueryBudgetExceeded):  # the defense's time is up: what was found stands
            self._search(challenge, search)
        return search.best.reshape(challenge.x.shape)

    def _search(self, challenge: EvasionChallenge, search: _Search) -> None:
        rng = challenge.rng()
        rows = search.next_rows()
        search.propose(rows, search.first(rows, rng))
        pull = _Pull.of(challenge, self.starts)
        step, checks = 1, doubled(search.longest)
        before = np.full(len(search.loss), np.inf)
        while len(rows := search.next_rows()):
            if step % 100 == 0:
                challenge.submit(search.best.reshape(challenge.x.shape))
            if step in checks:
                lost = hopeless(search.loss, before, left=checks[step], slack=self.slack)
                search.left[lost] = 0
                before = search.loss.copy()
                if not len(rows := search.next_rows()):
                    break
            side = self._side(search.spent(step), search.height * search.width, search.longest)
            images = search.moved(rows, side, rng)
            flat = search.waited[rows] >= PATIENCE
            flat[flat] &= pull.left(rows[flat])
            if flat.any():
                towards = pull.next(rows[flat]).reshape(-1, *search.x.shape[1:])
                delta = np.asarray(towards - search.x[rows[flat]], np.float64)
                images[flat] = search.within(rows[flat], delta)
            search.propose(rows, images)
            step += 1

    def _side(self, spent: float, pixels: int, queries: float) -> int:
        reached = spent * 10_000 * min(1.0, queries / FEW) ** 0.6
        halvings = sum(reached > mark for mark in FALLS_AT)
        return max(1, round(float(np.sqrt(self.share / 2**halvings * pixels))))


def doubled(steps: float) -> dict[int, float]:
    """Step -> doublings left to the end, for the last four times that a search has doubled."""
    return {max(1, round(steps / 2**k)): float(k) for k in (4, 3, 2, 1)}


def hopeless(gap: Gaps, before: Gaps, *, left: float, slack: float) -> NDArray[np.bool_]:
    """(n,) whether a search has too far to go to be worth its steps.

    A search gains no more from one doubling of its steps than from the doubling before. ``gap``:
    what parts its best point from a mistake; ``before``: a doubling ago, infinite for not known;
    ``left``: doublings to come. Where ``slack`` times what they would gain does not close the gap,
    the end is foreseen.
    """
    lost = np.zeros(gap.shape, bool)
    known = np.isfinite(before) & np.isfinite(slack)
    lost[known] = gap[known] > slack * left * (before[known] - gap[known]).clip(0)
    return lost


@dataclass
class _Search:
    """Best candidates so far, as (n, channels, height, width), with loss and probes left.

    ``low``, ``high``: the ends of the L∞ ball, the box in L2. ``left``: of each example; ``purse``:
    of all together, ``full`` at first. ``waited``: changes since the loss fell that left it exactly
    as it was.
    """

    challenge: EvasionChallenge
    x: Images = field(repr=False)
    low: Images = field(repr=False)
    high: Images = field(repr=False)
    best: Images = field(repr=False)
    loss: Floats
    left: Floats
    labels: Labels
    purse: float
    full: float
    longest: float
    waited: Labels

    @classmethod
    def of(cls, challenge: EvasionChallenge, granted: Floats) -> _Search:
        n, shape = len(challenge), challenge.x.shape[1:]
        labels = challenge.targets if challenge.targets is not None else challenge.y
        purse = min(challenge.defense.probes_left, float(granted.sum()))
        x = challenge.x.reshape(n, *(shape if len(shape) == 3 else (1, 1, -1)))
        assert challenge.epsilon is not None, "Square searches a ball of a given size."
        ball = Ball.of(challenge, np.full(n, challenge.epsilon))
        search = cls(
            challenge=challenge,
            x=x,
            low=ball.low.reshape(x.shape),
            high=ball.high.reshape(x.shape),
            best=x.copy(),
            loss=np.full(n, np.inf),
            left=granted.copy(),
            labels=np.zeros(n, np.int64) if labels is None else labels,
            purse=purse,
            full=max(purse, 1.0),
            longest=float(granted.max(initial=1)),
            waited=np.zeros(n, np.int64),
        )
        rows = search.next_rows()
        search.left[np.setdiff1d(np.arange(n), rows)] = 0.0
        if len(rows):
            scores = search.ask(rows, x[rows])
            if labels is None:
                search.labels[rows] = scores.argmax(1)
            search.loss[rows] = search.margin(rows, scores)
        return search

    @property
    def height(self) -> int:
        return int(self.x.shape[2])

    @property
    def width(self) -> int:
        return int(self.x.shape[3])

    @property
    def epsilon(self) -> float:
        assert self.challenge.epsilon is not None, "Square searches a ball of a given size."
        return self.challenge.epsilon

    def next_rows(self) -> Labels:
        """The examples that still stand and have a probe left; the poorest wait if all do not."""
        rows = np.flatnonzero((self.loss >= 0) & (self.left >= 1))
        if len(rows) <= self.purse:
            return rows
        richest = np.argsort(-self.left[rows], kind="stable")[: int(self.purse)]
        return np.sort(rows[richest])

    def spent(self, step: int) -> float:
        """Share of the queries that are over: of this example's, or of everybody's."""
        return max(step / self.longest, 1 - self.purse / self.full)

    def ask(self, rows: Labels, images: Images) -> Floats:
        self.left[rows] -= 1
        self.purse -= len(rows)
        shape = self.challenge.x.shape[1:]
        return self.challenge.defense.ask(images.reshape(-1, *shape), rows).astype(np.float64)

    def margin(self, rows: Labels, scores: Floats) -> Floats:
        """Negative where the attack has what it wants; an abstention is no success."""
        if self.challenge.output != "logits":
            scores = np.log(np.maximum(scores, 1e-12))
        line, classes = np.arange(len(rows)), len(self.challenge.task.classes)
        mine = scores[line, self.labels[rows]]
        others = scores.copy()
        others[line, self.labels[rows]] = -np.inf
        abstain = others[:, classes:].max(1, initial=-np.inf) if classes else -np.inf
        rival = others[:, : classes or None].max(1)
        if self.challenge.targeted:
            won = scores.argmax(1) == self.labels[rows]
            return np.where(won, -1e-9, np.maximum(np.maximum(rival, abstain) - mine, 0.0))
        beaten = scores.argmax(1) != self.labels[rows]
        won = beaten & (rival >= abstain)
        return np.where(won, -1e-9, np.maximum(np.maximum(mine, abstain) - rival, 0.0))

    def propose(self, rows: Labels, images: Images) -> None:
        """Ask about candidates; keep those that are no worse than before."""
        if not len(rows):
            return
        loss = self.margin(rows, self.ask(rows, images))
        better = loss <= self.loss[rows]
        changed = (images != self.best[rows]).any((1, 2, 3))
        self.waited[rows] += (loss == self.loss[rows]) & changed
        self.waited[rows[loss < self.loss[rows]]] = 0
        self.best[rows[better]] = images[better]
        self.loss[rows[better]] = loss[better]

    # ── candidates ─────────────────────────────────────────────────────────────────────────

    def first(self, rows: Labels, rng: np.random.Generator) -> Images:
        n, channels = len(rows), self.x.shape[1]
        if self.challenge.norm == "linf":
            stripes = rng.choice([-1.0, 1.0], (n, channels, 1, self.width))
            return np.where(stripes > 0, self.high[rows], self.low[rows])
        side = max(1, min(self.height, self.width) // 5)
        bumps = np.zeros((n, *self.x.shape[1:]))
        for top in range(0, self.height - side + 1, side):
            for left in range(0, self.width - side + 1, side):
                signs = rng.choice([-1.0, 1.0], (n, channels, 1, 1))
                window = (slice(None), slice(None), _span(top, side), _span(left, side))
                bumps[window] += _bump(side) * signs
        return self.within(rows, bumps)

    def moved(self, rows: Labels, side: int, rng: np.random.Generator) -> Images:
        side = min(side, min(self.height, self.width) if self.height > 1 else self.width)
        tall = min(side, self.height)
        top = int(rng.integers(0, self.height - tall + 1))
        left = int(rng.integers(0, self.width - side + 1))
        signs = rng.choice([-1.0, 1.0], (len(rows), self.x.shape[1], 1, 1))
        if self.challenge.norm == "linf":
            images = self.best[rows]
            self._set(images, rows, signs > 0, _span(top, tall), _span(left, side))
            return images
        delta = (self.best[rows] - self.x[rows]).astype(np.float64)
        return self.within(rows, self._shifted(delta, signs, side, rng))

    def _set(self, images: Images, rows: Labels, up: Bools, tall: slice, wide: slice) -> None:
        """A window of ``images`` to one end of the ball, to the other where it is there already."""
        window = images[:, :, tall, wide]
        low, high = (end[rows, :, tall, wide] for end in (self.low, self.high))
        moved = np.where(up, high, low)
        idle = (moved == window).all((1, 2, 3))
        moved[idle] = np.where(up[idle], low[idle], high[idle])
        window[:] = moved

    def _shifted(self, delta: Floats, signs: Floats, side: int, rng: np.random.Generator) -> Floats:
        """Algorithm 3: empty one window, and give its norm and what is unused to another."""
        side = min(max(3, side | 1), self.height, self.width)
        one, two = (
            (
                slice(None),
                slice(None),
                _span(int(rng.integers(0, self.height - side + 1)), side),
                _span(int(rng.integers(0, self.width - side + 1)), side),
            )
            for _ in range(2)
        )
        axes = (1, 2, 3)
        both = np.zeros(delta.shape[1:], bool)
        both[one[1:]] = both[two[1:]] = True
        spare = np.maximum(self.epsilon**2 - (delta**2).sum(axes), 0)
        budget = np.sqrt((delta**2 * both).sum(axes) + spare)
        old = delta[one]
        length = np.sqrt((old**2).sum(axes, keepdims=True))
        fresh = _bump(side) * signs + old / (length + 1e-10)
        fresh /= np.sqrt((fresh**2).sum(axes, keepdims=True)) + 1e-10
        delta[two] = 0.0
        delta[one] = fresh * budget[:, None, None, None]
        return delta

    def within(self, rows: Labels, delta: NDArray[np.floating]) -> Images:
        """x + δ in the box and strictly in the ball; in L2 all of ε is used before clipping."""
        if self.challenge.norm == "linf":
            near = np.clip(self.x[rows] + delta, self.low[rows], self.high[rows])
            return near.astype(np.float32)
        delta = self.challenge.task.allowed(delta)
        length = np.sqrt((delta**2).sum((1, 2, 3), keepdims=True))
        delta = delta / np.maximum(length, 1e-12) * (self.epsilon * (1 - 1e-6))
        return np.clip(self.x[rows] + delta, 0, 1).astype(np.float32)


@dataclass
class _Pull:
    """For each example the images of other classes (in targeted rounds: of the target) at hand.

    Training examples, where the round grants some, else the round's own.
    """

    pool: Images = field(repr=False)
    order: Labels
    place: Labels

    @classmethod
    def of(cls, challenge: EvasionChallenge, starts: int) -> _Pull:
        given = challenge.training or (challenge.x, challenge.y)
        n, (pool, labels) = len(challenge), given
        if labels is None or challenge.y is None:
            return cls(pool, np.full((n, 1), -1), np.zeros(n, np.int64))
        flat, images = (
            part.reshape(len(part), -1).astype(np.float64) for part in (challenge.x, pool)
        )
        far = (flat**2).sum(1)[:, None] - 2 * flat @ images.T + (images**2).sum(1)
        if challenge.targets is not None:
            unfit = labels != challenge.targets[:, None]
        else:
            unfit = labels == challenge.y[:, None]
        order = np.where(unfit, np.inf, far).argsort(1, kind="stable")[:, :starts]
        order = np.where(np.take_along_axis(unfit, order, 1), -1, order)
        return cls(pool, np.c_[order, np.full(n, -1)], np.zeros(n, np.int64))

    def left(self, rows: Labels) -> NDArray[np.bool_]:
        more: NDArray[np.bool_] = self.order[rows, self.place[rows]] >= 0
        return more

    def next(self, rows: Labels) -> Images:
        """The next image for each of ``rows``, all of which have one left."""
        images = self.pool[self.order[rows, self.place[rows]]]
        self.place[rows] += 1
        return images


def _span(start: int, length: int) -> slice:
    return slice(start, start + length)


def _bump(side: int) -> Floats:
    """Eq. 2 of the paper: two pyramids of opposite sign, of norm 1, at random either way up."""
    half = side // 2
    upper = _pyramid(half or 1, side)
    lower = _pyramid(side - half, side) if half else upper[:0]
    bump = np.concatenate([upper, -lower])[:side]
    unit: Floats = bump / np.sqrt((bump**2).sum())
    return unit


def _pyramid(height: int, width: int) -> Floats:
    """Concentric rectangles, each adding less than the one inside it."""
    rows = np.minimum(np.arange(height), np.arange(height)[::-1])[:, None]
    columns = np.minimum(np.arange(width), np.arange(width)[::-1])[None, :]
    layer = np.minimum(rows, columns)
    deepest = int(layer.max()) + 1
    values: Floats = np.cumsum(1.0 / np.arange(deepest, 0, -1.0) ** 2)
    return values[layer]
