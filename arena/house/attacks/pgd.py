"""Projected gradient descent in L∞, L2 and L1, with restarts, momentum and two losses.

Madry et al. 2018 (arXiv:1706.06083), eq. 2.1, after Kurakin et al. 2017:

    x0 = x + uniform in the ball,   x_k = P(x_{k-1} + α s(g)),   P onto B_q(x, ε) ∩ [0, 1]^d

s(g) is sign(g) for L∞, g / |g|2 for L2. α falls linearly to nothing, and a share of the step
before is kept (momentum, Dong et al. 2018). The first run begins with one full step from x itself,
so that nothing FGSM finds is missed; the runs take turns between the cross-entropy and the margin
max_{i≠y} z_i - z_y (Carlini & Wagner 2017), which does not vanish where the softmax saturates.

L1 follows APGD-L1 (Croce & Hein 2021, arXiv:2103.01208): steps along the signs of the largest
coordinates, as many as the best perturbation so far uses, divided by 1.5, on the exact
projection onto the ball *and* the box, δ_i = clip(soft(u_i, λ), -x_i, 1 - x_i).

Where the round asks for the smallest perturbation, ε is halved in on for each example.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arena.house.attacks.answered import answered
from arena.house.attacks.ball import ROUNDING, Ball, Points, steepest
from arena.players import EvasionAttack, EvasionChallenge, QueryBudgetExceeded

MANIFEST = """
schema_version = 1
name = "PGD"
role = "attack"
entry = "player.py:Pgd"
family = "iterative gradient"
description = "Projected gradient descent with restarts, momentum and two losses, in L∞, L2, L1."

