"""Trend rounds rank learners by the trends they keep, poisoners by those they remove."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from arena.errors import Side
from arena.ranking import nests
from arena.ranking.cells import cell_figures
from arena.rounds import GameName, Norm, threat_model_for
from arena.threat_model import ThreatModel
from arena.verdict import Status


def tier(world: Any, id_: str, **rules: Any) -> None:
    model = threat_model_for(GameName.TREND_POISONING, ThreatModel.white())
    world.tier(
        id_,
        preset="white",
        game=GameName.TREND_POISONING,
        threat_model=model,
        **{"epsilons": (5.0,), "norm": Norm.L0, **rules},
    )


@pytest.fixture
def trends(world: Any) -> Any:
    tier(world, "trends")
    world.attack("mallory")
    world.defense("line", "median")
    return world


def levels(world: Any, attack: str, defense: str, kept: float, *, tier: str = "trends") -> None:
    world.cell(
        attack,
        defense,
        tier=tier,
        status=Status.SCORED,
        metrics={
            "clean_accuracy": 1.0,
            "trend_kept": kept,
            "attack_success_rate": 1 - kept,
            "attack_success_rate_low": max(0.0, 0.95 - kept),
            "attack_success_rate_high": min(1.0, 1.05 - kept),
            "slope_left": kept,
        },
        curve=({"epsilon": 5.0, "trend_kept": kept},),
    )


def test_learners_rank_by_what_they_keep_against_the_worst(trends: Any) -> None:
    for attack, line, median in (("alice", 0.9, 0.8), ("mallory", 0.1, 0.7)):
        levels(trends, attack, "line", line)
        levels(trends, attack, "median", median)
    board = trends.defenses("trends")
    assert [(row.entry, row.contender.estimate) for row in board.rows] == [
        ("median", 0.7),
        ("line", 0.1),
    ]


def test_poisoners_rank_by_what_they_remove(trends: Any) -> None:
    levels(trends, "alice", "line", 0.75)
    levels(trends, "mallory", "line", 0.25)
    rows = trends.attacks("trends").rows
    assert [(row.entry, row.contender.estimate) for row in rows] == [
        ("mallory", 0.75),
        ("alice", 0.25),
    ]


def test_a_learner_that_forfeits_keeps_nothing(trends: Any) -> None:
    levels(trends, "alice", "line", 0.9)
    trends.cell("mallory", "line", tier="trends", status=Status.FORFEIT, blame=Side.DEFENSE)
    assert trends.defenses("trends").row("line").contender.estimate == 0.0


def test_a_smaller_budget_of_the_same_norm_counts(trends: Any) -> None:
    tier(trends, "two", epsilons=(2.0,))
    tier(trends, "ten", epsilons=(10.0,))
    levels(trends, "alice", "line", 0.9)
    levels(trends, "alice", "line", 0.6, tier="two")
    levels(trends, "alice", "line", 0.1, tier="ten")
    assert trends.defenses("trends").row("line").contender.estimate == 0.6
    base = trends.tiers["trends"].spec
    assert not nests(base, replace(base, norm=Norm.L2))


def test_a_cell_shows_what_was_removed_and_kept(trends: Any) -> None:
    levels(trends, "alice", "line", 0.25)
    shown = cell_figures(trends.cells[-1], trends.tiers["trends"])
    assert (shown["success"], shown["robust"], shown["slope_left"]) == (0.75, 0.25, 0.25)
