"""Unique kills: examples that one attack broke and no other team's attack did.

The first commit keeps a kill against later copies. A later attack is a copy when it breaks the
very same examples on every defense that both met, at least one among them: what a copy breaks
takes nothing from the original, and earns the copy nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arena.ranking.records import Player

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class KillTable:
    """Kills of all attacks on one defense: ``broken`` (attacks, n), ``met`` (attacks,)."""

    broken: Bits
    met: Bits


def count_unique_kills(attacks: Sequence[Player], tables: Iterable[KillTable]) -> dict[str, int]:
    """Per attack, over the defenses of ``tables``; every table is in the order of ``attacks``."""
    listed = list(tables)
    takes = _takes_away(attacks, listed)
    harmless = [np.flatnonzero(~row) for row in takes]
    unique = np.zeros(len(attacks), np.int64)
    for table in listed:
        killers = table.broken.sum(axis=0)
        for i, beside in enumerate(harmless):
            rivals = killers - table.broken[beside].sum(axis=0)
            unique[i] += np.count_nonzero(table.broken[i] & (rivals == 0))
    return {player.id: int(unique[i]) for i, player in enumerate(attacks)}


def _takes_away(attacks: Sequence[Player], tables: Sequence[KillTable]) -> Bits:
    """[i, j]: what j breaks is not unique to i. Not so for i's own team and for copies of i."""
    teams = np.array([player.team_key for player in attacks])
    others = teams[:, None] != teams[None, :]
    return np.asarray(others & ~(_same_kills(tables, len(attacks)) & ~_committed_earlier(attacks)))


def _committed_earlier(attacks: Sequence[Player]) -> Bits:
    """[i, j]: j was uploaded before i; ties by id, so that one of two is always first."""
    order = sorted(range(len(attacks)), key=lambda i: (attacks[i].uploaded, attacks[i].id))
    turn = np.empty(len(attacks), np.int64)
    turn[order] = np.arange(len(attacks))
    return np.asarray(turn[None, :] < turn[:, None])


def _same_kills(tables: Sequence[KillTable], attacks: int) -> Bits:
    """[i, j]: equal kills on every defense that both met, at least one kill among them."""
    same = np.ones((attacks, attacks), bool)
    shared = np.zeros((attacks, attacks), bool)
    for table in tables:
        _, name = np.unique(table.broken, axis=0, return_inverse=True)
        name = name.reshape(-1)
        equal = name[:, None] == name[None, :]
        both = table.met[:, None] & table.met[None, :]
        same &= equal | ~both
        shared |= equal & both & np.any(table.broken, axis=1).reshape(-1, 1)
    return same & shared
