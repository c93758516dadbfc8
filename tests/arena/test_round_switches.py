"""Which switches a kind of round uses, and what is told of one that changes nothing."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import pytest

from arena.round_switches import (
    USED_BY,
    giving_way,
    idle,
    rows_of,
    sentence_of,
    uses,
    values_of,
)
from arena.rounds import POISONED, GameName, RoundSpec, threat_model_for
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


def read(game: GameName, preset: str) -> RoundSpec:
    model = threat_model_for(game, ThreatModel.preset(preset))
    shares = (0.1,) if game in POISONED else ()
    return RoundSpec(game, "digits", model, shares=shares, epsilons=() if shares else (0.1,))


def test_a_round_says_that_its_poisoner_is_handed_the_training_set_whatever_the_preset() -> None:
    told = sentence_of(read(GameName.POISONING, "black"))
    assert told.startswith("The attacker sees the training set, not the architecture")
    assert "150 sample points" in sentence_of(read(GameName.EVASION, "black"))
    blind = replace(ThreatModel.preset("transfer"), true_label=False)
    assert "labels" not in sentence_of(
        replace(read(GameName.BACKDOOR, "black"), threat_model=blind)
    )


def test_a_round_that_the_attack_begins_says_whose_weights_it_sees() -> None:
    told = sentence_of(read(GameName.ATTACKER_FIRST, "white"))
    assert told.startswith("Of the house's reference model, the attacker sees the architecture")


@pytest.mark.parametrize("game", [*sorted(POISONED), GameName.EVASION, GameName.ATTACKER_FIRST])
def test_switch_by_switch_a_round_says_which_are_of_no_use(game: GameName) -> None:
    rows = dict(rows_of(read(game, "black")))
    assert len(rows) == 12
    idle = {name for name, sentence in rows.items() if sentence.startswith("Of no use")}
    names = {
        "training_data": "Training data",
        "randomness": "Randomness",
        "feedback": "Feedback",
        "output": "Oracle output",
        "true_label": "True labels",
    }
    assert idle == {name for switch, name in names.items() if not uses(game, switch)}


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
