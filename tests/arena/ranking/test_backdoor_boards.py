"""Backdoor rounds rank learners by the best trigger, and poisoners by triggers that do not show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from arena.errors import Side
from arena.ranking import nests
from arena.ranking.cells import cell_figures
from arena.rounds import GameName, PoisonMode
from arena.verdict import Status


@pytest.fixture
def doors(world: Any) -> Any:
    world.tier("door", preset="black", game=GameName.BACKDOOR, epsilons=(), shares=(0.01,))
    world.attack("mallory", "trudy")
    world.defense("plain", "spectral")
    return world


def plants(
    world: Any, attack: str, defense: str, success: float, drop: float = 0.0, **values: Any
) -> None:
    world.cell(
        attack,
        defense,
        **{"tier": "door", **values},
        status=Status.SCORED,
        metrics={
            "clean_accuracy": 0.95,
            "poisoned_accuracy": 0.95 - drop,
            "clean_drop": drop,
            "attack_success_rate": success,
            "attack_success_rate_low": success - 0.05,
            "attack_success_rate_high": success + 0.05,
            "robust_accuracy": 1 - success,
        },
        curve=({"share": 0.01, "attack_success_rate": success},),
    )


def test_learners_rank_by_the_best_trigger(doors: Any) -> None:
    plants(doors, "mallory", "plain", 0.97)
    plants(doors, "trudy", "plain", 0.2)
    plants(doors, "mallory", "spectral", 0.1)
    plants(doors, "trudy", "spectral", 0.3)
    board = doors.defenses("door")
    assert [row.entry for row in board.rows] == ["spectral", "plain"]
    metrics = board.row("plain").contender.metrics
    assert (metrics["triggered"], metrics["strongest_attack"]) == (0.97, "mallory")
    assert metrics["curve"] == [{"share": 0.01, "attack_success_rate": 0.97}]


def test_a_poison_that_shows_scores_nothing_and_still_counts_against_the_learner(
    doors: Any,
) -> None:
    plants(doors, "mallory", "plain", 0.9, drop=0.3)
    plants(doors, "trudy", "plain", 0.5, drop=0.01)
    rows = doors.attacks("door").rows
    assert [(row.entry, row.contender.estimate) for row in rows] == [("trudy", 0.5), ("mallory", 0)]
    assert doors.defenses("door").row("plain").contender.estimate == 0.9


def test_a_learner_that_forfeits_is_the_triggers(doors: Any) -> None:
    plants(doors, "mallory", "plain", 0.1)
    doors.cell("trudy", "plain", tier="door", status=Status.FORFEIT, blame=Side.DEFENSE)
    assert doors.defenses("door").row("plain").contender.estimate == 1.0


def test_a_larger_trigger_or_another_kind_of_it_does_not_count(doors: Any) -> None:
    base = doors.tiers["door"].spec
    doors.tier(
        "wide",
        preset="black",
        game=GameName.BACKDOOR,
        epsilons=(),
        shares=(0.01,),
        trigger_area=0.2,
    )
    plants(doors, "mallory", "plain", 0.1)
    plants(doors, "mallory", "plain", 0.9, tier="wide")
    assert doors.defenses("door").row("plain").contender.estimate == 0.1
    assert doors.defenses("wide").row("plain").contender.estimate == 0.9
    for other in (
        replace(base, epsilons=(0.1,)),
        replace(base, poison_mode=PoisonMode.REPLACE),
        replace(base, game=GameName.POISONING),
    ):
        assert not nests(base, other)
        assert not nests(other, base)


def test_a_cell_shows_success_and_what_it_cost(doors: Any) -> None:
    plants(doors, "mallory", "plain", 0.75, drop=0.01)
    shown = cell_figures(doors.cells[-1], doors.tiers["door"])
    assert (shown["success"], shown["robust"], shown["clean_drop"]) == (0.75, 0.25, 0.01)
