"""Carlini & Wagner's L2 attack: the smallest perturbation, by optimisation.

Carlini & Wagner 2017 (arXiv:1608.04644), section V.A, with Z the logits and κ the confidence:

    min |δ|2² + c g(x + δ),   g = max(max_{i≠t} Z_i - Z_t, -κ);   untargeted: Z_y - max_{i≠y} Z_i

δ = (tanh w - tanh w0) / 2, Adam on w, c by search for each example, smallest success kept. The
paper's w0 = arctanh(2x - 1) is infinite where a pixel is 0 or 1; any nearly infinite w0 cannot
move either. Here w0 = arctanh(ROOM (2x - 1)): δ is exactly 0 at w0 and every pixel can move;
the sliver by which x + δ may leave the box is clipped off. The search on c starts warm from the
best perturbation, drops examples whose loss has stopped falling, and ends with a line search
towards x. Where ε is given, an example is done once it is within ε; what is not becomes x again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arena.house.attacks.answered import answered
from arena.players import EvasionAttack, EvasionChallenge, QueryBudgetExceeded

MANIFEST = """
schema_version = 1
name = "Carlini-Wagner L2"
role = "attack"
entry = "player.py:CarliniWagner"
family = "iterative gradient"
description = "The smallest L2 perturbation by Adam on a change of variable and a search on c."

