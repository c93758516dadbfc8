"""Rotations and translations on a grid: no pixel is painted, and undefended networks still err.

Engstrom, Tran, Tsipras, Schmidt & Madry 2019 (arXiv:1712.02779), section 3: of all moves

    (a, du, dv) in {31 angles} x {5 shifts} x {5 shifts} within the bounds

the one with the largest loss. They found that first-order search does worse than this grid, and
that the worst of ten random moves does much of the damage. Moves are tried in random order, so
that a budget of k probes gives their worst-of-k.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from arena.house.attacks.worst_of import Array, worst_moves
from arena.players import EvasionAttack, EvasionChallenge

MANIFEST = """
schema_version = 1
name = "Spatial grid"
role = "attack"
entry = "player.py:SpatialGrid"
family = "search over rotations and translations"
description = "The worst of a grid of turns and shifts that probes allow (Engstrom et al. 2019)."

[needs]
norms = ["spatial"]
games = ["evasion", "transfer"]
"""


class SpatialGrid(EvasionAttack):
    """Options ``angles`` and ``shifts``: points of the grid in each direction."""

    def attack(self, challenge: EvasionChallenge) -> Array:
        return worst_moves(challenge, self._moves(challenge))

    def _moves(self, challenge: EvasionChallenge) -> Iterator[Array]:
        """Each the same move for every example; where nothing answers, the first is a corner."""
        most = challenge.epsilon
        assert most is not None, "A grid needs bounds."
        angles = np.linspace(-most, most, int(self.options.get("angles", 31)))
        shifts = np.linspace(-challenge.shift, challenge.shift, int(self.options.get("shifts", 5)))
        grid = np.stack(np.meshgrid(angles, shifts, shifts), axis=-1).reshape(-1, 3)
        grid = np.unique(grid, axis=0).astype(np.float32)
        corner = np.abs(grid).sum(axis=1).argmax()
        order = challenge.rng().permutation(np.delete(np.arange(len(grid)), corner))
        for place in (corner, *order):
            yield np.repeat(grid[place][None], len(challenge), axis=0)
