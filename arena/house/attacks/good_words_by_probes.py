"""Good words with probes: the filter is asked which words it likes best.

Lowd & Meek 2005, "Good word attacks on statistical spam filters" (CEAS), section 4.2. *Find
witness*: words are taken out of a blocked mail, the spammiest first, until it passes; the mail one
word before is *barely blocked*. *First words*: a word that lets the barely blocked mail pass is a
good one. *Best words*: the good ones are tried again on ever spammier mails (fewer words taken
out), and the longer a word still works, the better it is. Labels are all that is needed.

What a few witnesses say is averaged; ties are told apart by the frequency ratio on the attacker's
own mails. Every mail then gets the best words it lacks, and with the probes that are left the
fewest that are enough (halving).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.house.attacks.good_words import by_frequency, padded
from arena.house.attacks.random_noise import predicted
from arena.players import EvasionAttack, EvasionChallenge, QueryBudgetExceeded

MANIFEST = """
schema_version = 1
name = "Good words by probes"
role = "attack"
entry = "player.py:GoodWordsByProbes"
family = "good words"
description = "Asks the filter which words let a barely blocked mail pass (Lowd & Meek 2005)."

[needs]
probes = true
training_data = true
true_label = true
norms = ["l0"]
goals = ["untargeted"]
games = ["good_words"]
"""

Images = NDArray[np.float32]
Floats = NDArray[np.float64]
Order = NDArray[np.int64]
Bools = NDArray[np.bool_]

HALVINGS = 9
"""Probes an example that are kept for the fewest words that are enough."""
ROWS_AT_ONCE = 256
FEW = 8
"""So few words left need no further sorting."""


class GoodWordsByProbes(EvasionAttack):
    """``witnesses``: how many mails are asked about at each budget of the round.

    What was learned at a smaller budget is kept: the process is the same.
    """

    witnesses = 3

    def __init__(self, package: Path, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(package, options)
        self.score: Floats = np.zeros(0)
        self.tried: Floats = np.zeros(0)

    def attack(self, challenge: EvasionChallenge) -> Images:
        prior = by_frequency(challenge)
        asking = _Asking(challenge)
        if not len(self.score):
            self.score, self.tried = np.zeros(len(prior)), np.zeros(len(prior))
        with suppress(QueryBudgetExceeded):  # the defense's time is up: what was learned stands
            self._learn(asking, prior)
        order = self._order(prior)
        counts = np.full(len(challenge), int(challenge.epsilon or 0))
        handed = padded(challenge, np.arange(len(challenge)), order, counts)
        challenge.submit(handed)
        with suppress(QueryBudgetExceeded):
            handed = _fewest(asking, order, counts, handed)
        return handed

    def _order(self, prior: Order) -> Order:
        """The mean score over witnesses first, then the frequency ratio."""
        rank = np.empty(len(prior))
        rank[prior] = np.arange(len(prior)) / len(prior)
        mean = self.score / np.maximum(self.tried, 1)
        return np.argsort(rank - mean, kind="stable")

    def _learn(self, asking: _Asking, prior: Order) -> None:
        mails = asking.challenge.x.reshape(len(asking.challenge), -1)
        found = 0
        for mail in asking.challenge.rng().permutation(len(mails)):
            if found == self.witnesses or asking.left < 2 * FEW:
                return
            words = prior[::-1][mails[mail][prior[::-1]] > 0]  # the spammiest first
            cut = _barely_blocked(asking, mails[mail], words)
            if cut is None:
                continue
            found += 1
            self._sort(asking, mails[mail], words, cut, prior)

    def _sort(
        self, asking: _Asking, mail: NDArray[np.float32], words: Order, cut: int, prior: Order
    ) -> None:
        """Score each word the mail lacks by how spammy a mail it still lets pass, 0 to 1."""
        candidates = prior[mail[prior] < 1]
        self.tried[candidates] += 1
        passed = np.zeros(len(mail))
        for out in range(cut, -1, -1):
            candidates = candidates[: int(asking.left)]
            base = mail.copy()
            base[words[:out]] = 0
            asked = np.tile(base, (len(candidates), 1))
            asked[np.arange(len(candidates)), candidates] = 1
            candidates = candidates[asking.passes(asked)]
            passed[candidates] += 1
            if len(candidates) <= FEW:
                break
        self.score += passed / max(passed.max(), 1)


class _Asking:
    """Probes of the whole round, whosever mail they are charged to; some are kept for the end."""

    def __init__(self, challenge: EvasionChallenge) -> None:
        assert challenge.y is not None, "Whose mails are attacked is read off their labels."
        self.challenge = challenge
        self.spam = int(challenge.y[0])
        self.free = np.zeros(len(challenge), np.int64)
        self.refresh(kept=HALVINGS)

    def refresh(self, *, kept: int) -> None:
        """Count the probes anew. Granted in total alone, each mail has an equal share."""
        rows, view = np.arange(len(self.challenge)), self.challenge.defense
        equal = np.floor(view.probes_left / max(len(rows), 1))
        left = np.minimum(view.probes_left_for(rows), equal)
        self.free = np.maximum(np.minimum(left, 10**6).astype(np.int64) - kept, 0)

    @property
    def left(self) -> int:
        return int(self.free.sum())

    def passes(self, mails: NDArray[np.float32]) -> Bools:
        """(n,) which of these mails (n, words) the filter lets pass; n at most ``left``."""
        owner = np.repeat(np.arange(len(self.free)), self.free)[: len(mails)]
        if len(owner) < len(mails):
            raise QueryBudgetExceeded(f"Asked {len(mails)} probes with {len(owner)} left.")
        self.free -= np.bincount(owner, minlength=len(self.free))
        return self._answers(mails, owner)

    def own(self, mails: Images, rows: Order) -> Bools:
        """The same for mails that belong to the examples ``rows``."""
        return self._answers(mails.reshape(len(mails), -1), rows)

    def _answers(self, mails: NDArray[np.float32], owner: Order) -> Bools:
        shaped = mails.reshape(-1, *self.challenge.x.shape[1:])
        answers = [
            predicted(self.challenge, shaped[at : at + ROWS_AT_ONCE], owner[at : at + ROWS_AT_ONCE])
            for at in range(0, len(shaped), ROWS_AT_ONCE)
        ]
        told = np.concatenate(answers) if answers else np.zeros(0, np.int64)
        return np.asarray((told != self.spam) & (told >= 0))


def _barely_blocked(asking: _Asking, mail: NDArray[np.float32], words: Order) -> int | None:
    """How many of ``words`` can be taken out before the mail passes; None: it passes, or never."""
    low, high = 0, len(words)
    ends = np.stack([mail, mail])
    ends[1, words] = 0
    blocked_now, blocked_empty = ~asking.passes(ends)
    if not blocked_now or blocked_empty:
        return None
    while high - low > 1 and asking.left:
        middle = (low + high) // 2
        shorter = mail.copy()
        shorter[words[:middle]] = 0
        low, high = (low, middle) if asking.passes(shorter[None])[0] else (middle, high)
    return low


def _fewest(asking: _Asking, order: Order, most: Order, handed: Images) -> Images:
    """The fewest words that let each mail pass, by halving; all of them where none do."""
    asking.refresh(kept=0)
    rows = np.flatnonzero(asking.free > 0)
    rows = rows[asking.own(handed[rows], rows)]
    low, high = np.full(len(handed), -1), most.copy()
    left = asking.free - 1
    best = handed.copy()
    while len(rows := rows[(high[rows] - low[rows] > 1) & (left[rows] > 0)]):
        middle = (low[rows] + high[rows]) // 2
        tried = padded(asking.challenge, rows, order, middle)
        hit = asking.own(tried, rows)
        left[rows] -= 1
        low[rows[~hit]], high[rows[hit]] = middle[~hit], middle[hit]
        best[rows[hit]] = tried[hit]
    return best
