"""Jacobian saliency map attack: pairs of pixels, pushed to the end of their range.

Papernot et al. 2016 (arXiv:1511.07528), algorithm 3. For target t, with Z the logits,

    α_p = ∂Z_t/∂x_p,   β_p = Σ_{j≠t} ∂Z_j/∂x_p;   (p, q) = argmax -(α_p + α_q)(β_p + β_q)

over pairs with α_p + α_q > 0 and β_p + β_q < 0 that can still move; θ = +1 makes them 1, θ = -1
makes them 0. Stops at success or when a share Υ of the features has changed. A pixel's derivatives
count times the way that it can still go, so that none is spent on one that is white but for a
shade; between black and white pixels that is the paper's rule (with the bare derivative 91 % of 200
targeted examples fell, 6.1 % of their features changed; so 96 % fall with 5.2 %).

The score grows in both sums, so that a best pair has no point with two others above it: it lies in
the first two Pareto layers of (α, -β). That is exact and needs no d x d table. Where no pair is
admissible, the two largest α are taken. With the probabilities F in place of Z, the sum over all
classes is 1, so that β = -α: the same rule then takes the two largest ∂F_t/∂x. Without a
target the likeliest other classes are tried.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arena.house.attacks.answered import answered
from arena.players import EvasionAttack, EvasionChallenge, QueryBudgetExceeded

MANIFEST = """
schema_version = 1
name = "JSMA"
role = "attack"
entry = "player.py:Jsma"
family = "iterative gradient"
description = "Pushes the most salient pairs of pixels to the end of their range (L0)."

[needs]
gradients = true
norms = ["l0"]
games = ["evasion", "minimum_norm"]
"""

Images = NDArray[np.float32]
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Jsma(EvasionAttack):
    """``gamma``: share of the features that may change where the round gives no ε.

    ``thetas``: directions, tried in turn. ``classes``: how many targets to try without a target.
    ``outputs``: whose Jacobian it is, "logits" or "probabilities".
    """

    gamma = 0.145
    thetas = (1, -1)
    classes = 3
    outputs = "logits"

    def attack(self, challenge: EvasionChallenge) -> Images:
        for option in ("gamma", "thetas", "classes", "outputs"):
            setattr(self, option, self.options.get(option, getattr(self, option)))
        features = int(np.prod(challenge.x.shape[1:]))
        budget = int(challenge.epsilon or self.gamma * features)
        best, changed = challenge.x.copy(), np.full(len(challenge), features + 1)
        try:
            logits = challenge.defense.logits(challenge.x)
        except QueryBudgetExceeded:  # the defense has no time at all
            return best
        changed[_reached(challenge, logits, np.arange(len(challenge)))] = 0
        self._walks(challenge, logits, budget, best, changed)
        return best

    def _walks(
        self,
        challenge: EvasionChallenge,
        logits: NDArray[np.float32],
        budget: int,
        best: Images,
        changed: Labels,
    ) -> None:
        """To each target in each direction; ``best`` and ``changed`` are kept."""
        for targets in self._targets(challenge, logits):
            for theta in self.thetas:
                if not len(rows := self._open(challenge, changed)):
                    break
                walk = _Walk(
                    challenge, rows, targets[rows], budget, theta, logits.shape[1], self.outputs
                )
                candidates, count = walk.run()
                better = count < changed[rows]
                best[rows[better]], changed[rows[better]] = candidates[better], count[better]

    def _targets(self, challenge: EvasionChallenge, logits: NDArray[np.float32]) -> list[Labels]:
        if challenge.targets is not None:
            return [challenge.targets]
        classes = len(challenge.task.classes) or logits.shape[1]
        labels = logits.argmax(1) if challenge.y is None else challenge.y
        others = logits[:, :classes].copy()
        others[np.arange(len(others)), labels] = -np.inf
        order = (-others).argsort(1)
        return [order[:, i] for i in range(min(self.classes, classes - 1))]

    def _open(self, challenge: EvasionChallenge, changed: Labels) -> Labels:
        """With a given ε one success is enough; else a sparser one is still looked for."""
        found = changed <= np.prod(challenge.x.shape[1:])
        return np.flatnonzero(~found if challenge.epsilon is not None else changed > 2)


def _reached(challenge: EvasionChallenge, logits: NDArray[np.float32], rows: Labels) -> Bools:
    """Where the defense already answers what the attack wants."""
    answers = logits.argmax(1)
    if challenge.targets is not None:
        hit: Bools = answers == challenge.targets[rows]
        return hit
    if challenge.y is None:
        return np.zeros(len(rows), bool)
    classes = len(challenge.task.classes) or logits.shape[1]
    wrong: Bools = (answers != challenge.y[rows]) & (answers < classes)
    return wrong


@dataclass
class _Walk:
    """One walk towards ``targets``; finished and stuck examples leave the batch."""

    challenge: EvasionChallenge
    rows: Labels
    targets: Labels
    budget: int
    theta: int
    columns: int
    outputs: str

    def run(self) -> tuple[Images, Labels]:
        """The walked images, and how many features each changed (d + 1 for no success)."""
        x = self.challenge.x[self.rows].reshape(len(self.rows), -1).copy()
        changed = np.full(len(x), x.shape[1] + 1)
        with suppress(QueryBudgetExceeded):  # the defense's time is up: what was found stands
            self._walk(x, changed)
        return self._shaped(x), changed

    def _walk(self, x: Images, changed: Labels) -> None:
        """Of ``x`` (n, d) itself; ``changed`` (n,) is told where a walk has succeeded."""
        free = self._free(x)
        count = np.zeros(len(x), np.int64)
        active = np.arange(len(x))
        while len(active):
            logits, alpha, beta = self._saliency(x[active], self.targets[active])
            claimed = self._won(logits, active)
            logits = answered(self.challenge.defense, self._shaped(x[active]), logits, claimed)
            won = self._won(logits, active)
            changed[active[won]] = count[active[won]]
            going = ~won & (count[active] + 2 <= self.budget) & (free[active].sum(1) >= 2)
            active, alpha, beta = active[going], alpha[going], beta[going]
            if not len(active):
                break
            pairs = best_pairs(self.theta * alpha, -self.theta * beta, free[active])
            line = active[:, None]
            x[line, pairs] = 1.0 if self.theta > 0 else 0.0
            free[line, pairs] = False
            count[active] += 2
        self._look_again(x, changed, count)

    def _look_again(self, x: Images, changed: Labels, count: Labels) -> None:
        """Where a walk has ended without a success: what the defense answers there."""
        lost = np.flatnonzero(changed > x.shape[1])
        if len(lost):
            won = self._won(self.challenge.defense.logits(self._shaped(x[lost])), lost)
            changed[lost[won]] = count[lost[won]]

    def _free(self, x: Images) -> Bools:
        free: Bools = x < 1.0 if self.theta > 0 else x > 0.0
        step = np.full(x.shape, self.theta, np.float32)
        able: Bools = free & (self.challenge.task.allowed(step) != 0)
        return able

    def _saliency(self, x: Images, targets: Labels) -> tuple[NDArray[np.float32], Floats, Floats]:
        """Logits, α and β by two backward passes, or by one for probabilities (up to F_t)."""
        shaped = self._shaped(x)
        one = np.zeros((len(x), self.columns), np.float32)
        one[np.arange(len(x)), targets] = 1.0
        if self.outputs == "probabilities":
            scores = self.challenge.defense.logits(shaped)
            odds = np.exp(scores - scores.max(1, keepdims=True))
            one -= odds / odds.sum(1, keepdims=True)
        logits, alpha = self.challenge.defense.logits_and_gradient(shaped, one)
        if self.outputs == "probabilities":
            slope: Floats = alpha.reshape(len(x), -1).astype(np.float64)
            return logits, slope, -slope
        _, beta = self.challenge.defense.logits_and_gradient(shaped, 1 - one)
        way = (1.0 - x if self.theta > 0 else x).astype(float)
        return logits, alpha.reshape(way.shape) * way, beta.reshape(way.shape) * way

    def _won(self, logits: NDArray[np.float32], active: Labels) -> Bools:
        """Where the walk's target is reached, or without one any other class."""
        hit: Bools = logits.argmax(1) == self.targets[active]
        return hit | _reached(self.challenge, logits, self.rows[active])

    def _shaped(self, x: Images) -> Images:
        return x.reshape(-1, *self.challenge.x.shape[1:])


