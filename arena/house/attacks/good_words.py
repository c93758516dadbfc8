"""Good words without probes: what is in much ham and little spam is added to every spam.

Lowd & Meek 2005, "Good word attacks on statistical spam filters" (CEAS), section 4.1, the frequency
ratio attack: on mails of the attacker's own, each word has the score

    log P(word | ham) - log P(word | spam)

(smoothed by Laplace's rule), and the best words that a mail lacks are added, as many as allowed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import EvasionAttack, EvasionChallenge

MANIFEST = """
schema_version = 1
name = "Good words"
role = "attack"
entry = "player.py:GoodWords"
family = "good words"
description = "Adds the words that are in much ham and little spam (Lowd & Meek 2005)."

[needs]
training_data = true
true_label = true
norms = ["l0"]
goals = ["untargeted"]
games = ["good_words"]
"""

Images = NDArray[np.float32]
Order = NDArray[np.int64]


class GoodWords(EvasionAttack):
    """One order of words for all mails."""

    def attack(self, challenge: EvasionChallenge) -> Images:
        assert challenge.epsilon is not None, "Words are added up to a number of them."
        counts = np.full(len(challenge), int(challenge.epsilon))
        return padded(challenge, np.arange(len(challenge)), by_frequency(challenge), counts)


def by_frequency(challenge: EvasionChallenge) -> Order:
    """(words,) the best first, by the frequency ratio in the attacker's own mails."""
    assert challenge.training is not None, "Frequencies are counted in mails of one's own."
    assert challenge.y is not None, "Whose mails are attacked is read off their labels."
    x, y = challenge.training
    held = x.reshape(len(x), -1) > 0
    spam = y == challenge.y[0]
    ratio = _log_share(held[~spam]) - _log_share(held[spam])
    return np.argsort(-ratio, kind="stable")


def _log_share(held: NDArray[np.bool_]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = (held.sum(axis=0) + 1) / (len(held) + 2)
    return np.log(share)


def padded(challenge: EvasionChallenge, rows: Order, order: Order, counts: Order) -> Images:
    """The mails ``rows`` with the first ``counts`` (rows,) words of ``order`` that each lacks."""
    x = challenge.x[rows]
    flat = x.reshape(len(x), -1).copy()
    lacks = flat[:, order] < 1
    lacks &= challenge.task.allowed(np.ones_like(flat))[:, order] > 0
    added = lacks & (lacks.cumsum(axis=1) <= counts[:, None])
    flat[:, order] = np.where(added, 1.0, flat[:, order])
    return flat.reshape(x.shape)