[needs]
gradients = true
norms = ["l2"]
games = ["evasion", "minimum_norm"]
nearest = true
"""

Images = NDArray[np.float32]
Points = NDArray[np.float32]
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Bools = NDArray[np.bool_]

ROOM = 0.95


class CarliniWagner(EvasionAttack):
    """Up to ``searches`` values of c from ``first_c``, ``steps`` of Adam for each."""

    searches = 6
    steps = 150
    rate = 0.05
    first_c = 1.0
    confidence = 0.0
    patience = 20

    def attack(self, challenge: EvasionChallenge) -> Images:
        for option in ("searches", "steps", "rate", "first_c", "confidence", "patience"):
            setattr(self, option, self.options.get(option, getattr(self, option)))
        try:
            search = Search.of(challenge, self.confidence)
        except QueryBudgetExceeded:  # the defense has no time at all
            return challenge.x
        try:
            self._search(search)
            search.pull_back()
        except QueryBudgetExceeded:  # the defense's time is up: what was found stands
            pass
        return search.result()

    def _search(self, search: Search) -> None:
        """On c, for each example."""
        challenge, n = search.challenge, len(search.x)
        low, high, c = np.zeros(n), np.full(n, np.inf), np.full(n, self.first_c)
        for _ in range(self.searches):
            rows = search.unfinished()
            if not len(rows):
                break
            hit = self._descend(search, rows, c[rows])
            high[rows[hit]] = c[rows[hit]]
            low[rows[~hit]] = c[rows[~hit]]
            challenge.submit(search.result())
            c = np.where(np.isinf(high), 10 * c, (low + np.minimum(high, 1e10)) / 2)

    def _descend(self, search: Search, rows: Labels, c: Floats) -> Bools:
        """Adam from the best point so far; which of ``rows`` met a success on the way."""
        w = search.start(rows)
        adam = Adam.like(w, self.rate)
        hit = np.zeros(len(rows), bool)
        lowest, waited = np.full(len(rows), np.inf), np.zeros(len(rows), int)
        active, ends = np.arange(len(rows)), w.copy()
        for _ in range(self.steps):
            loss, slope, won = search.value(rows[active], w, c[active], hit[active])
            hit[active] |= won
            falling = loss < 0.999 * lowest[active]
            lowest[active] = np.minimum(loss, lowest[active])
            waited[active] = np.where(falling, 0, waited[active] + 1)
            w -= adam.step(slope)
            going = waited[active] < self.patience
            if not going.any():
                break
            if not going.all():
                ends[active[~going]] = w[~going]
                active, w = active[going], w[going]
                adam.only(going)
        ends[active] = w
        return search.looked_again(rows, ends, hit)


@dataclass
class Adam:
    """Kingma & Ba 2015 on the rows of a matrix, some of which leave on the way."""

    mean: Points
    square: Points
    rate: float
    time: int = 0

    @classmethod
    def like(cls, w: Points, rate: float) -> Adam:
        return cls(np.zeros_like(w), np.zeros_like(w), rate)

    def step(self, slope: Points) -> Points:
        """What to take from each row."""
        self.time += 1
        self.mean *= 0.9
        self.mean += 0.1 * slope
        self.square *= 0.999
        self.square += 0.001 * np.square(slope)
        length = np.sqrt(self.square / (1 - 0.999**self.time))
        length += 1e-8
        step: Points = np.divide(self.mean, length, out=length)
        step *= self.rate / (1 - 0.9**self.time)
        return step

    def only(self, going: Bools) -> None:
        """The rows that stay, of those there are."""
        self.mean, self.square = self.mean[going], self.square[going]


@dataclass
class Search:
    """The problem in w, and the smallest success of each example.

    ``origin`` is tanh w0. All is in single precision but the sizes that are kept.
    """

    challenge: EvasionChallenge
    labels: Labels
    confidence: float
    x: Points = field(repr=False)
    origin: Points = field(repr=False)
    best: Images = field(repr=False)
    size: Floats
    logits: NDArray[np.float32]

    @classmethod
    def of(cls, challenge: EvasionChallenge, confidence: float) -> Search:
        x = challenge.x.reshape(len(challenge), -1)
        logits = challenge.defense.logits(challenge.x).copy()
        labels = challenge.targets if challenge.targets is not None else challenge.y
        search = cls(
            challenge=challenge,
            labels=logits.argmax(1) if labels is None else labels,
            confidence=confidence,
            x=x,
            origin=np.tanh(np.arctanh(ROOM * (2 * x - 1))),
            best=challenge.x.copy(),
            size=np.full(len(x), np.inf),
            logits=logits,
        )
        search.size[search.margins(np.arange(len(x)), logits) < 0] = 0.0
        return search

    def unfinished(self) -> Labels:
        return np.flatnonzero(self.size > (self.challenge.epsilon or 0.0))

    def start(self, rows: Labels) -> Points:
        """w of the best success so far, drawn a little towards x; w0 where there is none."""
        return self.start_from(rows, self.best[rows].reshape(len(rows), -1) - self.x[rows])

    def start_from(self, rows: Labels, delta: Points) -> Points:
        """w at the perturbation ``delta`` (n, d)."""
        w: Points = np.arctanh(np.clip(self.origin[rows] + 2 * delta, -0.999, 0.999))
        return w

    def deltas(self, rows: Labels, reached: Points) -> Points:
        """δ where tanh w is ``reached``, what the task forbids taken out."""
        delta = reached - self.origin[rows]
        delta /= 2
        return self.challenge.task.allowed(delta)

    def moved(self, rows: Labels, delta: Points) -> tuple[Images, Points]:
        """x + δ in the box, and the δ (n, d) that is left there."""
        x = self.x[rows]
        point = np.clip(x + delta, 0, 1)
        return self.shaped(point), point - x

    def value(self, rows: Labels, w: Points, c: Floats, hit: Bools) -> tuple[Floats, Points, Bools]:
        """Loss (n,), its slope in w (n, d), and which points are successes (noted if smaller).

        Only of successes that are smaller, or the first of a row that has not ``hit``.
        """
        reached = np.tanh(w)
        point, delta = self.moved(rows, self.deltas(rows, reached))
        loss = np.einsum("ij,ij->i", delta, delta).astype(np.float64)
        margin, raw, won = self.look(rows, point, ~hit | (loss < np.square(self.size[rows])))
        self._keep(rows[won], point[won])
        loss += c * np.maximum(margin, -self.confidence)
        delta *= 2
        delta += column(np.where(margin > -self.confidence, c, 0.0)) * raw
        return loss, in_w(delta, reached), won

    def look(self, rows: Labels, point: Images, worth: Bools) -> tuple[Floats, Points, Bools]:
        """g (n,) before its floor, its slope in x (n, d), and which are successes ``worth`` it."""
        defense = self.challenge.defense
        logits, raw = defense.logits_and_gradient(point, self._weights(rows))
        margin = self.margins(rows, logits)
        won = self._won(rows, logits, margin) & worth
        if won.any():
            logits = answered(defense, point, logits, won)
            margin = self.margins(rows, logits)
            won = self._won(rows, logits, margin) & worth
        self.logits[rows] = logits
        return margin, raw.reshape(len(rows), -1), won

    def looked_again(self, rows: Labels, w: Points, hit: Bools) -> Bools:
        """``hit`` (n,), and the rows that fall where their descent has ended (noted if smaller)."""
        hit = hit.copy()
        lost = np.flatnonzero(~hit)
        if len(lost):
            some = rows[lost]
            point = self.moved(some, self.deltas(some, np.tanh(w[lost])))[0]
            hit[lost] = won = self.succeeds(some, point)
            self._keep(some[won], point[won])
        return hit

    def succeeds(self, rows: Labels, point: Images) -> Bools:
        """(n,) which points are successes, as the defense answers."""
        logits = self.challenge.defense.logits(point)
        return self._won(rows, logits, self.margins(rows, logits))

    def pull_back(self) -> None:
        """Halve in on the nearest success on the line from x to the best success."""
        rows = np.flatnonzero(np.isfinite(self.size) & (self.size > 0))
        if not len(rows):
            return
        far = self.best[rows].reshape(len(rows), -1) - self.x[rows]
        low, high = np.zeros(len(rows)), np.ones(len(rows))
        for _ in range(8):
            middle = (low + high) / 2
            point = self.moved(rows, column(middle) * far)[0]
            won = self.succeeds(rows, point)
            low, high = np.where(won, low, middle), np.where(won, middle, high)
            self._keep(rows[won], point[won])

    def result(self) -> Images:
        """The smallest successes; x itself where there is none (within ε, where it is given)."""
        best = self.best.copy()
        if self.challenge.epsilon is not None:
            far = self.size > self.challenge.epsilon
            best[far] = self.challenge.x[far]
        return best

    def margins(self, rows: Labels, logits: NDArray[np.float32]) -> Floats:
        """g before its floor: negative where the attack has what it wants."""
        line = np.arange(len(rows))
        margin = logits[line, self.labels[rows]] - logits[line, self._rival(rows, logits)]
        return (-margin if self.challenge.targeted else margin).astype(np.float64)

    def _won(self, rows: Labels, logits: NDArray[np.float32], margin: Floats) -> Bools:
        answers = logits.argmax(1)
        hit = (
            answers == self.labels[rows] if self.challenge.targeted else self._wrong(rows, answers)
        )
        won: Bools = hit & (margin <= -self.confidence)
        return won

    def _wrong(self, rows: Labels, answers: Labels) -> Bools:
        classes = len(self.challenge.task.classes) or self.logits.shape[1]
        wrong: Bools = (answers != self.labels[rows]) & (answers < classes)
        return wrong

    def _keep(self, rows: Labels, point: Images) -> None:
        x = self.x[rows].astype(np.float64)
        delta = point.reshape(x.shape) - x
        size = np.sqrt(np.einsum("ij,ij->i", delta, delta))
        better = size < self.size[rows]
        self.best[rows[better]] = point[better]
        self.size[rows[better]] = size[better]

    def _rival(self, rows: Labels, logits: NDArray[np.float32]) -> Labels:
        classes = len(self.challenge.task.classes) or logits.shape[1]
        others = logits[:, :classes].astype(np.float64)
        others[np.arange(len(rows)), self.labels[rows]] = -np.inf
        rival: Labels = others.argmax(1)
        return rival

    def _weights(self, rows: Labels) -> NDArray[np.float32]:
        """The gradient wanted: of g, with the rival of the step before."""
        logits, line = self.logits[rows], np.arange(len(rows))
        sign = -1.0 if self.challenge.targeted else 1.0
        weights = np.zeros_like(logits)
        weights[line, self.labels[rows]] = sign
        weights[line, self._rival(rows, logits)] = -sign
        return weights

    def shaped(self, flat: Points) -> Images:
        return flat.reshape(-1, *self.challenge.x.shape[1:])


def column(values: Floats) -> Points:
    """(n, 1), in single precision."""
    return values.astype(np.float32)[:, None]


def in_w(slope: Points, reached: Points) -> Points:
    """The slope in w of what has ``slope`` in δ, where tanh w is ``reached``; takes both."""
    np.square(reached, out=reached)
    np.subtract(1, reached, out=reached)
    slope *= reached
    slope /= 2
    return slope
