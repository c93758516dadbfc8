"""Attacker-first rounds rank learners and attacks by the error on fresh examples."""

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


def tier(world: Any, id_: str, preset: str, **rules: Any) -> None:
    model = threat_model_for("attacker_first", ThreatModel.preset(preset))
    world.tier(
        id_,
        preset=preset,
        game=GameName.ATTACKER_FIRST,
        threat_model=model,
        **{"epsilons": (0.1,), **rules},
    )


@pytest.fixture
def first(world: Any) -> Any:
    tier(world, "first", "white")
    world.attack("mallory")
    world.defense("plain", "quick")
    return world


def fresh(world: Any, attack: str, defense: str, error: float, *, tier: str = "first") -> None:
    world.cell(
        attack,
        defense,
        tier=tier,
        status=Status.SCORED,
        metrics={
            "clean_accuracy": 0.95,
            "fresh_error": error,
            "fresh_error_low": error - 0.05,
            "fresh_error_high": error + 0.05,
            "unprepared_error": 0.9,
        },
        curve=({"epsilon": 0.1, "fresh_error": error},),
    )


def test_learners_rank_by_their_largest_fresh_error(first: Any) -> None:
    for attack, plain, quick in (("alice", 0.5, 0.2), ("mallory", 0.1, 0.4)):
        fresh(first, attack, "plain", plain)
        fresh(first, attack, "quick", quick)
    board = first.defenses("first")
    assert [(row.entry, row.contender.estimate) for row in board.rows] == [
        ("quick", 0.4),
        ("plain", 0.5),
    ]
    assert board.row("quick").contender.metrics["strongest_attack"] == "mallory"


def test_attacks_rank_by_the_error_that_is_left(first: Any) -> None:
    fresh(first, "alice", "plain", 0.6)
    fresh(first, "mallory", "plain", 0.3)
    rows = first.attacks("first").rows
    assert [(row.entry, row.contender.estimate) for row in rows] == [
        ("alice", 0.6),
        ("mallory", 0.3),
    ]


def test_a_learner_that_forfeits_is_wrong_on_everything(first: Any) -> None:
    fresh(first, "alice", "plain", 0.1)
    first.cell("mallory", "plain", tier="first", status=Status.FORFEIT, blame=Side.DEFENSE)
    assert first.defenses("first").row("plain").contender.estimate == 1.0


def test_a_match_counts_where_less_was_shown_and_no_less_published(first: Any) -> None:
    tier(first, "black", "black", published=400)
    tier(first, "few", "black", published=10)
    tier(first, "wide", "black", epsilons=(0.3,))
    fresh(first, "alice", "plain", 0.2)
    fresh(first, "alice", "plain", 0.4, tier="black")
    fresh(first, "alice", "plain", 0.7, tier="few")
    fresh(first, "alice", "plain", 0.8, tier="wide")
    assert first.defenses("first").row("plain").contender.estimate == 0.4
    base = first.tiers["first"].spec
    evasion = replace(base, game=GameName.EVASION, threat_model=ThreatModel.white())
    for other in (replace(base, norm=Norm.L2), evasion):
        assert not nests(base, other)
        assert not nests(other, base)


def test_a_cell_shows_the_fresh_error(first: Any) -> None:
    fresh(first, "alice", "plain", 0.25)
    shown = cell_figures(first.cells[-1], first.tiers["first"])
    assert (shown["success"], shown["robust"], shown["clean"]) == (0.25, 0.75, 0.95)