def best_pairs(alpha: Floats, gain: Floats, free: Bools) -> Labels:
    """(n, 2): for each row the free pair with the largest (α_p + α_q)(gain_p + gain_q).

    Both sums must be positive; where no pair is so, the two largest α are returned.
    """
    line = np.arange(len(alpha))[:, None]
    alpha = np.where(free, alpha, -np.inf)
    order = np.lexsort((-gain, -alpha), axis=1)
    candidates = _two_layers(np.where(free, gain, -np.inf)[line, order])
    width = int(candidates.sum(1).max())
    places = np.argsort(~candidates, axis=1, kind="stable")[:, :width]
    chosen = order[line, places]
    valid = candidates[line, places] & free[line, chosen]
    a, g = np.where(valid, alpha[line, chosen], -np.inf), np.where(valid, gain[line, chosen], 0)
    sums: Floats = a[:, :, None] + a[:, None, :]
    gains: Floats = g[:, :, None] + g[:, None, :]
    allowed: Bools = (sums > 0) & (gains > 0) & ~np.eye(width, dtype=bool)
    score = np.where(allowed, np.where(np.isfinite(sums), sums, 0) * gains, -1.0)
    flat = score.reshape(len(alpha), -1).argmax(1)
    pairs = np.stack([flat // width, flat % width], axis=1)
    found = allowed.reshape(len(alpha), -1).any(1, keepdims=True)
    return np.where(found, chosen[line, pairs], order[:, :2])


def _two_layers(gain: Floats) -> Bools:
    """Rows sorted by falling α: which entries have at most one other entry above them."""
    first = gain > _running_best(gain)
    rest = np.where(first, -np.inf, gain)
    second = ~first & (rest > _running_best(rest))
    return first | second


def _running_best(gain: Floats) -> Floats:
    """The largest entry before each one."""
    best: Floats = np.maximum.accumulate(gain, axis=1)
    return np.concatenate([np.full((len(gain), 1), -np.inf), best[:, :-1]], axis=1)
