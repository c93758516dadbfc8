"""Which kills count where. Tiers nest: what breaks a defense with less still breaks it with more.

A kill counts on every tier of the same task, split, goal and norm whose threat model reveals at
least as much and whose epsilon is at least as large. Fixed-epsilon and minimum-norm rounds feed
each other: a perturbation of size d is a kill at every epsilon >= d.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena.ranking.records import Tier
from arena.rounds import GameName, Goal, Norm, RoundSpec
from arena.verdict import Kills

TOLERANCE: Final = 1e-6
"""The referee's own slack when it measures a perturbation."""
PERTURBATION_GAMES: Final = (
    GameName.EVASION,
    GameName.TRANSFER,
    GameName.MINIMUM_NORM,
    GameName.CERTIFICATION,
)


OF_THEIR_OWN: Final = {
    GameName.REPLAY,
    GameName.ATTACKER_FIRST,
    GameName.TREND_POISONING,
    GameName.GOOD_WORDS,
}
"""Games whose rounds nest among themselves alone, within a norm."""


def nests(weaker: RoundSpec, stronger: RoundSpec) -> bool:
    """Whether kills of ``weaker`` count on the tier of ``stronger``; every tier nests in itself."""
    if not _same_contest(weaker, stronger) or not _shifts_fit(weaker, stronger):
        return False
    if stronger.game is GameName.CERTIFICATION and weaker.game is not GameName.CERTIFICATION:
        return True  # a certificate holds whatever the attack knows
    return weaker.threat_model.reveals_at_most(stronger.threat_model)


def _same_contest(one: RoundSpec, other: RoundSpec) -> bool:
    same = (one.task, one.split, one.goal) == (other.task, other.split, other.goal)
    if one.goal is Goal.TARGETED:
        same = same and one.target_rule is other.target_rule
    if GameName.POISONING in (one.game, other.game):
        return same and (one.game, one.poison_mode) == (other.game, other.poison_mode)
    if GameName.BACKDOOR in (one.game, other.game):
        return same and _same_trigger(one, other)
    if GameName.TARGETED_POISONING in (one.game, other.game):
        return same and (one.game, one.poison_mode, one.targets) == (
            *(other.game, other.poison_mode, other.targets),
        )
    if GameName.ONLINE_POISONING in (one.game, other.game):
        return same and (one.game, one.poison_mode, one.batches) == (
            *(other.game, other.poison_mode, other.batches),
        )
    if GameName.EXTRACTION in (one.game, other.game):
        return same and one.game is other.game
    if OF_THEIR_OWN & {one.game, other.game}:
        return same and (one.game, one.norm) == (other.game, other.norm)
    games_meet = one.game in PERTURBATION_GAMES and other.game in PERTURBATION_GAMES
    return same and games_meet and one.norm is other.norm


def _shifts_fit(weaker: RoundSpec, stronger: RoundSpec) -> bool:
    """Spatial rounds: at every level of the stronger, what fits its degrees fits its shift too."""
    if weaker.norm is not Norm.SPATIAL:
        return True
    levels = stronger.epsilons
    return all(weaker.shift_at(e) <= stronger.shift_at(e) + TOLERANCE for e in levels)


def _same_trigger(one: RoundSpec, other: RoundSpec) -> bool:
    """Both patches, or both shifts in the same norm."""
    kinds = [(r.game, r.poison_mode, bool(r.epsilons), r.epsilons and r.norm) for r in (one, other)]
    return kinds[0] == kinds[1]


def nested_in(tier: Tier, tiers: Iterable[Tier]) -> list[str]:
    """Ids of the other tiers whose kills count on ``tier``, in order."""
    return sorted(t.id for t in tiers if t.id != tier.id and nests(t.spec, tier.spec))


def fed_by(tier: Tier, tiers: Iterable[Tier]) -> list[str]:
    """Ids of the other tiers on which the kills of ``tier`` count: their boards change with it."""
    return sorted(t.id for t in tiers if t.id != tier.id and nests(tier.spec, t.spec))


def broken_within(kills: Kills, epsilon: float) -> NDArray[np.bool_]:
    """(n,) which examples are broken by at most ``epsilon``, whatever the game that found it."""
    if kills.distances is not None:
        found = kills.broken.any(axis=0) if len(kills.broken) else True
        near = measured(kills.distances) <= epsilon + TOLERANCE
        return np.asarray(found & kills.clean_right & near)
    rows = [e <= epsilon + TOLERANCE for e in kills.epsilons]
    if not any(rows):
        return np.zeros(len(kills.examples), bool)
    return np.asarray(kills.broken[: len(rows)][rows].any(axis=0))


def measured(distances: NDArray[np.float32]) -> NDArray[np.float64]:
    """The same in double precision; inf where none is told."""
    return np.where(np.isnan(distances), np.inf, distances.astype(np.float64))


def distance_bound(kills: Kills) -> NDArray[np.float64]:
    """(n,) the smallest perturbation known to break each example; inf where none is known.

    A kill at a fixed epsilon bounds the distance by that epsilon.
    """
    bound = np.full(len(kills.examples), np.inf)
    if kills.distances is not None:
        found = kills.broken.any(axis=0) if len(kills.broken) else True
        return np.where(found & kills.clean_right, measured(kills.distances), np.inf)
    for epsilon, row in zip(kills.epsilons, kills.broken, strict=False):
        bound = np.where(row, np.minimum(bound, epsilon), bound)
    return np.where(kills.clean_right, bound, np.inf)
