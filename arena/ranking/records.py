"""What ranking reads: players, tiers and cells, as plain values without a database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from arena.errors import Side
from arena.rounds import RoundSpec
from arena.verdict import Kills, Status

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Player:
    """An entry as ranking sees it.

    ``uploaded``: seconds since the epoch; earlier uploads come first among equals.
    ``in_pool``: house, active, or a superseded attack that is kept for its unique kills.
    ``on_board``: has a row; a superseded entry keeps it until its successor has met the pool.
    ``replaces``: the entry that this one superseded.
    ``allies``: teams with which its team shared a member in this tournament.
    """

    id: str
    team: str
    side: Side
    uploaded: float = 0.0
    house: bool = False
    in_pool: bool = True
    on_board: bool = True
    replaces: str | None = None
    allies: frozenset[str] = frozenset()

    @property
    def team_key(self) -> str:
        """Each house player counts as a team of its own."""
        return f"house:{self.id}" if self.house else self.team

    def may_score_on(self, defense: Player) -> bool:
        """Never on its own team, nor on a team that it shared a member with."""
        if self.house or defense.house:
            return True
        return (
            self.team != defense.team
            and defense.team not in self.allies
            and self.team not in defense.allies
        )


@dataclass(frozen=True)
class Tier:
    """One round's board: its rows may be compared. ``floor``: the least clean accuracy ranked."""

    id: str
    spec: RoundSpec
    floor: float = 0.0

    @property
    def headline_epsilon(self) -> float | None:
        """The round's budget: its largest epsilon. Smaller ones make the curve beside it."""
        return self.spec.epsilons[-1] if self.spec.epsilons else None


@dataclass(frozen=True)
class CellResult:
    """One planned or played match. ``status`` None: not played yet.

    A cell that is not listed is not applicable. ``recorded`` orders two verdicts of one cell
    (a rescore): the later one counts.
    """

    round: str
    attack: str
    defense: str
    status: Status | None = None
    blame: Side | None = None
    kills: Kills | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    curve: tuple[Mapping[str, float | None], ...] = ()
    recorded: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.round, self.attack, self.defense)

    @property
    def applicable(self) -> bool:
        return self.status is not Status.NOT_APPLICABLE

    @property
    def met(self) -> bool:
        """Ended by play. Void matches were not: they are replayed and never scored."""
        return self.status in (Status.SCORED, Status.FORFEIT)

    @property
    def forfeited_by_defense(self) -> bool:
        return self.status is Status.FORFEIT and self.blame is Side.DEFENSE

    @property
    def forfeited_by_attack(self) -> bool:
        return self.status is Status.FORFEIT and self.blame is Side.ATTACK


@dataclass(frozen=True)
class ExampleSet:
    """The examples of a tier, by their index in the split, ascending."""

    indices: NDArray[np.int64]

    @classmethod
    def of(cls, arrays: Iterable[NDArray[np.int64]]) -> ExampleSet:
        """Their union. Most matches of a round judged the very same examples: look before sorting
        them all."""
        distinct = {array.tobytes(): array for array in arrays}
        every = [np.zeros(0, np.int64), *distinct.values()]
        return cls(np.unique(np.concatenate(every)))

    def __len__(self) -> int:
        return len(self.indices)

    def places(self, examples: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Positions here, and which of ``examples`` are here at all."""
        if len(examples) == len(self.indices) and np.array_equal(examples, self.indices):
            return np.arange(len(examples)), np.ones(len(examples), bool)
        found = np.searchsorted(self.indices, examples)
        found = np.minimum(found, max(0, len(self.indices) - 1))
        here = self.indices[found] == examples if len(self.indices) else np.zeros(0, bool)
        return found[here], here


class Records:
    """Everything that one tournament's boards are made of, indexed."""

    def __init__(
        self,
        players: Iterable[Player],
        tiers: Iterable[Tier],
        cells: Iterable[CellResult],
    ) -> None:
        self.players = {player.id: player for player in players}
        self.tiers = {tier.id: tier for tier in tiers}
        self.cells: dict[tuple[str, str, str], CellResult] = {}
        self._once: dict[tuple[object, str], Any] = {}
        for cell in cells:
            if self._known(cell):
                self._keep(cell)

    def _known(self, cell: CellResult) -> bool:
        return (
            cell.applicable
            and cell.round in self.tiers
            and cell.attack in self.players
            and cell.defense in self.players
        )

    def _keep(self, cell: CellResult) -> None:
        """One verdict a cell: played beats pending, then the later record."""
        held = self.cells.get(cell.key)
        if held is None or (cell.met, cell.recorded) >= (held.met, held.recorded):
            self.cells[cell.key] = cell

    def once(self, work_out: Callable[[Records, Tier], _Found], tier: Tier) -> _Found:
        """``work_out(self, tier)``, kept for whoever asks next: the other board, or its flags."""
        key = (work_out, tier.id)
        if key not in self._once:
            self._once[key] = work_out(self, tier)
        found: _Found = self._once[key]
        return found

    def without_rows(self, entries: Collection[str]) -> Records:
        """The same records with these entries off the board; their kills stay."""
        players = [replace(p, on_board=p.on_board and p.id not in entries) for p in self.all]
        return Records(players, self.tiers.values(), self.cells.values())

    @property
    def all(self) -> list[Player]:
        """Players in the order of their ids."""
        return [player for _, player in sorted(self.players.items())]

    @cached_property
    def by_round(self) -> Mapping[str, list[CellResult]]:
        """In the order of ids, so that no order of arrival shows in any figure."""
        grouped: dict[str, list[CellResult]] = defaultdict(list)
        for key in sorted(self.cells):
            grouped[key[0]].append(self.cells[key])
        return grouped

    def cells_of(self, tier: str) -> list[CellResult]:
        """Cells whose attack is in the pool: what is beside the pool counts nowhere."""
        cells = self.by_round.get(tier, [])
        return [cell for cell in cells if self.players[cell.attack].in_pool]

    def players_on(self, side: Side) -> list[Player]:
        return [player for player in self.all if player.side is side]

    def examples_of(self, tier: str, *, fallback: Iterable[str] = ()) -> ExampleSet:
        """The tier's own example set; before its first verdict, that of the tiers nested in it."""
        for rounds in ([tier], list(fallback)):
            found = [
                cell.kills.examples
                for round_ in rounds
                for cell in self.by_round.get(round_, [])
                if cell.kills is not None
            ]
            if found:
                return ExampleSet.of(found)
        return ExampleSet.of(())


def finite_or_none(value: Any) -> float | None:
    """A number as JSON holds it: infinite and unknown become None."""
    if value is None or not np.isfinite(value):
        return None
    return float(value)
