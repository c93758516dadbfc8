"""Which switches a kind of round uses, and what is told of one that changes nothing."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import pytest

from arena.round_switches import USED_BY, giving_way, idle, uses, values_of
from arena.rounds import GameName, RoundSpec, threat_model_for
from arena.threat_model import (
    PRESET_NAMES,
    Feedback,
    OracleOutput,
    OutputKind,
    Probes,
    Randomness,
    TaskKnowledge,
    ThreatModel,
    TrainingData,
    TrainingDataKind,
)

PAGE = (Path(__file__).parents[2] / "docs" / "running-a-tournament.md").read_text("utf-8")
SET_BY_HAND: Final[dict[str, Any]] = {
    "training_data": TrainingData(TrainingDataKind.SAMPLES, 7),
    "randomness": Randomness.SEED,
    "output": OracleOutput(OutputKind.TOP_K, 3),
    "feedback": Feedback.SUCCESS,
    "true_label": False,
}
"""What no preset says."""


def told(game: GameName, preset: str = "black", **switches: Any) -> dict[str, str]:
    """Of a preset in which somebody set these."""
    plain = ThreatModel.preset(preset)
    presets = (plain, threat_model_for(game, plain))
    values = {**values_of(presets[1]), **switches}
    return dict(idle(game, values, list(switches), presets=presets))


@pytest.mark.parametrize("preset", PRESET_NAMES)
@pytest.mark.parametrize("game", GameName)
def test_what_a_preset_says_itself_is_no_mistake_in_any_game(game: GameName, preset: str) -> None:
    assert told(game, preset, **values_of(ThreatModel.preset(preset))) == {}


@pytest.mark.parametrize("game", GameName)
def test_a_switch_that_the_game_has_no_use_for_is_told_with_the_game_and_the_reason(
    game: GameName,
) -> None:
    for switch, value in SET_BY_HAND.items():
        if not uses(game, switch):
            sentence = told(game, **{switch: value})[switch]
            assert re.fullmatch(f"{switch} changes nothing in a round of {game}: .+\\.", sentence)


@pytest.mark.parametrize("game", GameName)
def test_a_switch_that_the_game_uses_is_taken(game: GameName) -> None:
    for switch, value in {**SET_BY_HAND, "randomness": Randomness.DISTRIBUTION}.items():
        if uses(game, switch):
            assert told(game, **{switch: value}) == {}


@pytest.mark.parametrize(
    ("game", "preset", "switches", "sentence"),
    [
        ("evasion", "black", {"probes": Probes()}, None),
        (
            "evasion",
            "transfer",
            {"output": OracleOutput(OutputKind.LOGITS)},
            "that grants no probes",
        ),
        ("evasion", "transfer", {"output": OracleOutput(OutputKind.LABEL)}, None),
        ("evasion", "black", {"randomness": Randomness.SEED}, None),
        ("extraction", "black", {"randomness": Randomness.SEED}, "randomness = 'seed' changes"),
        ("poisoning", "black", {"randomness": Randomness.DISTRIBUTION}, None),
        ("poisoning", "white", {"feedback": Feedback.NONE}, None),
        ("poisoning", "white", {"training_data": TrainingData()}, "handed what it poisons"),
        ("online_poisoning", "white", {"training_data": TrainingData()}, None),
        ("targeted_poisoning", "white", {"true_label": False}, None),
    ],
)
def test_some_hang_on_others_and_some_on_their_value(
    game: str, preset: str, switches: dict[str, Any], sentence: str | None
) -> None:
    found = list(told(GameName(game), preset, **switches).values())
    assert len(found) == (sentence is not None)
    assert all(str(sentence) in one for one in found)


def test_what_the_game_ignores_gives_way_to_what_it_uses() -> None:
    knows_nothing = {"task_knowledge": TaskKnowledge.NONE, "probes": Probes()}
    values = {**values_of(ThreatModel.white()), **knows_nothing}
    model = ThreatModel(**giving_way("poisoning", values))
    assert (model.feedback, model.true_label) == (Feedback.NONE, False)
    assert model.training_data == TrainingData()
    assert giving_way("evasion", values) == values
    forced = {"true_label": False, "training_data": TrainingData()}
    assert told(GameName.POISONING, "white", **knows_nothing, **forced) == {}


def test_a_stored_round_is_read_whatever_it_holds() -> None:
    old = ThreatModel(
        **{**values_of(ThreatModel.black()), **SET_BY_HAND, "feedback": Feedback.REPLY}
    )
    round_ = RoundSpec(GameName.POISONING, "digits", old, shares=(0.1,))
    assert RoundSpec.from_json(round_.to_json()).threat_model == old


def test_the_docs_say_which_games_use_a_switch() -> None:
    table = PAGE.partition("| switch | games |")[2].partition("\n\n")[0]
    every, told = {game.value for game in GameName}, {}
    for row in table.splitlines()[2:]:
        switches, names = (re.findall(r"`(\w+)`", cell) for cell in row.split("|")[1:3])
        games = every & set(names)
        told |= dict.fromkeys(switches, every - games if "all but" in row else games)
    assert told == {switch: {game.value for game in games} for switch, games in USED_BY.items()}
    assert set(told) <= {switch.name for switch in fields(ThreatModel)}
