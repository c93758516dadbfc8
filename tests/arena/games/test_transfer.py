"""Transfer rounds: nothing may be asked, and noise of the same size is the control."""

from __future__ import annotations

import numpy as np
import pytest

from arena.errors import Withheld
from arena.players import EvasionChallenge
from arena.rounds import GameName
from arena.threat_model import ThreatModel
from arena.verdict import Status
from tests.arena.fakes import (
    SIDE,
    Array,
    Fakes,
    Linear,
    defense_package,
    package,
    play,
    spec,
)

ROUND = spec(ThreatModel.transfer(), game=GameName.TRANSFER, epsilons=(0.05, 0.2))


def against_the_true_rule(challenge: EvasionChallenge) -> Array:
    assert challenge.y is not None
    assert challenge.epsilon is not None
    x = challenge.x + challenge.epsilon
    x[np.arange(len(x)), challenge.y] -= 2 * challenge.epsilon
    return challenge.clip(x)


class Half(Linear):
    """Right on everything; moved by half of what moves the related model."""

    def predict(self, x: Array, seeds: Array) -> Array:
        return np.asarray(super().predict((x * 4).round() / 4 * 0.5 + x * 0.5, seeds))


def related() -> object:
    return defense_package(name="related")


def test_nothing_may_be_asked_and_no_process_is_opened_for_it() -> None:
    refused = []

    def mallory(challenge: EvasionChallenge) -> Array:
        for question in (challenge.defense.ask, challenge.defense.logits):
            with pytest.raises(Withheld) as refusal:
                question(challenge.x)
            refused.append(str(refusal.value))
        with pytest.raises(Withheld):
            challenge.defense.check(challenge.x)
        return challenge.x

    fakes = Fakes(mallory)
    verdict = play(fakes, ROUND, defense=defense_package())
    assert verdict.status is Status.SCORED
    assert len(refused) == 4
    assert len(fakes.opened) == 5  # two judges (nothing moved), and three for noise of two sizes


def test_the_rate_is_over_what_fooled_the_related_model() -> None:
    fakes = Fakes(against_the_true_rule, Half, house={"related": Linear})
    verdict = play(fakes, ROUND, defense=defense_package(), related=(related(),))
    rate, ratio = verdict.metrics["transfer_rate"], verdict.metrics["transfer_ratio"]
    noise = verdict.metrics["noise_success_rate"]
    assert rate is not None
    assert 0 < rate <= 1
    if noise:
        assert ratio == pytest.approx(rate / noise)
        assert ratio is not None
        assert ratio > 1
    assert [point["transfer_rate"] is not None for point in verdict.curve] == [True, True]


def test_identical_models_transfer_everything() -> None:
    fakes = Fakes(against_the_true_rule, Linear, house={"related": Linear})
    verdict = play(fakes, ROUND, defense=defense_package(), related=(related(),))
    assert verdict.metrics["transfer_rate"] == 1.0


def test_without_a_related_model_there_is_no_rate() -> None:
    verdict = play(Fakes(against_the_true_rule), ROUND, defense=defense_package())
    assert verdict.metrics["transfer_rate"] is None
    assert verdict.metrics["noise_success_rate"] is not None


def test_related_models_lie_in_the_attacks_jail_and_nothing_of_dana_does() -> None:
    fakes = Fakes(against_the_true_rule, house={"related": Linear})
    house = package("defense", name="related")
    play(fakes, ROUND, defense=defense_package(), related=(house,))
    _, arrays, revealed = fakes.handed[0]
    assert revealed.related == (dict(house.files),)
    assert not revealed.package
    assert not revealed.architecture
    assert arrays["training_x"].shape[1:] == (SIDE,)
