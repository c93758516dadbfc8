"""Who plays whom: the cells of a tournament that are still missing.

A cell is (round, attack, defense). Matches are planned as missing cells, so a new entry plays its
own row or column and nothing is played twice. Pure: the site and the command line both ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from arena.applicability import applicability
from arena.errors import Side
from arena.manifest import Manifest
from arena.rounds import RoundSpec


@dataclass(frozen=True)
class Entrant:
    """An entry as pairing sees it. House players are entries like any other.

    ``kept``: superseded, but an attack that held a unique kill, so everyone still meets it.
    """

    id: str
    team: str
    manifest: Manifest
    active: bool = True
    kept: bool = False

    @property
    def side(self) -> Side:
        """Learners defend, poisoners attack."""
        return Side(self.manifest.role.side)

    @property
    def in_pool(self) -> bool:
        """Met by everyone. A superseded defense meets nobody, whatever it once held."""
        return self.active or (self.kept and self.side is Side.ATTACK)


@dataclass(frozen=True)
class OpenRound:
    """A round that still takes matches."""

    id: str
    spec: RoundSpec


class PlannedCell(NamedTuple):
    round: str
    attack: str
    defense: str


Obstacle = Callable[[Manifest, Manifest, RoundSpec], str | None]
"""(attack, defense, round) -> why their declared abilities cannot meet; None if they can."""


def missing_cells(
    entries: Iterable[Entrant],
    rounds: Iterable[OpenRound],
    existing: Collection[tuple[str, str, str]],
    *,
    obstacle: Obstacle = applicability,
    only: Collection[str] | None = None,
) -> list[PlannedCell]:
    """The cells to plan now, in the order of rounds and entries.

    A team's own attack meets its own defense: it counts against the defense and never scores for
    the attack, which is the ranking's business, not pairing's.

    Args:
        existing: cells that have a match in whatever state; they are never planned again.
        obstacle: cells it gives a reason for are outside both denominators and get no match.
        only: plan no cell without one of these entries (the row or column of a new entry).
    """
    pool = [entry for entry in entries if entry.in_pool]
    taken = {PlannedCell(*cell) for cell in existing}
    return [
        cell
        for round_ in rounds
        for cell, attack, defense in _cells(round_, pool, only)
        if cell not in taken and obstacle(attack.manifest, defense.manifest, round_.spec) is None
    ]


def _cells(
    round_: OpenRound, pool: list[Entrant], only: Collection[str] | None
) -> Iterator[tuple[PlannedCell, Entrant, Entrant]]:
    defenses = [entry for entry in pool if entry.side is Side.DEFENSE]
    for attack in pool:
        if attack.side is not Side.ATTACK:
            continue
        for defense in defenses:
            if only is None or attack.id in only or defense.id in only:
                yield PlannedCell(round_.id, attack.id, defense.id), attack, defense
