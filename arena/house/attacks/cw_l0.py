"""Carlini & Wagner's L0 attack: pixels that matter least are given back, round by round.

Carlini & Wagner 2017 (arXiv:1608.04644), section VI.B. From a success of the L2 attack, with
s_i = |∇g(x + δ)_i δ_i| what pixel i does for it:

    1. give the pixels of the smallest s back: δ_i = 0 from now on;
    2. look for a success with the pixels that are left, by Adam from the δ that is left;
    3. where there is one, go on from it; else take the pixels again.

The paper gives back one pixel a round. Here it is a share of them, halved where a round fails,
until a single one cannot be spared. A pixel counts once, with all its channels. Where ε is given,
an example is done once it changes no more than ε pixels.
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
name = "Carlini-Wagner L0"
role = "attack"
entry = "player.py:CarliniWagnerL0"
family = "iterative gradient"
description = "Starts from an L2 success and gives back the pixels that matter least (L0)."

[needs]
gradients = true
norms = ["l0"]
games = ["evasion", "minimum_norm"]
nearest = true
"""

FIRST_SHARE = 0.5
CHANGED = 1e-6
"""A feature counts as changed beyond this, as for the referee."""


class CarliniWagnerL0(EvasionAttack):
    """Up to ``rounds`` with ``steps`` of Adam each, after ``searches`` of the L2 attack."""

    searches = 3
    rounds = 40
    steps = 80
    rate = 0.1
    first_c = 10.0
    patience = 20

    def attack(self, challenge: EvasionChallenge) -> Images:
        for option in ("searches", "rounds", "steps", "rate", "first_c", "patience"):
            setattr(self, option, self.options.get(option, getattr(self, option)))
        try:
            sparse = _Sparse.of(challenge, self.searches)
        except QueryBudgetExceeded:  # the defense has no time at all
            return challenge.x
        try:
            sparse.weigh()
            for _ in range(self.rounds):
                rows = sparse.unfinished()
                if not len(rows):
                    break
                trial, given = sparse.fewer(rows)
                sparse.tell(rows, self._descend(sparse, rows, trial), given)
                challenge.submit(sparse.result())
        except QueryBudgetExceeded:  # the defense's time is up: what was found stands
            pass
        return sparse.result()

    def _descend(self, sparse: _Sparse, rows: Labels, trial: Bools) -> Bools:
        """Which of ``rows`` meet a success that changes features of ``trial`` (n, d) alone."""
        search = sparse.search
        w = search.start_from(rows, sparse.delta(rows) * trial)
        adam, won = Adam.like(w, self.rate), np.zeros(len(rows), bool)
        active, raw = np.arange(len(rows)), np.zeros_like(w)
        for step in range(self.steps):
            some, free = rows[active], trial[active]
            reached = np.tanh(w)
            delta = search.deltas(some, reached) * free
            point = search.moved(some, delta)[0]
            margin, raw, hit = search.look(some, point, np.ones(len(some), bool))
            sparse.keep(some[hit], point[hit], raw[hit])
            won[active[hit]] = True
            if hit.all():
                return won
            c = self.first_c * 4.0 ** (step // self.patience)
            slope = (2 * delta + column(np.where(margin > 0, c, 0.0)) * raw) * free
            w -= adam.step(in_w(slope, reached))
            if hit.any():
                active, w, raw = active[~hit], w[~hit], raw[~hit]
                adam.only(~hit)
        some = rows[active]
        delta = search.deltas(some, np.tanh(w)) * trial[active]
        point = search.moved(some, delta)[0]
        won[active] = hit = search.succeeds(some, point)
        sparse.keep(some[hit], point[hit], raw[hit])
        return won


@dataclass
class _Sparse:
    """The sparsest success of each example, what each pixel does for it, and how to go on."""

    search: Search
    best: Images
    slope: Points
    found: Bools
    share: Floats
    channels: int

    @classmethod
    def of(cls, challenge: EvasionChallenge, searches: int) -> _Sparse:
        """From the result of the L2 attack."""
        part = replace(challenge, norm="l2", epsilon=None, submit_candidates=lambda _x, _rows: None)
        begin = CarliniWagner(challenge.package or Path(), {"searches": searches, "steps": 80})
        search, n, shape = Search.of(challenge, 0.0), len(challenge), challenge.x.shape[1:]
        images = begin.attack(part)
        sparse = cls(
            search=search,
            best=challenge.x.copy(),
            slope=np.zeros_like(search.x),
            found=search.size == 0,
            share=np.full(n, FIRST_SHARE),
            channels=shape[0] if len(shape) == 3 else 1,
        )
        rows = np.flatnonzero((images != challenge.x).reshape(n, -1).any(1))
        sparse.keep(rows, images[rows], sparse.slope[rows])
        return sparse

    def weigh(self) -> None:
        """The slope at the successes, none of which has been weighed yet."""
        rows = self.unfinished()
        if len(rows):
            nothing = np.zeros(len(rows), bool)
            self.slope[rows] = self.search.look(rows, self.best[rows], nothing)[1]

    @property
    def size(self) -> Labels:
        """(n,) changed pixels."""
        changed: Labels = self._changed(np.arange(len(self.best))).sum(1)
        return changed

    def unfinished(self) -> Labels:
        enough = self.search.challenge.epsilon or 0.0
        return np.flatnonzero(self.found & (self.size > enough) & (self.share > 0))

    def delta(self, rows: Labels) -> Points:
        return self.best[rows].reshape(len(rows), -1) - self.search.x[rows]

    def keep(self, rows: Labels, point: Images, slope: Points) -> None:
        self.best[rows], self.slope[rows], self.found[rows] = point, slope, True

    def fewer(self, rows: Labels) -> tuple[Bools, Labels]:
        """(n, d) features that may still change, without the least of them; (n,) how many went."""
        changed = self._changed(rows)
        matter = self._by_pixel(np.abs(self.slope[rows] * self.delta(rows)))
        matter = np.where(changed, matter, np.inf)
        count = np.maximum((self.share[rows] * changed.sum(1)).astype(int), 1)
        place = np.argsort(np.argsort(matter, axis=1, kind="stable"), axis=1, kind="stable")
        kept = changed & (place >= count[:, None])
        return np.tile(kept, (1, self.channels)), count

    def tell(self, rows: Labels, won: Bools, given: Labels) -> None:
        """Where a round has failed: fewer at a time, and none where a single one was asked for."""
        lost = rows[~won]
        self.share[lost] = np.where(given[~won] == 1, 0.0, self.share[lost] / 2)

    def result(self) -> Images:
        """The sparsest successes; x itself where there is none (within ε, where it is given)."""
        best, epsilon = self.best.copy(), self.search.challenge.epsilon
        if epsilon is not None:
            far = self.size > epsilon
            best[far] = self.search.challenge.x[far]
        return best

    def _changed(self, rows: Labels) -> Bools:
        changed: Bools = self._by_pixel((np.abs(self.delta(rows)) > CHANGED).astype(np.float32)) > 0
        return changed

    def _by_pixel(self, values: Points) -> Points:
        """Sums over the channels of a pixel; (n, d) for inputs that are no images."""
        summed: Points = values.reshape(len(values), self.channels, -1).sum(1)
        return summed
