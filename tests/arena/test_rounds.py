"""What an organizer sets for a round, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from arena.errors import ThreatModelError
from arena.rounds import GameName, Goal, Limits, Norm, RoundSpec, threat_model_for
from arena.threat_model import Architecture, Feedback, FirstMover, Parameters, ThreatModel


def evasion(**changes: Any) -> RoundSpec:
    values: dict[str, Any] = {
        "game": GameName.EVASION,
        "task": "mnist5k",
        "threat_model": ThreatModel.white(),
        "epsilons": (0.1, 0.2),
    }
    return RoundSpec(**{**values, **changes})


def test_a_round_survives_json_with_its_threat_model_and_limits() -> None:
    spec = evasion(norm=Norm.L2, attack_limits=Limits(wall_seconds=5))
    assert RoundSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"epsilons": ()}, "at least one epsilon"),
        ({"epsilons": (0.2, 0.1)}, "ascending"),
        ({"epsilons": (0.1, 0.1)}, "distinct"),
        ({"epsilons": (-0.1,)}, "positive"),
        ({"epsilons": (float("nan"),)}, "finite"),
        ({"game": GameName.MINIMUM_NORM}, "takes no epsilon"),
        ({"game": GameName.TRANSFER}, "no probes"),
        ({"game": GameName.POISONING}, "poisoned share"),
        ({"game": GameName.POISONING, "shares": (0.1,), "seeds": 4}, "5 paired seeds"),
        ({"game": GameName.POISONING, "shares": (1.5,)}, "between 0 and 1"),
        ({"game": GameName.POISONING, "shares": (0.1,), "goal": Goal.TARGETED}, "untargeted"),
        ({"examples": 0}, "at least one example"),
        (
            {"threat_model": replace(ThreatModel.white(), first_mover=FirstMover.ATTACKER)},
            "the defender commits first",
        ),
    ],
)
def test_a_round_that_cannot_be_played_is_refused_with_the_reason(
    changes: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(ThreatModelError, match=remedy):
        evasion(**changes)


@pytest.mark.parametrize(
    ("broken", "switch"),
    [
        (lambda: evasion(epsilons=()), "epsilons"),
        (lambda: evasion(game=GameName.TRANSFER), "probes"),
        (lambda: replace(ThreatModel.white(), architecture=Architecture.HIDDEN), "architecture"),
        (lambda: replace(ThreatModel.transfer(), feedback=Feedback.SUCCESS), "feedback"),
    ],
)
def test_a_contradiction_names_the_switch_to_mend(broken: Callable[[], Any], switch: str) -> None:
    with pytest.raises(ThreatModelError) as refused:
        broken()
    assert refused.value.switch == switch


@pytest.mark.parametrize(
    "damage",
    [
        {"game": "chess"},
        {"colour": 1},
        {"schema_version": 9},
        {"epsilons": ["a"]},
        {"threat_model": {"schema_version": 1, "output": {}}},
        {"examples": 10.5},
        {"repeats": "10"},
        {"attack_limits": {"wall_seconds": "long"}},
        {"defense_limits": {"memory_mib": -1}},
    ],
)
def test_malformed_json_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(ThreatModelError):
        RoundSpec.from_json({**evasion().to_json(), **damage})


@pytest.mark.parametrize(
    ("game", "preset"),
    [
        (GameName.EVASION, "white"),
        (GameName.EVASION, "grey"),
        (GameName.TRANSFER, "transfer"),
        (GameName.EXTRACTION, "grey"),
        (GameName.EXTRACTION, "black"),
        (GameName.ATTACKER_FIRST, "white"),
        (GameName.ATTACKER_FIRST, "black"),
    ],
)
def test_a_preset_keeps_its_name_as_the_game_reads_it(game: GameName, preset: str) -> None:
    model = threat_model_for(game, ThreatModel.preset(preset))
    radii = () if game is GameName.EXTRACTION else (0.1,)
    assert RoundSpec(game, "digits", model, epsilons=radii).preset == preset


def test_a_trend_board_shows_the_preset_s_name() -> None:
    model = threat_model_for(GameName.TREND_POISONING, ThreatModel.white())
    assert model.name == "custom"
    trend = RoundSpec(GameName.TREND_POISONING, "ice-cover", model, norm=Norm.L2, epsilons=(0.3,))
    assert trend.preset == "white"
    other = replace(model, parameters=Parameters.HIDDEN)
    assert replace(trend, threat_model=other).preset == "custom"
