"""Matches that a row never got, because its team had put another entry in its place.

A superseded entry meets nobody who comes after it, and keeps its row until its successor has met
the pool. A successor that cannot play the round never does: without these gaps the old row would
stand for ever, untried by all that came since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from arena.errors import Side
from arena.rounds import RoundSpec
from tournaments.models import Entry, Match
from tournaments.planning import obstacle

Pairs = set[tuple[int, int]]
"""Primary keys of attacks and defenses."""


def never_planned(
    rules: Mapping[int, RoundSpec], left: Collection[Entry], pool: Collection[Entry]
) -> Iterator[tuple[int, int, int]]:
    """(round, attack, defense) for each of ``pool`` that an entry of ``left`` could have met in a
    round that both play, and for which there is no match of any kind. ``rules``: by round."""
    if not left:
        return
    planned: defaultdict[int, Pairs] = defaultdict(set)
    rows = Match.objects.filter(round__in=rules)
    for round_, *pair in rows.values_list("round_id", "attack_id", "defense_id"):
        planned[round_].add((pair[0], pair[1]))
    for round_, pairs in planned.items():
        for attack, defense in _missing(rules[round_], left, pool, pairs):
            yield round_, attack, defense


def _missing(
    rules: RoundSpec, left: Collection[Entry], pool: Collection[Entry], planned: Pairs
) -> Iterator[tuple[int, int]]:
    here = {entry for pair in planned for entry in pair}
    for one in left:
        for other in pool:
            if one.role == other.role or not {one.pk, other.pk} <= here:
                continue
            attack, defense = (one, other) if one.role == Side.ATTACK else (other, one)
            pair = attack.pk, defense.pk
            if pair not in planned and obstacle(attack, defense, rules) is None:
                yield pair
