"""Which settings a kind of round uses, and what is told of one that changes nothing."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from arena.errors import ThreatModelError
from arena.round_settings import USED_BY, changed, idle, norms_of, uses
from arena.rounds import POISONED, GameName, Goal, Norm, RoundSpec, TargetRule, threat_model_for
from arena.tasks.usual import usual_preset, usual_shares
from arena.threat_model import ThreatModel

PAGE = (Path(__file__).parents[2] / "docs" / "running-a-tournament.md").read_text("utf-8")
LEVELS = {Norm.L0: 3.0, Norm.SPATIAL: 10.0, Norm.CORRUPTION: 2.0}


def usual(game: GameName, **changes: Any) -> RoundSpec:
    """A round of this game that says no more than it must."""
    norm = changes.get("norm", (*norms_of(game), Norm.LINF)[0])
    bounded = uses(game, "epsilons") and game not in POISONED
    values = {
        "norm": norm,
        "epsilons": (LEVELS.get(norm, 0.1),) if bounded else (),
        "shares": usual_shares(game),
        **changes,
    }
    model = threat_model_for(game, ThreatModel.preset(usual_preset(game)))
    return RoundSpec(game, "digits", model, **values)


@pytest.mark.parametrize("game", GameName)
def test_a_round_that_says_no_more_than_it_must_has_nothing_idle(game: GameName) -> None:
    assert idle(usual(game), changed(usual(game))) == []


@pytest.mark.parametrize("game", GameName)
def test_what_is_idle_names_the_setting_the_game_and_the_games_it_is_for(game: GameName) -> None:
    for setting, games in USED_BY.items():
        told = dict(idle(usual(game), [setting]))
        if game not in games:
            assert told[setting].startswith(f"{setting} changes nothing in a round of {game.value}")
            assert all(other.value in told[setting] for other in games)


@pytest.mark.parametrize("game", GameName)
def test_the_norms_of_a_game_are_those_that_a_round_of_it_takes(game: GameName) -> None:
    taken = []
    for norm in Norm if uses(game, "norm") else ():
        levels = (LEVELS.get(norm, 0.1),) if uses(game, "epsilons") else ()
        try:
            usual(game, norm=norm, epsilons=levels)
        except ThreatModelError:
            continue
        taken.append(norm)
    assert tuple(taken) == norms_of(game)


@pytest.mark.parametrize(
    ("round_", "setting", "told"),
    [
        (usual(GameName.EVASION), "target_rule", "goal = 'targeted'"),
        (usual(GameName.EVASION, goal=Goal.TARGETED), "target_rule", None),
        (usual(GameName.BACKDOOR), "norm", "bounded by trigger_area"),
        (usual(GameName.BACKDOOR), "trigger_area", None),
        (usual(GameName.BACKDOOR, epsilons=(0.1,)), "norm", None),
        (usual(GameName.BACKDOOR, epsilons=(0.1,)), "trigger_area", "no patch"),
        (usual(GameName.TARGETED_POISONING), "norm", "may be any points"),
        (usual(GameName.TARGETED_POISONING, epsilons=(0.1,)), "norm", None),
    ],
)
def test_some_settings_hang_on_others(round_: RoundSpec, setting: str, told: str | None) -> None:
    sentences = [sentence for _, sentence in idle(round_, [setting])]
    assert len(sentences) == (told is not None)
    assert all(str(told) in sentence for sentence in sentences)


def test_changed_are_the_settings_that_somebody_set() -> None:
    round_ = usual(GameName.EVASION, goal=Goal.TARGETED, target_rule=TargetRule.ALL, norm=Norm.L2)
    assert set(changed(round_)) == {"goal", "target_rule", "norm", "epsilons"}


def test_a_stored_round_is_read_whatever_it_holds() -> None:
    old = {**usual(GameName.EVASION).to_json(), "shares": [0.1], "targets": 3}
    assert RoundSpec.from_json(old).shares == (0.1,)


def test_the_docs_say_which_games_use_a_setting() -> None:
    table = PAGE.partition("| setting | games |")[2].partition("\n\n")[0]
    told = {}
    for row in table.splitlines()[2:]:
        settings, games = (re.findall(r"`(\w+)`", cell) for cell in row.split("|")[1:3])
        told |= {setting: set(games) for setting in settings}
    assert told == {setting: {game.value for game in games} for setting, games in USED_BY.items()}
    assert set(told) <= {setting.name for setting in fields(RoundSpec)}
