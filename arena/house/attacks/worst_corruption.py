"""The worst of the common corruptions, for each example by itself.

Hendrycks & Dietterich 2019 (arXiv:1903.12261) report means over kinds and severities; the worst
kind for each example bounds what corruptions can do:

    argmax over (kind, severity <= s) of the loss of F(corruption(x))

Kinds that draw at random are tried last, with draws of one's own: the referee draws again, in
secret, so that what falls to them may stand.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from arena.changes.corruptions import CERTAIN, KINDS
from arena.house.attacks.worst_of import Array, worst_moves
from arena.players import EvasionAttack, EvasionChallenge

MANIFEST = """
schema_version = 1
name = "Worst corruption"
role = "attack"
entry = "player.py:WorstCorruption"
family = "common corruptions"
description = "The corruption that is worst for each example (after Hendrycks & Dietterich 2019)."

[needs]
norms = ["corruption"]
games = ["evasion", "transfer"]
"""


class WorstCorruption(EvasionAttack):
    """Every kind at the round's severity, then at the ones below."""

    def attack(self, challenge: EvasionChallenge) -> Array:
        return worst_moves(challenge, self._moves(challenge))

    def _moves(self, challenge: EvasionChallenge) -> Iterator[Array]:
        """Kinds in another order for each example; unanswered, the first is handed in."""
        assert challenge.epsilon is not None, "A corruption has a severity."
        rng, n = challenge.rng(), len(challenge)
        certain = np.array([kind in CERTAIN for kind in KINDS])
        parts = (np.flatnonzero(certain), np.flatnonzero(~certain))
        shuffled = [rng.permuted(np.tile(part, (n, 1)), axis=1) for part in parts]
        order = np.concatenate(shuffled, axis=1)
        for severity in range(int(challenge.epsilon), 0, -1):
            for kinds in order.T:
                yield np.stack([kinds, np.full(n, severity)], axis=1).astype(np.float32)
