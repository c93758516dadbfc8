"""Square attack: random search with squares, on the scores of the oracle alone.

Andriushchenko, Croce, Flammarion & Hein 2020 (arXiv:1912.00049), algorithms 1 to 3. The loss is
the margin of the log-probabilities; a candidate replaces the best one where the loss is no larger.

    L∞: start with vertical stripes of ±ε; a step sets a square window to ±ε, a sign a channel.
    L2: start with a grid of bumps of norm ε; a step moves the norm of one window into another.

The window's area is a share p of the image that falls as queries are spent. Examples that fall
leave the batch, and nobody is asked for more than the probes left for each example.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arena.players import EvasionAttack, EvasionChallenge

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
Labels = NDArray[np.int64]

FALLS_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Iterations of 10,000 after which the share p halves."""


class Square(EvasionAttack):
    """``queries``: at most so many an example; ``share``: p of the first squares."""

    queries = 1000
    share = 0.8

    def attack(self, challenge: EvasionChallenge) -> Images:
        for option in ("queries", "share"):
            setattr(self, option, self.options.get(option, getattr(self, option)))
        everyone = np.arange(len(challenge))
        granted = np.minimum(challenge.defense.probes_left_for(everyone), self.queries)
        search = _Search.of(challenge, granted)
        rng = challenge.rng()
        rows = search.open_rows()
        search.propose(rows, search.first(rows, rng))
        longest = int(granted.max(initial=0))
        for step in range(1, longest):
            if not len(rows := search.open_rows()):
                break
            if step % 100 == 0:
                challenge.submit(search.best.reshape(challenge.x.shape))
            side = self._side(step / longest, search.height * search.width)
            search.propose(rows, search.moved(rows, side, rng))
        return search.best.reshape(challenge.x.shape)

    def _side(self, spent: float, pixels: int) -> int:
        halvings = sum(10_000 * spent > mark for mark in FALLS_AT)
        return max(1, round(float(np.sqrt(self.share / 2**halvings * pixels))))


@dataclass
class _Search:
    """Best candidates so far, as (n, channels, height, width), with loss and probes spent."""

    challenge: EvasionChallenge
    x: Images = field(repr=False)
    best: Images = field(repr=False)
    loss: Floats
    left: Floats
    labels: Labels

    @classmethod
    def of(cls, challenge: EvasionChallenge, granted: Floats) -> _Search:
        n, shape = len(challenge), challenge.x.shape[1:]
        x = challenge.x.reshape(n, *(shape if len(shape) == 3 else (1, 1, -1)))
        labels = challenge.targets if challenge.targets is not None else challenge.y
        search = cls(challenge, x, x.copy(), np.full(n, np.inf), granted.copy(), np.zeros(n, int))
        search.labels = np.zeros(n, np.int64) if labels is None else labels
        rows = np.flatnonzero(granted >= 1)
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

    def open_rows(self) -> Labels:
        return np.flatnonzero((self.loss >= 0) & (self.left >= 1))

    def ask(self, rows: Labels, images: Images) -> Floats:
        self.left[rows] -= 1
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
        self.best[rows[better]] = images[better]
        self.loss[rows[better]] = loss[better]

    # ── candidates ─────────────────────────────────────────────────────────────────────────

    def first(self, rows: Labels, rng: np.random.Generator) -> Images:
        n, channels = len(rows), self.x.shape[1]
        if self.challenge.norm == "linf":
            stripes = rng.choice([-1.0, 1.0], (n, channels, 1, self.width))
            return self.within(rows, np.broadcast_to(self.epsilon * stripes, self.x[rows].shape))
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
        delta = (self.best[rows] - self.x[rows]).astype(np.float64)
        signs = rng.choice([-1.0, 1.0], (len(rows), self.x.shape[1], 1, 1))
        if self.challenge.norm == "linf":
            delta[:, :, _span(top, tall), _span(left, side)] = self.epsilon * signs
            return self.within(rows, delta)
        return self.within(rows, self._shifted(delta, signs, side, rng))

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

    def within(self, rows: Labels, delta: Floats) -> Images:
        """x + δ in the box and strictly in the ball; in L2 all of ε is used before clipping."""
        mutable = self.challenge.task.mutable
        if mutable is not None:
            delta = delta * mutable.reshape(self.x.shape[1:])
        if self.challenge.norm == "linf":
            delta = np.clip(delta, -self.epsilon, self.epsilon)
        else:
            length = np.sqrt((delta**2).sum((1, 2, 3), keepdims=True))
            delta = delta / np.maximum(length, 1e-12) * (self.epsilon * (1 - 1e-6))
        return np.clip(self.x[rows] + delta, 0, 1).astype(np.float32)


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
