"""A small world for ranking: players, one or two tiers, and cells whose bits the test writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from arena.errors import Side
from arena.ranking import Board, CellResult, Player, Records, Tier, attack_board, defense_board
from arena.rounds import GameName, RoundSpec
from arena.threat_model import ThreatModel
from arena.verdict import Kills, Status

EXAMPLES = 40


def spec(preset: str = "white", **values: object) -> RoundSpec:
    fields = {
        "game": GameName.TRANSFER if preset == "transfer" else GameName.EVASION,
        "task": "digits",
        "threat_model": ThreatModel.preset(preset),
        "epsilons": (0.1,),
    }
    return RoundSpec(**(fields | values))  # type: ignore[arg-type]


class World:
    """``attack("alice")`` and ``defense("dana")`` add players; ``plays`` adds a verdict."""

    def __init__(self) -> None:
        self.players: dict[str, Player] = {}
        self.tiers: dict[str, Tier] = {}
        self.cells: list[CellResult] = []

    def tier(self, id_: str = "white", *, floor: float = 0.5, **values: object) -> str:
        preset = str(values.pop("preset", id_))
        self.tiers[id_] = Tier(id_, spec(preset, **values), floor)
        return id_

    def attack(self, *ids: str, **values: object) -> None:
        self._add(Side.ATTACK, ids, values)

    def defense(self, *ids: str, **values: object) -> None:
        self._add(Side.DEFENSE, ids, values)

    def _add(self, side: Side, ids: Iterable[str], values: dict[str, object]) -> None:
        for id_ in ids:
            fields = {"team": id_, "uploaded": float(len(self.players))} | values
            self.players[id_] = Player(id_, side=side, **fields)  # type: ignore[arg-type]

    def plays(
        self,
        attack: str,
        defense: str,
        broken: Sequence[int] | Sequence[Sequence[int]] = (),
        *,
        wrong: Sequence[int] = (),
        tier: str = "white",
        examples: Sequence[int] = range(EXAMPLES),
        **values: object,
    ) -> None:
        """``broken``: indices of examples, or one list per epsilon."""
        epsilons = self.tiers[tier].spec.epsilons
        rows = broken if broken and not np.isscalar(broken[0]) else [broken]
        kills = kills_of(rows, wrong=wrong, examples=examples, epsilons=epsilons)  # type: ignore[arg-type]
        fields = {"status": Status.SCORED, "kills": kills} | values
        self.cells.append(CellResult(tier, attack, defense, **fields))  # type: ignore[arg-type]

    def cell(self, attack: str, defense: str, *, tier: str = "white", **values: object) -> None:
        self.cells.append(CellResult(tier, attack, defense, **values))  # type: ignore[arg-type]

    def change(self, id_: str, **values: object) -> None:
        self.players[id_] = replace(self.players[id_], **values)  # type: ignore[arg-type]

    @property
    def records(self) -> Records:
        return Records(self.players.values(), self.tiers.values(), self.cells)

    def defenses(self, tier: str = "white") -> Board:
        return defense_board(self.records, tier)

    def attacks(self, tier: str = "white") -> Board:
        return attack_board(self.records, tier)

    def robust(self, defense: str, tier: str = "white") -> float:
        return float(self.defenses(tier).row(defense).contender.metrics["robust_worst"])

    def success(self, attack: str, tier: str = "white") -> float:
        return float(self.attacks(tier).row(attack).contender.metrics["success"])


def kills_of(
    broken: Sequence[Sequence[int]],
    *,
    wrong: Sequence[int] = (),
    examples: Sequence[int] = range(EXAMPLES),
    epsilons: tuple[float, ...] = (0.1,),
    distances: NDArray[np.float32] | None = None,
) -> Kills:
    index = np.array(list(examples), np.int64)
    bits = np.array([np.isin(index, list(row)) for row in broken]).reshape(-1, len(index))
    return Kills(index, ~np.isin(index, list(wrong)), bits, epsilons, distances)


@pytest.fixture
def world() -> World:
    """One white-box tier, Alice's attack and Dana's defense."""
    made = World()
    made.tier("white")
    made.attack("alice")
    made.defense("dana")
    return made


@pytest.fixture
def make_kills() -> Callable[..., Kills]:
    return kills_of


@pytest.fixture(scope="session")
def empty_world() -> type[World]:
    """For properties, which build many worlds within one test."""
    return World