[needs]
gradients = true
norms = ["linf", "l2", "l1"]
games = ["evasion", "minimum_norm"]
"""

Images = NDArray[np.float32]
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Pgd(EvasionAttack):
    """``steps`` a run, ``restarts`` runs, ``momentum`` in [0, 1).

    A stochastic defense is asked ``repeats`` times, and as often twice more, before an example
    counts as done: it must be wrong in a share ``sure`` of them.
    """

    steps = 50
    restarts = 4
    momentum = 0.75
    repeats = 5
    sure = 0.6
    searches = 9

    def attack(self, challenge: EvasionChallenge) -> Images:
        for option in ("steps", "restarts", "momentum", "repeats", "sure", "searches"):
            setattr(self, option, self.options.get(option, getattr(self, option)))
        rng = challenge.rng()
        if challenge.epsilon is None:
            return self._smallest(challenge, rng)
        epsilon = np.full(len(challenge), challenge.epsilon)
        return self._within(challenge, epsilon, rng)[0]

    def _smallest(self, challenge: EvasionChallenge, rng: np.random.Generator) -> Images:
        """Halve in on the smallest radius of each example, from the widest there is."""
        far = np.maximum(challenge.x, 1 - challenge.x).reshape(len(challenge), -1)
        high = norms(far.astype(np.float64), challenge.norm)
        low, best = np.zeros(len(challenge)), challenge.x.copy()
        found = np.zeros(len(challenge), bool)
        guess = high / 4
        for _ in range(self.searches):
            candidates, hit = self._within(challenge, guess, rng)
            best[hit], found = candidates[hit], found | hit
            size = _flat(candidates).astype(np.float64) - _flat(challenge.x)
            high = np.where(hit, np.minimum(high, norms(size, challenge.norm)), high)
            low = np.where(hit, low, guess)
            guess = np.where(found, (low + high) / 2, np.minimum(2 * guess, high))
        return best

    def _within(
        self, challenge: EvasionChallenge, epsilon: Floats, rng: np.random.Generator
    ) -> tuple[Images, Bools]:
        """Candidates within ``epsilon`` (n,), and which of them fool the defense."""
        try:
            search = _Search.of(challenge, epsilon, self.repeats, self.sure)
        except QueryBudgetExceeded:  # the defense has no time at all
            return challenge.x, np.zeros(len(challenge), bool)
        run = self._run_l1 if challenge.norm == "l1" else self._run
        for restart in range(self.restarts):
            if not len(search.open):
                break
            try:
                run(search, rng, restart)
            except QueryBudgetExceeded:  # the defense's time is up: what was found stands
                break
            challenge.submit(search.best)
        return search.best, search.done

    # ── L∞ and L2 ──────────────────────────────────────────────────────────────────────────

    def _run(self, search: _Search, rng: np.random.Generator, restart: int) -> None:
        """One run over the examples still open. The first starts at x with a full step."""
        rows = search.open
        ball = Ball.of(search.challenge, search.epsilon).only(rows)
        point, velocity = ball.x.copy(), np.zeros_like(ball.x)
        if restart:
            point = ball.project(point + search.random_start(rng)[rows].astype(np.float32))
        for step in range(self.steps):
            if not len(rows):
                return
            slope = search.slope(point, margin=restart % 2 == 1)
            still = ~search.done[rows]
            if not still.all():
                rows, ball = rows[still], ball.only(still)
                point, velocity, slope = point[still], velocity[still], slope[still]
            velocity *= self.momentum
            velocity += steepest(slope, ball.norm)
            size = (search.epsilon[rows, None] * self._share(step, restart)).astype(np.float32)
            move = steepest(velocity, ball.norm, size)
            point += move
            point = ball.project(point)
        search.judge(point)

    def _share(self, step: int, restart: int) -> float:
        """Step size over ε: all of it first, then falling linearly."""
        return 1.0 if step == 0 and restart == 0 else 0.5 * (1 - step / self.steps)

    # ── L1 ─────────────────────────────────────────────────────────────────────────────────

    def _run_l1(self, search: _Search, rng: np.random.Generator, restart: int) -> None:
        """APGD-L1 on radii 3 ε, 2 ε and ε in turn, so that the step finds the right pixels.

        It starts from noise in all of them, once the optimum of a plane has been looked at.
        """
        if restart == 0:
            search.filled()
        noise = rng.standard_normal(search.x.shape)
        delta = search.project(noise, np.arange(len(noise)), 3.0)
        for radius, share in ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4)):
            steps = max(1, round(share * 2 * self.steps))
            delta = self._sparse(search, delta, radius, steps, margin=restart % 2 == 1)
        search.judge(search.points(search.open, delta[search.open]))

    def _sparse(
        self, search: _Search, start: Floats, radius: float, steps: int, *, margin: bool
    ) -> Floats:
        """A run in one ball (algorithm 1 of the paper): the fewer coordinates the best point uses,
        the fewer a step moves, and it goes on from there by a whole radius."""
        every, n = max(1, int(0.04 * steps)), len(start)
        delta = search.project(start, np.arange(n), radius)
        best, best_slope, best_loss = delta.copy(), np.zeros_like(delta), np.full(n, -np.inf)
        old = used(delta)
        active, size = np.maximum(old / 1.5, 1), np.ones(n)
        for step in range(steps):
            if not (rows := search.open).size:
                return best
            judged = radius == 1.0
            points = search.points(rows, delta[rows], wide=not judged)
            slope = search.slope(points, margin=margin, judge=judged).astype(np.float64)
            better = search.loss > best_loss[rows]
            at = rows[better]
            best[at], best_slope[at] = delta[at], slope[better]
            best_loss[at] = search.loss[better]
            rows, slope = search.keep_open(rows, slope)
            if step and step % every == 0:
                now = used(best[rows])
                sparser = now < 0.95 * old[rows]
                size[rows] = np.where(sparser, 1.0, np.maximum(size[rows] / 1.5, 0.1))
                active[rows], old[rows] = np.maximum(now / 1.5, 1), now
                delta[rows[sparser]], slope[sparser] = (
                    best[rows[sparser]],
                    best_slope[rows[sparser]],
                )
            move = largest(slope, active[rows])
            length = size[rows] * radius * search.epsilon[rows]
            delta[rows] = search.project(delta[rows] + length[:, None] * move, rows, radius)
        return best


@dataclass
class _Search:
    """The state of one attack: which examples still stand, and the best candidates."""

    challenge: EvasionChallenge
    epsilon: Floats
    labels: Labels
    best: Images
    done: Bools
    open: Labels
    repeats: int
    sure: float
    share: Floats
    x: Floats = field(repr=False)
    loss: Floats = field(default_factory=lambda: np.zeros(0))
    logits: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, challenge: EvasionChallenge, epsilon: Floats, repeats: int, sure: float) -> _Search:
        x = challenge.x
        first = challenge.defense.logits(x)
        noisy = not np.array_equal(first, challenge.defense.logits(x))
        labels = challenge.targets if challenge.targets is not None else challenge.y
        labels = first.argmax(1) if labels is None else labels
        search = cls(
            challenge=challenge,
            epsilon=epsilon,
            labels=labels,
            best=x.copy(),
            done=np.zeros(len(x), bool),
            open=np.arange(len(x)),
            repeats=repeats if noisy else 1,
            sure=sure,
            share=np.zeros(len(x)),
            x=_flat(x).astype(np.float64),
        )
        search.logits = first.copy()
        search.keep(search.open, _flat(x), first)
        return search

    def random_start(self, rng: np.random.Generator) -> Floats:
        """Uniform in the ball of L∞ or L2."""
        n, d = self.x.shape
        if self.challenge.norm == "linf":
            delta = rng.uniform(-1, 1, (n, d))
        else:
            delta = rng.standard_normal((n, d))
            radius = rng.uniform(size=(n, 1)) ** (1 / d)
            delta *= radius / np.linalg.norm(delta, axis=1, keepdims=True)
        return self.epsilon[:, None] * delta

    def filled(self) -> None:
        """L1: look at ε spent on the steepest coordinates, each to the end of its range.

        That is the optimum of a linear defense.
        """
        rows = self.open
        slope = self.slope(_flat(self.challenge.x[rows]), margin=True).astype(np.float64)
        rows, slope = self.keep_open(rows, slope)
        slope = self.challenge.task.allowed(slope)
        delta = fill(slope, self.x[rows], self.epsilon[rows, None])
        self.judge(self.points(rows, self.project(delta, rows)))

    def project(self, delta: Floats, rows: Labels, radius: float = 1.0) -> Floats:
        """The nearest perturbation within the ball and the box, on features that may change."""
        delta = self.challenge.task.allowed(delta)
        return project(delta, self.x[rows], radius * self.epsilon[rows, None], self.challenge.norm)

    def slope(self, points: Points, *, margin: bool, judge: bool = True) -> Points:
        """The ascent direction at ``points`` of the open examples; finished ones are noted."""
        rows, defense = self.open, self.challenge.defense
        weights = self._margin_weights(rows) if margin else self.labels[rows]
        images = self.shaped(points)
        logits, raw = defense.logits_and_gradient(images, weights)
        slope = _flat(raw)
        if self.challenge.targeted and not margin:
            slope = -slope
        flat = ~slope.any(1)
        if not margin and flat.any():  # the softmax is saturated: its loss has no slope left
            weights, slope = self._margin_weights(rows)[flat], slope.copy()
            slope[flat] = _flat(defense.logits_and_gradient(images[flat], weights)[1])
        if judge and self.repeats == 1:  # else a vote is taken
            logits = answered(defense, images, logits, self._fooled(rows, logits))
        self._remember(rows, logits)
        self.loss = self._margins(rows, logits)
        if judge:
            self.keep(rows, points, logits)
        return slope

    def judge(self, points: Points) -> None:
        """Look at where the run has ended."""
        if len(points):
            self.keep(self.open, points, self.challenge.defense.logits(self.shaped(points)))

    def keep(self, rows: Labels, points: Points, logits: NDArray[np.float32]) -> None:
        """Note the successes among ``rows`` and close them."""
        hit = self._fooled(rows, logits)
        if self.repeats > 1 and hit.any():
            hit[hit] = self._surely_fooled(rows[hit], points[hit])
        self.best[rows[hit]] = self.shaped(points[hit])
        self.done[rows[hit]] = True
        self.open = np.flatnonzero(~self.done)

    def keep_open(self, rows: Labels, slope: Floats) -> tuple[Labels, Floats]:
        still = ~self.done[rows]
        return rows[still], slope[still]

    def points(self, rows: Labels, delta: Floats, *, wide: bool = False) -> Points:
        """x + δ as float32, strictly within ε, or where it is ``wide``."""
        if wide:
            return np.clip(self.x[rows] + delta, 0, 1).astype(np.float32)
        return settled(self.x[rows], delta, self.epsilon[rows], self.challenge.norm)

    def shaped(self, points: Points) -> Images:
        return points.reshape(-1, *self.challenge.x.shape[1:])

    def _remember(self, rows: Labels, logits: NDArray[np.float32]) -> None:
        assert self.logits is not None
        self.logits[rows] = logits

    def _fooled(self, rows: Labels, logits: NDArray[np.float32]) -> Bools:
        answers = logits.argmax(1)
        if self.challenge.targeted:
            hit: Bools = answers == self.labels[rows]
            return hit
        wrong: Bools = (answers != self.labels[rows]) & (answers < self._classes(logits))
        return wrong

    def _surely_fooled(self, rows: Labels, points: Points) -> Bools:
        """For a stochastic defense: which rows are wrong most of the time, however often asked.

        The candidate that is wrong most often is kept even where it is not wrong often enough.
        """
        point = self.shaped(points)
        share = self._votes(rows, point, self.repeats)
        often = share > 0.5
        again = self._votes(rows[often], point[often], 2 * self.repeats)
        share[often] = (share[often] + 2 * again) / 3
        better = share > self.share[rows]
        self.best[rows[better]], self.share[rows[better]] = point[better], share[better]
        surely: Bools = share >= self.sure
        return surely

    def _votes(self, rows: Labels, point: Images, count: int) -> Floats:
        votes = np.zeros(len(rows))
        for _ in range(count if len(rows) else 0):
            votes += self._fooled(rows, self.challenge.defense.logits(point))
        return votes / count

    def _classes(self, logits: NDArray[np.float32]) -> int:
        return len(self.challenge.task.classes) or logits.shape[1]

    def _rival(self, rows: Labels, logits: NDArray[np.float32]) -> Labels:
        """The best class other than the label, by the logits seen last."""
        others = logits[:, : self._classes(logits)].astype(np.float64)
        others[np.arange(len(rows)), self.labels[rows]] = -np.inf
        rival: Labels = others.argmax(1)
        return rival

    def _margin_weights(self, rows: Labels) -> NDArray[np.float32]:
        assert self.logits is not None
        logits, line = self.logits[rows], np.arange(len(rows))
        weights = np.zeros_like(logits)
        aim, against = self._rival(rows, logits), self._standing(rows, logits)
        if self.challenge.targeted:
            against = np.where(against == self.labels[rows], aim, against)
            aim = self.labels[rows]
        weights[line, aim], weights[line, against] = 1.0, -1.0
        return weights

    def _standing(self, rows: Labels, logits: NDArray[np.float32]) -> Labels:
        """What has to be beaten: the label, or the abstention where that stands higher."""
        labels, classes = self.labels[rows], self._classes(logits)
        if logits.shape[1] == classes:
            return labels
        others = logits[:, : classes + 1].astype(np.float64)
        if self.challenge.targeted:
            others[np.arange(len(rows)), labels] = -np.inf
            best: Labels = others.argmax(1)
            return best
        higher = others[:, classes] > others[np.arange(len(rows)), labels]
        return np.where(higher, classes, labels)

    def _margins(self, rows: Labels, logits: NDArray[np.float32]) -> Floats:
        line = np.arange(len(rows))
        margin = logits[line, self._rival(rows, logits)] - logits[line, self.labels[rows]]
        return (-margin if self.challenge.targeted else margin).astype(np.float64)


# ── geometry ───────────────────────────────────────────────────────────────────────────────────


def used(delta: Floats) -> Floats:
    """(n,) how many coordinates of each row are not zero."""
    count: Floats = (np.abs(delta) > 1e-9).sum(1).astype(float)
    return count


def largest(slope: Floats, active: Floats) -> Floats:
    """Signs of the ``active`` (n,) largest coordinates of each row, of L1 norm 1."""
    order = np.sort(np.abs(slope), axis=1)
    place = np.clip(slope.shape[1] - active, 0, slope.shape[1] - 1).astype(int)
    threshold = np.maximum(order[np.arange(len(order)), place], 1e-300)
    signs = np.sign(slope) * (np.abs(slope) >= threshold[:, None])
    step: Floats = signs / np.maximum(np.abs(signs).sum(1, keepdims=True), 1)
    return step


def fill(slope: Floats, x: Floats, epsilon: Floats) -> Floats:
    """The step of L1 norm ``epsilon`` (n, 1) inside the box along which a plane climbs most."""
    line, order = np.arange(len(x))[:, None], np.argsort(-np.abs(slope), axis=1)
    room = np.where(slope > 0, 1 - x, x)[line, order] * (slope != 0)[line, order]
    spent = np.minimum(np.cumsum(room, axis=1), epsilon)
    delta = np.zeros_like(x)
    delta[line, order] = np.diff(spent, axis=1, prepend=0) * np.sign(slope)[line, order]
    return delta


def project(delta: Floats, x: Floats, epsilon: Floats, norm: str) -> Floats:
    """Onto the ball of radius ``epsilon`` (n, 1) and the box [-x, 1 - x].

    L∞ and L1 exactly; L2 by clipping, then rescaling, which stays in both.
    """
    if norm == "linf":
        return np.clip(delta, np.maximum(-x, -epsilon), np.minimum(1 - x, epsilon))
    if norm == "l2":
        delta = np.clip(delta, -x, 1 - x)
        length = np.linalg.norm(delta, axis=1, keepdims=True)
        inside: Floats = delta * np.minimum(1, epsilon / np.maximum(length, 1e-300))
        return inside
    return _project_l1(delta, x, epsilon)


def _project_l1(delta: Floats, x: Floats, epsilon: Floats) -> Floats:
    """clip(soft(u, λ), -x, 1 - x) with λ found by halving: the norm falls as λ grows."""
    clipped = np.clip(delta, -x, 1 - x)
    outside = np.flatnonzero(np.abs(clipped).sum(1) > epsilon[:, 0])
    if not len(outside):
        return clipped
    size, sign = np.abs(delta[outside]), np.sign(delta[outside])
    room = np.where(sign > 0, 1 - x[outside], x[outside])
    low, high = np.zeros((len(outside), 1)), size.max(1, keepdims=True)
    for _ in range(30):
        middle = (low + high) / 2
        length = np.clip(size - middle, 0, room).sum(1, keepdims=True)
        too_long = length > epsilon[outside]
        low, high = np.where(too_long, middle, low), np.where(too_long, high, middle)
    clipped[outside] = sign * np.clip(size - high, 0, room)
    return clipped


def settled(x: Floats, delta: Floats, epsilon: Floats, norm: str) -> Points:
    """x + δ in float32, with δ shortened until its norm, measured in float64, is within ε."""
    candidates = np.clip(x + delta, 0, 1).astype(np.float32)
    shrink = ROUNDING
    far = np.flatnonzero(norms(candidates - x, norm) > epsilon)
    while len(far):
        delta[far] = delta[far] * max(0.0, 1 - shrink)
        candidates[far] = np.clip(x[far] + delta[far], 0, 1).astype(np.float32)
        far = far[norms(candidates[far] - x[far], norm) > epsilon[far]]
        shrink *= 4
    return candidates


def norms(delta: Floats, norm: str) -> Floats:
    order = {"linf": np.inf, "l2": 2, "l1": 1}[norm]
    return np.asarray(np.linalg.norm(delta, ord=order, axis=1))


def _flat(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x.reshape(len(x), -1)
