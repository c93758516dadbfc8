"""Boards of rounds about chosen points and about streams; what nests in what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arena.errors import Side
from arena.ranking import CellResult, Row, nests
from arena.ranking.cells import cell_figures
from arena.ranking.targeted_poisoning import TARGETED
from arena.rounds import GameName, Norm, PoisonMode, RoundSpec
from arena.threat_model import ThreatModel
from arena.verdict import Kills, Status
from tests.arena.ranking.conftest import World

FIVE = np.arange(5)


def estimate(row: Row) -> float:
    assert row.contender.estimate is not None
    return row.contender.estimate


def kills(broken: int) -> Kills:
    return Kills(FIVE, np.ones(5, bool), (broken > FIVE)[None], (0.1,))


def won(points: int, *, drop: float = 0.0, clean: float = 0.98) -> dict[str, Any]:
    rate = points / 5
    metrics = {"attack_success_rate": rate, "clean_drop": drop, "clean_accuracy": clean,
               "attack_success_rate_low": rate - 0.1, "attack_success_rate_high": rate + 0.1,
               "robust_accuracy": 1 - rate, "poisoned_accuracy": clean - drop}  # fmt: skip
    return {"status": Status.SCORED, "kills": kills(points), "metrics": metrics}


def added(mean: float, end: float, *, clean: float = 0.95) -> dict[str, Any]:
    metrics = {"poisoned_error_over_time": 1 - clean + mean, "delta_error_over_time": mean,
               "delta_error_over_time_low": mean - 0.01, "delta_error_over_time_high": mean + 0.01,
               "clean_error": 1 - clean, "clean_accuracy": clean, "delta_error": end}  # fmt: skip
    return {"status": Status.SCORED, "kills": kills(1), "metrics": metrics}


@pytest.fixture
def targeted() -> World:
    world = World()
    world.tier("t", preset="black", game=GameName.TARGETED_POISONING, epsilons=(), shares=(0.1,))
    world.attack("alice", "anna")
    world.defense("dana", "dora")
    return world


def test_learners_rank_by_what_the_best_poison_won_and_poisoners_by_theirs(
    targeted: World,
) -> None:
    for attack, defense, points in (
        ("alice", "dana", 4), ("anna", "dana", 1), ("alice", "dora", 2), ("anna", "dora", 2),
    ):  # fmt: skip
        targeted.cell(attack, defense, tier="t", **won(points))
    learners, poisoners = targeted.defenses("t"), targeted.attacks("t")
    assert [(row.contender.player.id, estimate(row)) for row in learners.rows] == [
        ("dora", 0.4),
        ("dana", 0.8),
    ]
    assert [row.contender.player.id for row in poisoners.rows] == ["alice", "anna"]
    assert estimate(poisoners.rows[0]) == pytest.approx(0.6)


def test_a_poison_that_shows_scores_nothing_and_counts_against_the_learner(
    targeted: World,
) -> None:
    targeted.cell("alice", "dana", tier="t", **won(5, drop=0.1))
    assert estimate(targeted.defenses("t").row("dana")) == 1.0
    assert estimate(targeted.attacks("t").row("alice")) == 0.0


def test_streams_rank_by_the_error_over_time_not_by_its_end() -> None:
    world = World()
    world.tier("s", preset="black", game=GameName.ONLINE_POISONING, epsilons=(), shares=(0.1,))
    world.attack("alice", "anna")
    world.defense("dana")
    world.cell("alice", "dana", tier="s", **added(0.02, 0.5))
    world.cell("anna", "dana", tier="s", **added(0.1, 0.0))
    poisoners = world.attacks("s")
    assert [(row.contender.player.id, estimate(row)) for row in poisoners.rows] == [
        ("anna", 0.1), ("alice", 0.02),
    ]  # fmt: skip
    learner = world.defenses("s").rows[0]
    assert estimate(learner) == pytest.approx(0.15)
    assert learner.contender.clean == pytest.approx(0.95)
    cell = CellResult("s", "anna", "dana", **added(0.1, 0.0))
    figures = cell_figures(cell, world.tiers["s"])
    assert (figures["success"], figures["robust"]) == (0.1, pytest.approx(0.85))


def test_what_a_learner_or_poisoner_forfeits_counts_on_it_alone(targeted: World) -> None:
    lost = {"status": Status.FORFEIT, "blame": Side.DEFENSE}
    targeted.cell("alice", "dana", tier="t", **lost)
    assert estimate(targeted.defenses("t").row("dana")) == 1.0


BASE = RoundSpec(
    GameName.TARGETED_POISONING, "digits", ThreatModel.black(), shares=(0.1,), epsilons=(0.3,)
)


@pytest.mark.parametrize(
    ("weaker", "counts"),
    [
        (BASE, True),
        (replace(BASE, epsilons=(0.1,)), True),
        (replace(BASE, shares=(0.03,)), True),
        (replace(BASE, shares=(0.3,)), False),
        (replace(BASE, epsilons=(0.5,)), False),
        (replace(BASE, epsilons=()), False),
        (replace(BASE, norm=Norm.L2), False),
    ],
)
def test_what_was_won_with_less_counts_on_the_wider_round(
    weaker: RoundSpec, *, counts: bool
) -> None:
    assert TARGETED.counts(weaker, BASE) is counts
    assert TARGETED.counts(weaker, replace(BASE, shares=(0.3,), epsilons=()))


def test_only_the_same_contest_nests() -> None:
    assert nests(BASE, replace(BASE, threat_model=ThreatModel.white()))
    for other in (
        replace(BASE, targets=3),
        replace(BASE, poison_mode=PoisonMode.REPLACE),
        replace(BASE, game=GameName.ONLINE_POISONING, epsilons=()),
    ):
        assert not nests(BASE, other)
        assert not nests(other, BASE)
    stream = replace(BASE, game=GameName.ONLINE_POISONING, epsilons=())
    assert not nests(stream, replace(stream, batches=20))
