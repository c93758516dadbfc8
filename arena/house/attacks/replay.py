"""Replay of one mistake: search, then ask the mistakes again and hand in the surest.

The test-set attack (Gilmer et al. 2018, arXiv:1807.06732, section 3): one mistake is all it takes,
if it can be repeated. Mistakes are looked for with PGD where there are gradients, with Square where
there are probes alone, and by noise of the round's size where there is neither. A defense that
draws at random forgives some of them: so they are asked again, first all a few times, then the
better half of them twice as often, and so on (successive halving, Jamieson & Talwalkar 2016,
arXiv:1502.07943), until one is left. The others are handed in unmoved, which proposes nothing.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from arena.house.attacks.pgd import Pgd
from arena.house.attacks.random_noise import RandomNoise, predicted, succeeded
from arena.house.attacks.square import Square
from arena.players import (
    EvasionAttack,
    EvasionChallenge,
    NotDifferentiable,
    QueryBudgetExceeded,
    Withheld,
)

MANIFEST = """
schema_version = 1
name = "Replay of one mistake"
role = "attack"
entry = "player.py:Replay"
family = "test-set attack"
description = "Looks for mistakes (PGD, Square or noise), asks them again, proposes the surest."

[needs]
games = ["replay"]
"""

Images = NDArray[np.float32]
Labels = NDArray[np.int64]
Floats = NDArray[np.float64]


class Replay(EvasionAttack):
    """``first`` answers for each mistake, then twice as many for the better half of them.

    ``searching``: the share of the probes that the search may use.
    """

    first = 4
    searching = 0.6

    def attack(self, challenge: EvasionChallenge) -> Images:
        found = self._found(challenge)
        chosen = self._surest(challenge, found)
        handed = challenge.x.copy()
        handed[chosen] = found[chosen]
        if np.array_equal(handed[chosen], challenge.x[chosen]):
            handed[chosen] = nudged(challenge, chosen)
        return handed

    # ── looking for mistakes ───────────────────────────────────────────────────────────────

    def _found(self, challenge: EvasionChallenge) -> Images:
        """Candidates (n, *shape): by the best means that the round and the defense allow."""
        if challenge.norm != "l0":
            with suppress(NotDifferentiable, Withheld):
                return Pgd(self.package, {"sure": 0.95, "repeats": 8}).attack(challenge)
        if challenge.norm in ("linf", "l2") and challenge.output not in ("label", "top_k"):
            with suppress(Withheld):
                queries = int(self.searching * self._each(challenge))
                if queries > 1:
                    return Square(self.package, {"queries": queries}).attack(challenge)
        return RandomNoise(self.package, {"draws": 1}).attack(challenge)

    def _each(self, challenge: EvasionChallenge) -> float:
        """Probes for each example, if all are shared out."""
        n = len(challenge)
        own = float(challenge.defense.probes_left_for(np.arange(n)).min(initial=np.inf))
        each = min(own, challenge.defense.probes_left / max(n, 1))
        return min(each, 1000.0 / self.searching)

    # ── which of them is the surest ────────────────────────────────────────────────────────

    def _surest(self, challenge: EvasionChallenge, found: Images) -> Labels:
        """(1,) the example whose candidate was wrong most often; all of them where none can be
        asked."""
        rows, wrong = np.arange(len(challenge)), np.zeros(len(challenge))
        asked, count = np.zeros(len(challenge)), self.first
        try:
            while len(rows) > 1:
                for _ in range(count):
                    wrong[rows] += self._wrong(challenge, found, rows)
                    asked[rows] += 1
                share = wrong[rows] / asked[rows]
                if count > self.first and share.min() == share.max():
                    break
                rows = rows[np.argsort(-share, kind="stable")[: -(-len(rows) // 2)]]
                count *= 2
        except (QueryBudgetExceeded, Withheld):
            if not asked.any():
                return np.arange(len(challenge))
        share = (wrong + 1) / (asked + 2)  # the rule of succession: often asked, better known
        share[asked == 0] = 0.0
        return np.array([share.argmax()])

    def _wrong(self, challenge: EvasionChallenge, found: Images, rows: Labels) -> NDArray[np.bool_]:
        """One more answer for each of ``rows``: free where the weights are known, else a probe."""
        labels = challenge.y
        if labels is None:
            labels = np.full(len(challenge), -1)
        try:
            scores = challenge.defense.logits(found[rows])
        except Withheld:
            return succeeded(challenge, predicted(challenge, found[rows], rows), labels, rows)
        classes = len(challenge.task.classes) or scores.shape[1]
        answers = scores.argmax(axis=1)
        return succeeded(challenge, np.where(answers < classes, answers, -1), labels, rows)


def nudged(challenge: EvasionChallenge, rows: Labels) -> Images:
    """These examples, moved so little that they stay mistakes, and enough to be proposals."""
    x = challenge.x[rows].copy().reshape(len(rows), -1)
    mutable = challenge.task.mutable
    free = np.ones(x.shape[1], bool) if mutable is None else mutable.reshape(-1)
    feature = int(np.flatnonzero(free)[0]) if free.any() else 0
    grid = challenge.task.grid
    size = 1e-3 if grid is None else 1.0 / (grid - 1)
    if challenge.norm != "l0" and challenge.epsilon is not None:
        size = min(size, 0.5 * challenge.epsilon) if grid is None else size
    x[:, feature] += np.where(x[:, feature] < 0.5, size, -size).astype(np.float32)
    return x.reshape(challenge.x[rows].shape)
