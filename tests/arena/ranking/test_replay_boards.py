"""Replay rounds rank defenses by the surest mistake, and attacks by how sure theirs are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arena.errors import Side
from arena.ranking import nests
from arena.ranking.cells import cell_figures
from arena.rounds import GameName, Norm
from arena.verdict import Kills, Status

N = 100


@pytest.fixture
def again(world: Any) -> Any:
    world.tier("again", preset="white", game=GameName.REPLAY, epsilons=(0.1,))
    world.attack("mallory")
    world.defense("sure", "noisy")
    return world


def repeats(world: Any, attack: str, defense: str, p: float, *, tier: str = "again") -> None:
    wrong = np.arange(N) < p * N
    world.cell(
        attack,
        defense,
        tier=tier,
        status=Status.SCORED,
        kills=Kills(np.arange(N), np.ones(N, bool), wrong[None], (0.1,)),
        metrics={
            "clean_accuracy": 0.9,
            "wrong_again": p,
            "wrong_again_low": p - 0.05,
            "wrong_again_high": p + 0.05,
        },
        curve=({"epsilon": 0.1, "wrong_again": p},),
    )


def test_the_defense_that_forgets_its_mistakes_ranks_first(again: Any) -> None:
    for attack, sure, noisy in (("alice", 1.0, 0.3), ("mallory", 0.4, 0.6)):
        repeats(again, attack, "sure", sure)
        repeats(again, attack, "noisy", noisy)
    board = again.defenses("again")
    assert [row.entry for row in board.rows] == ["noisy", "sure"]
    assert [row.rank for row in board.rows] == [1, 2]
    assert board.row("noisy").contender.estimate == 0.6
    assert board.row("noisy").contender.metrics["strongest_attack"] == "mallory"


def test_attacks_rank_by_how_often_their_mistake_is_made_again(again: Any) -> None:
    for attack, p in (("alice", 0.9), ("mallory", 0.2)):
        repeats(again, attack, "sure", p)
    rows = again.attacks("again").rows
    assert [(row.entry, row.contender.estimate) for row in rows] == [
        ("alice", 0.9),
        ("mallory", 0.2),
    ]


def test_a_defense_that_forfeits_is_wrong_every_time(again: Any) -> None:
    repeats(again, "alice", "sure", 0.1)
    again.cell("mallory", "sure", tier="again", status=Status.FORFEIT, blame=Side.DEFENSE)
    assert again.defenses("again").row("sure").contender.estimate == 1.0


def test_a_smaller_radius_counts_and_another_norm_or_game_does_not(again: Any) -> None:
    again.tier("small", preset="black", game=GameName.REPLAY, epsilons=(0.05,))
    again.tier("wide", preset="black", game=GameName.REPLAY, epsilons=(0.3,))
    repeats(again, "alice", "sure", 0.1)
    repeats(again, "alice", "sure", 0.8, tier="small")
    repeats(again, "alice", "sure", 0.9, tier="wide")
    assert again.defenses("again").row("sure").contender.estimate == 0.8
    base = again.tiers["again"].spec
    for other in (replace(base, norm=Norm.L2), replace(base, game=GameName.EVASION)):
        assert not nests(base, other)
        assert not nests(other, base)


def test_a_cell_shows_the_chance_of_the_mistake(again: Any) -> None:
    repeats(again, "alice", "sure", 0.75)
    shown = cell_figures(again.cells[-1], again.tiers["again"])
    assert (shown["success"], shown["robust"], shown["clean"]) == (0.75, 0.25, 0.9)
