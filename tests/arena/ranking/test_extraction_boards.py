"""Extraction rounds rank defenses by the best copy of them, and thieves by their copies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from arena.errors import Side
from arena.ranking import nests
from arena.ranking.cells import cell_figures
from arena.rounds import GameName, RoundSpec
from arena.threat_model import OracleOutput, OutputKind, Probes, ThreatModel
from arena.verdict import Status


def spec(total: int, kind: OutputKind = OutputKind.LABEL) -> RoundSpec:
    model = replace(ThreatModel.black(), probes=Probes(total=total), output=OracleOutput(kind))
    return RoundSpec(GameName.EXTRACTION, "digits", model)


@pytest.fixture
def robbed(world: Any) -> Any:
    world.tier(
        "theft",
        preset="black",
        game=GameName.EXTRACTION,
        epsilons=(),
        threat_model=spec(1000).threat_model,
    )
    world.attack("mallory", "trudy")
    world.defense("plain", "rounded")
    return world


def steals(
    world: Any, attack: str, defense: str, fidelity: float, seen: float = 0.9, **values: Any
) -> None:
    world.cell(
        attack,
        defense,
        tier="theft",
        status=Status.SCORED,
        metrics={
            "fidelity": fidelity,
            "fidelity_low": fidelity - 0.02,
            "fidelity_high": fidelity + 0.02,
            "clean_accuracy": 0.95,
            "oracle_accuracy": seen,
        },
        curve=({"queries": 1000.0, "fidelity": fidelity},),
        **values,
    )


def test_a_defense_ranks_by_the_best_copy_of_it(robbed: Any) -> None:
    steals(robbed, "mallory", "plain", 1.0)
    steals(robbed, "trudy", "plain", 0.5)
    steals(robbed, "mallory", "rounded", 0.8)
    steals(robbed, "trudy", "rounded", 0.7)
    board = robbed.defenses("theft")
    assert [row.entry for row in board.rows] == ["rounded", "plain"]
    metrics = board.row("plain").contender.metrics
    assert (metrics["stolen_fidelity"], metrics["strongest_attack"]) == (1.0, "mallory")
    assert metrics["stolen_fidelity_mean"] == pytest.approx(0.75)
    assert metrics["curve"] == [{"queries": 1000.0, "fidelity": 1.0}]


def test_thieves_rank_by_fidelity_on_each_teams_best_defense(robbed: Any) -> None:
    for name, fidelity in (("mallory", 0.9), ("trudy", 0.6)):
        steals(robbed, name, "plain", fidelity)
        steals(robbed, name, "rounded", fidelity - 0.1)
    rows = robbed.attacks("theft").rows
    assert [row.entry for row in rows] == ["mallory", "trudy"]
    assert rows[0].contender.estimate == pytest.approx(0.85)
    assert rows[0].contender.interval == pytest.approx((0.83, 0.87))


def test_a_defense_that_lies_to_thieves_is_below_the_floor(robbed: Any) -> None:
    steals(robbed, "mallory", "plain", 0.1, seen=0.3)
    row = robbed.defenses("theft").row("plain").contender
    assert row.lacking == pytest.approx(20.0)
    assert not robbed.attacks("theft").row("mallory").contender.metrics["teams"]


def test_a_defense_that_forfeits_kept_nothing_and_a_thief_that_does_stole_nothing(
    robbed: Any,
) -> None:
    steals(robbed, "mallory", "plain", 0.4)
    robbed.cell("trudy", "plain", tier="theft", status=Status.FORFEIT, blame=Side.DEFENSE)
    robbed.cell("trudy", "rounded", tier="theft", status=Status.FORFEIT, blame=Side.ATTACK)
    board = robbed.defenses("theft")
    assert board.row("plain").contender.estimate == 1.0
    assert board.row("rounded").contender.estimate == 0.0


def test_fewer_probes_and_poorer_replies_nest_in_more_and_other_games_do_not() -> None:
    little, much = spec(100), spec(1000)
    assert nests(little, much)
    assert not nests(much, little)
    assert nests(little, spec(1000, OutputKind.PROBABILITIES))
    evasion = RoundSpec(GameName.EVASION, "digits", spec(1000).threat_model, epsilons=(0.1,))
    assert not nests(little, evasion)
    assert not nests(evasion, much)


def test_a_cell_shows_fidelity(robbed: Any) -> None:
    steals(robbed, "mallory", "plain", 0.75)
    shown = cell_figures(robbed.cells[-1], robbed.tiers["theft"])
    assert (shown["success"], shown["robust"], shown["clean"]) == (0.75, 0.25, 0.9)
