"""Carlini & Wagner's L∞ attack: the largest change of any feature, pressed down in rounds.

Carlini & Wagner 2017 (arXiv:1608.04644), section VI.C, with g and w as in their L2 attack:

    min c g(x + δ) + Σ_i max(|δ_i| - τ, 0)

The largest |δ_i| itself has a slope in one feature alone, so that it swings between features; the
sum presses on all that stand out beyond τ. τ begins at the L2 attack's result and falls to SHRINK
of the largest change reached so far, warm from there. Where no success comes to lie lower, c grows
tenfold, and τ falls by less. Where ε is given, an example is done once it is within ε.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from arena.house.attacks.cw_l2 import (
    Adam,
    Bools,
    CarliniWagner,
    Floats,
    Images,
    Labels,
    Points,
    Search,
    column,
    in_w,
)
from arena.players import EvasionAttack, EvasionChallenge, QueryBudgetExceeded

MANIFEST = """
schema_version = 1
name = "Carlini-Wagner L∞"
role = "attack"
entry = "player.py:CarliniWagnerLinf"
family = "iterative gradient"
description = "The smallest L∞ perturbation by Adam, under a bound that is pressed down in rounds."

[needs]
gradients = true
norms = ["linf"]
games = ["evasion", "minimum_norm"]
nearest = true
"""

SHRINK = 0.92
"""τ over the largest change reached so far (the paper: .9)."""
FINEST = 0.985
"""Where τ would fall by less than this, an example is left."""
MOST = 1e4


class CarliniWagnerLinf(EvasionAttack):
    """Up to ``rounds`` of τ with ``steps`` of Adam each, after ``searches`` of the L2 attack."""

    searches = 2
    rounds = 24
    steps = 60
    rate = 0.01
    first_c = 0.1

    def attack(self, challenge: EvasionChallenge) -> Images:
        for option in ("searches", "rounds", "steps", "rate", "first_c"):
            setattr(self, option, self.options.get(option, getattr(self, option)))
        try:
            pressed = _Pressed.of(challenge, self.searches, self.first_c)
        except QueryBudgetExceeded:  # the defense has no time at all
            return challenge.x
        try:
            for _ in range(self.rounds):
                rows = pressed.unfinished()
                if not len(rows):
                    break
                pressed.tell(rows, self._descend(pressed, rows))
                challenge.submit(pressed.result())
        except QueryBudgetExceeded:  # the defense's time is up: what was found stands
            pass
        return pressed.result()

    def _descend(self, pressed: _Pressed, rows: Labels) -> Bools:
        """Adam from the best point; which of ``rows`` came to lie within τ."""
        search, bound = pressed.search, pressed.bound(rows)
        w = search.start_from(rows, pressed.delta(rows))
        adam = Adam.like(w, self.rate)
        active, ends = np.arange(len(rows)), w.copy()
        for _ in range(self.steps):
            some = rows[active]
            reached = np.tanh(w)
            point, delta = search.moved(some, search.deltas(some, reached))
            margin, raw, won = search.look(some, point, pressed.nearer(some, delta))
            pressed.keep(some[won], point[won])
            slope = column(np.where(margin > 0, pressed.c[some], 0.0)) * raw
            slope += np.sign(delta) * (np.abs(delta) > bound[active, None])
            w -= adam.step(in_w(slope, reached))
            going = pressed.size[some] > bound[active]
            if not going.any():
                break
            if not going.all():
                ends[active[~going]] = w[~going]
                active, w = active[going], w[going]
                adam.only(going)
        ends[active] = w
        lost = pressed.size[rows] > bound
        pressed.look_again(rows[lost], ends[lost])
        pressed_down: Bools = pressed.size[rows] <= bound
        return pressed_down


@dataclass
class _Pressed:
    """The nearest success of each example, and how τ and c go on from there."""

    search: Search
    best: Images
    size: Floats
    c: Floats
    fall: Floats

    @classmethod
    def of(cls, challenge: EvasionChallenge, searches: int, first_c: float) -> _Pressed:
        """From the result of the L2 attack."""
        part = replace(challenge, norm="l2", epsilon=None, submit_candidates=lambda _x, _rows: None)
        begin = CarliniWagner(challenge.package or Path(), {"searches": searches, "steps": 60})
        search, n = Search.of(challenge, 0.0), len(challenge)
        images = begin.attack(part)
        pressed = cls(
            search, challenge.x.copy(), np.full(n, np.inf), np.full(n, first_c), np.full(n, SHRINK)
        )
        pressed.size[search.size == 0] = 0.0
        rows = np.flatnonzero((images != challenge.x).reshape(n, -1).any(1))
        pressed.keep(rows, images[rows])
        return pressed

    def unfinished(self) -> Labels:
        enough = self.search.challenge.epsilon or 0.0
        return np.flatnonzero((self.size > enough) & (self.fall < FINEST))

    def bound(self, rows: Labels) -> Floats:
        """τ (n,): everything is allowed where nothing was found yet."""
        return np.where(np.isinf(self.size[rows]), 1.0, self.fall[rows] * self.size[rows])

    def delta(self, rows: Labels) -> Points:
        return self.best[rows].reshape(len(rows), -1) - self.search.x[rows]

    def nearer(self, rows: Labels, delta: Points) -> Bools:
        nearer: Bools = np.abs(delta).max(1, initial=0.0) < self.size[rows]
        return nearer

    def keep(self, rows: Labels, point: Images) -> None:
        x = self.search.x[rows]
        size = np.abs(point.reshape(x.shape) - x).max(1, initial=0.0)
        better = size < self.size[rows]
        self.best[rows[better]], self.size[rows[better]] = point[better], size[better]

    def look_again(self, rows: Labels, w: Points) -> None:
        """Where descents have ended without a success within τ: what the defense answers there."""
        point, delta = self.search.moved(rows, self.search.deltas(rows, np.tanh(w)))
        near = self.nearer(rows, delta)
        if near.any():
            rows, point = rows[near], point[near]
            won = self.search.succeeds(rows, point)
            self.keep(rows[won], point[won])

    def tell(self, rows: Labels, reached: Bools) -> None:
        """Where a round has failed: a larger c, and after that a smaller fall."""
        lost = rows[~reached]
        self.c[lost] = np.minimum(10 * self.c[lost], MOST)
        self.fall[lost] = np.sqrt(self.fall[lost])

    def result(self) -> Images:
        """The nearest successes; x itself where there is none (within ε, where it is given)."""
        best, epsilon = self.best.copy(), self.search.challenge.epsilon
        if epsilon is not None:
            far = self.size > epsilon
            best[far] = self.search.challenge.x[far]
        return best
