"""Try moves one after the other and keep, for each example, the one that is worst for the defense.

What the rounds of turns, shifts and corruptions share: their candidates are moves of a few numbers,
so the search goes over moves. Logits are asked where they are free, else one probe a move; where
nothing answers, the first move is handed in unseen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arena.players import EvasionChallenge, QueryBudgetExceeded, Withheld

Array = NDArray[np.float32]
Labels = NDArray[np.int64]
HANDED_IN_EVERY = 25


def worst_moves(challenge: EvasionChallenge, tries: Iterable[Array]) -> Array:
    """(n, numbers) the worst of ``tries``, each (n, numbers); examples that fell are left alone."""
    n = len(challenge)
    best = np.zeros((n, *challenge.candidate_shape), np.float32)
    answers = Answers.of(challenge)
    if answers.none:
        return next(iter(tries), best)
    worst, open_ = np.full(n, -np.inf), np.arange(n)
    labels = challenge.y
    try:
        if labels is None:
            open_ = answers.may_ask(open_)
            labels = np.full(n, -1)
            labels[open_] = answers.labels(answers.to(challenge.x[open_], open_))
        for number, moves in enumerate(tries):
            open_ = answers.may_ask(open_)
            if not len(open_):
                break
            pictures = challenge.applied(moves[open_], open_, draw=number)
            loss, fell = answers.judged(answers.to(pictures, open_), labels, open_)
            better = open_[loss > worst[open_]]
            best[better] = moves[better]
            worst[open_] = np.maximum(worst[open_], loss)
            open_ = open_[~fell]
            if number % HANDED_IN_EVERY == 0:
                challenge.submit(best)
    except QueryBudgetExceeded:
        pass  # the defense's time is used up: what was found so far is handed in
    return best


@dataclass(frozen=True)
class Answers:
    """How this round answers. ``free``: logits without charge; else probes, if there are any."""

    challenge: EvasionChallenge
    free: bool

    @classmethod
    def of(cls, challenge: EvasionChallenge) -> Answers:
        try:
            challenge.defense.logits(challenge.x[:1])
        except Withheld:
            return cls(challenge, free=False)
        return cls(challenge, free=True)

    @property
    def none(self) -> bool:
        return not self.free and self.challenge.defense.probes_left < 1

    @property
    def labels_alone(self) -> bool:
        return not self.free and self.challenge.output in ("label", "top_k")

    def may_ask(self, rows: Labels) -> Labels:
        """Those of the examples that may still be asked about."""
        if self.free:
            return rows
        view = self.challenge.defense
        rows = rows[view.probes_left_for(rows) >= 1]
        return rows[: int(min(len(rows), view.probes_left))]

    def to(self, x: Array, rows: Labels) -> NDArray[np.float64]:
        """(m, columns) scores, or labels as one column."""
        view = self.challenge.defense
        replies = view.logits(x) if self.free else view.ask(x, rows)
        return np.asarray(replies, np.float64).reshape(len(x), -1)

    def labels(self, replies: NDArray[np.float64]) -> Labels:
        """(m,) the answered label; -1 an abstention."""
        if self.labels_alone:
            return replies[:, 0].astype(np.int64)
        found = replies.argmax(axis=1)
        classes = len(self.challenge.task.classes) or replies.shape[1]
        return np.where(found < classes, found, -1)

    def judged(
        self, replies: NDArray[np.float64], labels: Labels, rows: Labels
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(m,) how bad each answer is for the defense, and whether its example fell."""
        told, targets = self.labels(replies), self.challenge.targets
        wanted = labels[rows] if targets is None else targets[rows]
        fell = (told != wanted) & (told >= 0) if targets is None else told == wanted
        if self.labels_alone:
            return fell.astype(np.float64), fell
        other, places = replies.copy(), np.arange(len(rows))
        other[places, wanted] = -np.inf
        margin = other.max(axis=1) - replies[places, wanted]
        return (margin if targets is None else -margin), fell
