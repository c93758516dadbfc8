"""Who can meet whom, from the manifests alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from arena.applicability import applicability, unfit
from arena.manifest import Manifest
from arena.rounds import GameName, Goal, Norm, RoundSpec, threat_model_for
from arena.threat_model import ThreatModel, TrainingData
from arena.verdict import Status
from tests.arena.fakes import (
    Fakes,
    Linear,
    defense_package,
    differentiable,
    fgsm,
    leave_alone,
    package,
    play,
    spec,
)

WHITE, GREY, BLACK = ThreatModel.white(), ThreatModel.grey(), ThreatModel.black()
TRANSFER = ThreatModel.transfer()
TREND = threat_model_for(GameName.TREND_POISONING, WHITE)
POISONING: dict[str, Any] = {"game": GameName.POISONING, "shares": (0.1,), "epsilons": ()}


def attack(**needs: Any) -> Manifest:
    return package("attack", needs=needs).manifest


def reason(attacker: Manifest, round_: RoundSpec, defender: Manifest | None = None) -> str:
    return applicability(attacker, defender or differentiable().manifest, round_) or ""


@pytest.mark.parametrize(
    ("needs", "can", "cannot"),
    [
        ({"gradients": True}, spec(WHITE), spec(GREY)),
        ({"probes": True}, spec(BLACK), spec(replace(TRANSFER))),
        ({"probes": True, "output": "probabilities"}, spec(GREY), None),
        ({"probes": True, "output": "logits"}, spec(WHITE), spec(BLACK)),
        ({"architecture": True}, spec(GREY), spec(BLACK)),
        ({"related": True}, spec(TRANSFER), spec(BLACK)),
        ({"training_data": True}, spec(BLACK), spec(ThreatModel(probes=BLACK.probes))),
        ({"true_label": True}, spec(BLACK), spec(replace(BLACK, true_label=False))),
        ({"norms": ["l2"]}, spec(norm=Norm.L2), spec(norm=Norm.LINF)),
        ({"goals": ["targeted"]}, spec(goal=Goal.TARGETED), spec()),
        ({"games": ["evasion"]}, spec(), spec(game=GameName.MINIMUM_NORM)),
    ],
)
def test_an_unmet_need_makes_the_cell_not_applicable(
    needs: dict[str, Any], can: RoundSpec, cannot: RoundSpec | None
) -> None:
    assert reason(attack(**needs), can) == ""
    if cannot is not None:
        assert reason(attack(**needs), cannot).startswith("The attack ")


def test_gradients_need_a_differentiable_defense() -> None:
    knn = defense_package().manifest
    assert "the defense has none" in reason(attack(gradients=True), spec(), knn)
    assert reason(attack(), spec(), knn) == ""


def test_roles_meet_in_their_own_games_only() -> None:
    learner, poisoner = package("learner").manifest, package("poisoner").manifest
    poisoning = spec(BLACK, **POISONING)
    assert reason(poisoner, poisoning, learner) == ""
    assert reason(attack(), poisoning, learner)
    assert reason(poisoner, poisoning)
    assert reason(attack(), spec(), learner)
    assert reason(poisoner, spec())


def test_a_player_of_another_task_does_not_meet() -> None:
    dana = defense_package(task="mnist5k").manifest
    assert "does not play the task toy" in reason(attack(), spec(), dana)


def test_a_grey_round_needs_an_architecture_in_a_file_of_its_own() -> None:
    dana = defense_package(architecture="").manifest
    assert "architecture" in reason(attack(), spec(GREY), dana)
    assert reason(attack(), spec(WHITE), dana) == ""
    assert reason(attack(), spec(BLACK), dana) == ""


def test_a_player_that_meets_nobody_in_a_round_is_told_why_without_an_opponent() -> None:
    learner, poisoner = package("learner").manifest, package("poisoner").manifest
    poisoning, trends = spec(BLACK, **POISONING), spec(TREND, game=GameName.TREND_POISONING)
    assert unfit(learner, poisoning) is None
    assert unfit(poisoner, poisoning) is None
    assert "estimates no trends" in str(unfit(learner, trends))
    assert "removes no trends" in str(unfit(poisoner, trends))
    assert "role defense" in str(unfit(learner, spec()))
    assert "role attack" in str(unfit(poisoner, spec()))
    assert "withholds them" in str(unfit(attack(gradients=True), spec(BLACK)))
    assert unfit(attack(gradients=True), spec(WHITE)) is None
    assert "does not play the task" in str(unfit(defense_package(task="mnist5k").manifest, spec()))
    assert "certifies nothing" in str(
        unfit(defense_package().manifest, spec(BLACK, game=GameName.CERTIFICATION))
    )


def test_a_poisoner_that_needs_training_data_has_them_in_every_round_about_poison() -> None:
    needs = {"training_data": True, "true_label": True}
    alice, learner = package("poisoner", needs=needs).manifest, package("learner").manifest
    hidden = replace(BLACK, training_data=TrainingData(), true_label=False)
    assert reason(alice, spec(hidden, **POISONING), learner) == ""


def test_the_referee_opens_no_jail_for_a_cell_that_is_not_applicable() -> None:
    fakes = Fakes(fgsm)
    alice = package("attack", needs={"gradients": True})
    verdict = play(fakes, attack=alice, defense=defense_package())
    assert verdict.status is Status.NOT_APPLICABLE
    assert verdict.fault is not None
    assert verdict.fault.side is None
    assert not fakes.opened
    assert play(Fakes(leave_alone), defense=defense_package()).status is Status.SCORED


def test_an_attack_on_related_models_does_not_play_where_the_house_has_none() -> None:
    alice = package("attack", needs={"related": True})
    round_ = spec(TRANSFER, game=GameName.TRANSFER)
    verdict = play(Fakes(leave_alone), round_, attack=alice, defense=defense_package())
    assert verdict.status is Status.NOT_APPLICABLE
    house = (package("defense", name="related"),)
    fakes = Fakes(leave_alone, house={"related": Linear})
    played = play(fakes, round_, attack=alice, defense=defense_package(), related=house)
    assert played.status is Status.SCORED
