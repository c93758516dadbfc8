"""Resubmission: which superseded attacks stay in the pool, and when an old row leaves its board."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from arena.ranking.attacks import counts_for_attack, kills_of
from arena.ranking.board import Board
from arena.ranking.records import CellResult, Player, Records

KEPT_PER_TEAM: Final = 3

Kill = tuple[str, str, int]
"""(round, defense, index of the example in the split)."""


def kept_attacks(
    records: Records, superseded: Iterable[str], *, per_team: int = KEPT_PER_TEAM
) -> list[str]:
    """Which superseded attacks break something that nothing else in the pool breaks.

    Chosen greedily, largest contribution first, so that two versions with the same kills take one
    place. Kills among friends do not count: no team holds a place on its own defense.
    """
    waiting = {id_ for id_ in superseded if id_ in records.players}
    kills = _kills_by_attack(records)
    covered = _covered(records, kills, waiting)
    kept: list[str] = []
    places: Counter[str] = Counter()
    while waiting:
        best = max(waiting, key=lambda id_: (len(kills[id_] - covered), _seniority(records, id_)))
        if not kills[best] - covered:
            break
        waiting.discard(best)
        team = records.players[best].team_key
        if places[team] < per_team:
            places[team] += 1
            kept.append(best)
            covered |= kills[best]
    return sorted(kept)


def superseded_rows(board: Board, players: Mapping[str, Player]) -> set[str]:
    """Entries whose row leaves the board.

    Of a chain of resubmissions one row stays: the newest that has met the pool, and beside it the
    active entry while that is still on its way.
    """
    rows = {row.entry: row.contender for row in board.rows}
    replaced = {player.replaces for player in players.values()}
    gone: set[str] = set()
    for head in (id_ for id_ in rows if id_ not in replaced):
        settled = not rows[head].provisional
        for id_ in _predecessors(players, head):
            if id_ not in rows:
                continue
            if settled or rows[id_].provisional:
                gone.add(id_)
            else:
                settled = True
    return gone


def _predecessors(players: Mapping[str, Player], entry: str) -> list[str]:
    """Newest first."""
    chain: list[str] = []
    before = players[entry].replaces
    while before is not None and before in players and before not in chain:
        chain.append(before)
        before = players[before].replaces
    return chain


def _seniority(records: Records, id_: str) -> tuple[float, str]:
    return (-records.players[id_].uploaded, id_)


def _covered(
    records: Records, kills: defaultdict[str, set[Kill]], waiting: Collection[str]
) -> set[Kill]:
    pool = [id_ for id_, p in records.players.items() if p.in_pool and id_ not in waiting]
    return set().union(*(kills[id_] for id_ in pool))


def _kills_by_attack(records: Records) -> defaultdict[str, set[Kill]]:
    kills: defaultdict[str, set[Kill]] = defaultdict(set)
    for cell in records.cells.values():
        kills[cell.attack] |= _kills(records, cell)
    return kills


def _kills(records: Records, cell: CellResult) -> set[Kill]:
    attack, defense = records.players[cell.attack], records.players[cell.defense]
    if cell.kills is None or not defense.in_pool or not counts_for_attack(cell, attack, defense):
        return set()
    broken = kills_of(cell, records.tiers[cell.round].headline_epsilon)
    return {(cell.round, cell.defense, int(i)) for i in cell.kills.examples[broken]}
