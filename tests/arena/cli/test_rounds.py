"""The round that follows from the players and the options."""

from __future__ import annotations

import json
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from arena.applicability import applicability
from arena.cli import rules, run, verdicts
from arena.cli.exits import ExitCode, Stop
from arena.cli.play import _given, play
from arena.cli.shared_task import shared_task
from arena.manifest import Role
from arena.referee import MatchSpec
from arena.round_settings import USED_BY
from arena.rounds import GameName
from arena.starters import names
from arena.tasks import load
from arena.tasks.usual import usual_shares
from arena.threat_model import ThreatModel
from tests.arena.cli.given import played, player


def test_the_round_follows_from_the_players_and_the_options() -> None:
    task = load("digits")
    white = rules.round_of(rules.Options("white"), task)
    assert (white.game, white.epsilons) == (GameName.EVASION, (task.norms["linf"][-1],))
    transfer = rules.round_of(rules.Options("transfer"), task)
    assert transfer.game is GameName.TRANSFER
    poison = rules.round_of(rules.Options("black", shares=(0.1,)), task, usual="poisoning")
    assert (poison.game, poison.shares) == (GameName.POISONING, (0.1,))
    nearest = rules.round_of(rules.Options("white", game="minimum_norm"), task)
    assert nearest.epsilons == ()
    grey = rules.round_of(rules.Options("grey", queries=7), task)
    assert grey.threat_model.probes.per_example == 7
    door = rules.round_of(rules.Options("black", shares=(0.1,)), task, usual="backdoor")
    assert (door.game, door.epsilons, door.shares) == (GameName.BACKDOOR, (), (0.1,))
    chosen = rules.Options("white", shares=(0.1,), epsilons=(0.3,), targets=3)
    near = rules.round_of(chosen, task, usual="targeted_poisoning")
    assert (near.epsilons, near.targets) == ((0.3,), 3)
    stream = rules.round_of(rules.Options("white", batches=4), task, usual="online_poisoning")
    assert (stream.shares, stream.batches) == ((0.1,), 4)
    blind = rules.round_of(rules.Options("white", first_mover="attacker"), task, usual="poisoning")
    assert blind.threat_model.first_mover == "attacker"
    assert blind.shares == (0.1,)
    assert blind.threat_model.probes.none
    theft = rules.round_of(rules.Options("black", queries=650), task, usual="extraction")
    assert (theft.game, theft.threat_model.probes.total) == (GameName.EXTRACTION, 650)
    for preset in ("grey", "black"):
        theft = rules.round_of(rules.Options(preset), task, usual="extraction")
        usual = ThreatModel.preset(preset).probes.per_example
        assert theft.threat_model.probes.total == usual, "as a round on the site"
    for game in ("poisoning", "backdoor", "targeted_poisoning"):
        poison = rules.round_of(rules.Options("white"), task, usual=game)
        assert poison.shares == usual_shares(game), "as a round on the site begins"
    trend = rules.round_of(rules.Options("white", game="trend_poisoning"), load("ice-cover"))
    assert trend.examples == 40
    proof = rules.round_of(rules.Options("white", game="certification", norm="l2"), task)
    assert proof.epsilons == (task.norms["l2"][-1],)


def test_every_setting_of_some_game_alone_has_an_option() -> None:
    """What the file and the form can set, one match of it can be tried with."""
    assert set(USED_BY) <= set(rules.OPTIONS)
    offered = set(signature(play).parameters)
    assert {
        option.removeprefix("--").replace("-", "_") for option in rules.OPTIONS.values()
    } <= offered
    stream = rules.Options("white", game="online_poisoning", seeds=7)
    assert rules.round_of(stream, load("digits")).seeds == 7


@pytest.mark.parametrize(
    ("defense", "attack", "game", "threat"),
    [
        ("cnn", "pgd", None, "white"),
        ("logistic-learner", "label-flip", "poisoning", "white"),
        ("logistic-learner", "badnets", "backdoor", "white"),
        ("logistic-learner", "collision", "targeted_poisoning", "white"),
        ("online-logistic", "online-greedy", "online_poisoning", "white"),
        ("cnn", "equation-solving", "extraction", "black"),
    ],
)
def test_who_meets_says_what_is_played(
    defense: str, attack: str, game: str | None, threat: str
) -> None:
    sources = {"defense": f"house:{defense}", "attack": f"house:{attack}"}
    assert rules.usual_game(**sources) == game
    assert rules.usual_threat_model(None, attack=sources["attack"]) == threat


def made_for(folder: Path, *tasks: str, role: str = "attack") -> str:
    """A package whose manifest names these tasks."""
    return str(player(folder, "class P: ...\n", role, f"tasks = {json.dumps(tasks)}\n"))


@pytest.mark.parametrize(
    ("alice", "dana", "task"),
    [
        (("digits",), ("digits",), "digits"),
        (("*",), ("digits",), "digits"),
        (("digits",), ("digits", "mnist5k"), "digits"),
        (("*",), ("fashion5k", "mnist5k"), "mnist5k"),
        (("*", "digits"), ("*",), "mnist5k"),
    ],
)
def test_without_a_task_two_players_meet_on_the_one_that_they_are_made_for(
    alice: tuple[str, ...], dana: tuple[str, ...], task: str, tmp_path: Path
) -> None:
    attack = made_for(tmp_path / "alice", *alice)
    defense = made_for(tmp_path / "dana", *dana, role="defense")
    assert shared_task(defense=defense, attack=attack, usual="mnist5k") == task


def test_the_house_meets_a_package_on_the_package_s_task(tmp_path: Path) -> None:
    alice = made_for(tmp_path / "alice", "digits")
    assert shared_task(defense="house:cnn", attack=alice, usual="mnist5k") == "digits"
    assert shared_task(defense="house:cnn", attack="house:pgd", usual="mnist5k") == "mnist5k"
    assert (
        shared_task(defense="house:naive-bayes", attack="house:random-noise", usual="mnist5k")
        == "spamassassin-words"
    )


def test_a_task_that_the_game_does_not_fit_is_not_suggested() -> None:
    with pytest.raises(Stop, match="no task that both play fits a round of good_words") as stopped:
        shared_task(
            defense="house:cnn", attack="house:pgd", usual="spamassassin-words", game="good_words"
        )
    assert "digits" not in str(stopped.value)


@pytest.mark.parametrize(
    ("defense", "attack", "game", "norm"),
    [
        ("cnn", "pgd", "evasion", "linf"),
        ("cnn", "patch", "evasion", "patch"),
        ("cnn", "cw-l2", "minimum_norm", "l2"),
        ("ols-trend", "few-points", "trend_poisoning", "l0"),
        ("certified-smoothing", "pgd", "certification", "l2"),
        ("naive-bayes", "good-words", "good_words", "l0"),
        ("cnn-learner", "gradient-matching", "poisoning", "linf"),
    ],
)
def test_without_a_norm_two_players_meet_in_one_that_they_play(
    defense: str, attack: str, game: str, norm: str
) -> None:
    players = {"defense": f"house:{defense}", "attack": f"house:{attack}"}
    assert rules.usual_norm(game, **players) == norm


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"game": "evasion", "norm": "patch", "epsilons": (0.05,)}, "patch 0.05"),
        ({"game": "minimum_norm", "norm": "l2"}, "l2"),
        ({"game": "backdoor", "shares": (0.1,)}, "poison 10 %"),
        ({"game": "poisoning", "shares": (0.03, 0.1)}, "poison 3, 10 %"),
        (
            {"game": "targeted_poisoning", "shares": (0.1,), "epsilons": (0.3,)},
            "linf 0.3, poison 10 %",
        ),
    ],
)
def test_a_verdict_says_what_was_played(values: dict[str, Any], told: str) -> None:
    options = rules.Options(threat_model="white", task="digits", **values)
    line = verdicts.played(rules.round_of(options, load("digits")))
    game = values["game"].replace("_", " ").capitalize()
    assert line == f"{game} on digits" + (told and f", {told}") + "."


def test_a_verdict_says_that_it_was_targeted() -> None:
    options = rules.Options(threat_model="white", task="digits", goal="targeted", epsilons=(0.1,))
    line = verdicts.played(rules.round_of(options, load("digits")))
    assert line == "Targeted evasion on digits, linf 0.1."


@pytest.mark.parametrize(
    ("role", "template"),
    [(role, name) for role in Role for name in names(role) if name != "audit-suite"],
)
def test_the_match_that_init_suggests_can_be_played(
    role: Role,
    template: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    met: list[MatchSpec] = []
    monkeypatch.setattr("arena.sandbox.choose", lambda **_: None)
    monkeypatch.setattr(
        "arena.cli.play._play", lambda match, *_, **__: met.append(match) or ExitCode.OK
    )
    assert run(["init", role.value, str(tmp_path / "mine"), "--template", template]) == 0
    suggested = capsys.readouterr().out.strip().splitlines()[-1].split()
    assert run(suggested[1:]) == 0, capsys.readouterr().err
    assert applicability(met[0].attack.manifest, met[0].defense.manifest, met[0].round) is None


@pytest.mark.parametrize("task", ["digits", "spambase", "spamassassin-words", "ice-cover"])
@pytest.mark.parametrize("role", Role)
def test_on_every_task_init_begins_with_what_can_be_played_or_says_why_not(
    role: Role,
    task: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = run(["init", role.value, str(tmp_path / "mine"), "--task", task])
    told = capsys.readouterr()
    if task == "ice-cover" and role not in (Role.LEARNER, Role.POISONER):
        assert code == ExitCode.USAGE
        assert "learners and poisoners of trends alone" in " ".join(told.err.split())
        return
    met: list[MatchSpec] = []
    monkeypatch.setattr("arena.sandbox.choose", lambda **_: None)
    monkeypatch.setattr(
        "arena.cli.play._play", lambda match, *_, **__: met.append(match) or ExitCode.OK
    )
    assert code == 0
    assert run(told.out.strip().splitlines()[-1].split()[1:]) == 0, capsys.readouterr().err
    assert applicability(met[0].attack.manifest, met[0].defense.manifest, met[0].round) is None


def test_a_template_without_weights_for_a_task_names_those_that_have_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wished = ["init", "defense", str(tmp_path / "mine"), "--template", "cnn", "--task", "spambase"]
    assert run(wished) == ExitCode.USAGE
    told = " ".join(capsys.readouterr().err.split())
    assert "'cnn' has no weights for task 'spambase'" in told
    assert "Templates for spambase: pgd-training, numpy" in told


def test_a_poisoner_of_streams_is_led_to_a_learner_that_follows_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "poisoner", str(tmp_path / "p"), "--template", "online-greedy"]) == 0
    assert "arena play online-logistic" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tasks", "sentence"),
    [
        (("digits", "fashion5k"), "say --task digits or --task fashion5k."),
        (("ice-cover",), "There is no --task that both play: Plain CNN is for digits,"),
    ],
)
def test_where_no_task_can_be_assumed_the_error_names_those_that_fit(
    tasks: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = made_for(tmp_path / "alice", *tasks)
    assert run(["play", "cnn", alice]) == ExitCode.USAGE
    assert sentence in " ".join(capsys.readouterr().err.split())


@pytest.mark.jail
def test_a_package_for_digits_is_played_on_digits(
    dana: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, verdict = played(capsys, dana, "random-noise", "--examples", "20")
    assert (code, verdict["status"]) == (ExitCode.OK, "scored")
    assert verdict["provenance"]["task"] == "digits"


def test_switches_may_come_from_a_file(tmp_path: Path) -> None:
    from arena.threat_model import ThreatModel

    path = tmp_path / "switches.json"
    path.write_text(json.dumps(ThreatModel.grey(3).to_json()))
    round_ = rules.round_of(rules.Options(str(path)), load("digits"))
    assert round_.threat_model == ThreatModel.grey(3)


def test_a_switch_in_a_file_that_the_game_has_no_use_for_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "switches.json"
    model = ThreatModel.grey(3).to_json()
    path.write_text(json.dumps({**model, "feedback": "success"}))
    with pytest.raises(Stop, match=r"feedback changes nothing in a round of poisoning: .* Leave "):
        rules.round_of(rules.Options(str(path), game="poisoning"), load("digits"))
    assert rules.round_of(rules.Options(str(path)), load("digits")).threat_model.feedback
    path.write_text(json.dumps(model))
    round_ = rules.round_of(rules.Options(str(path), game="poisoning"), load("digits"))
    assert round_.threat_model == ThreatModel.grey(3)


def test_a_round_in_a_file_plays_though_a_switch_changes_nothing_or_examples_lack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {**ThreatModel.grey(3).to_json(), "true_label": False}
    round_ = rules.round_of(rules.Options("grey", game="poisoning"), load("digits"))
    path = tmp_path / "round.json"
    path.write_text(json.dumps({**round_.to_json(), "threat_model": model, "examples": 598}))
    assert not _given(path)[0].threat_model.true_label
    told = capsys.readouterr()
    assert "true_label changes nothing in a round of poisoning" in told.err
    assert "has 597 examples, and the round asks for 598" in told.err
    assert not told.out  # where a verdict may be asked for as JSON


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (rules.Options("white", shares=(0.1,)), "in a round of evasion: .* Leave --share out"),
        (rules.Options("white", targets=5), "Leave --targets out"),
        (rules.Options("white", game="poisoning", epsilons=(0.1,)), "Leave --epsilon out"),
        (rules.Options("white", game="backdoor", norm="linf"), "bounded by trigger_area"),
        (rules.Options("black", game="extraction", epsilons=(0.1,)), "Leave --epsilon out"),
        (rules.Options("white", examples=598), "has 597 examples"),
    ],
)
def test_an_option_that_the_game_does_not_use_or_the_task_does_not_have_is_refused(
    options: rules.Options, told: str
) -> None:
    with pytest.raises(Stop, match=told):
        rules.round_of(options, load("digits"))


def test_options_beside_a_file_that_says_it_all_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "switches.json").write_text(json.dumps(ThreatModel.black().to_json()))
    asked = rules.Options(str(tmp_path / "switches.json"), queries=5)
    with pytest.raises(Stop, match="change it there, and leave --queries out"):
        rules.round_of(asked, load("digits"))
    round_ = rules.round_of(rules.Options("white"), load("digits"))
    (tmp_path / "round.json").write_text(json.dumps(round_.to_json()))
    given = ("--round", str(tmp_path / "round.json"), "--norm", "l2", "--seed", "1")
    assert run(["play", "cnn", "fgsm", *given]) == ExitCode.USAGE
    assert "leave --norm out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (rules.Options("white", game="trend"), "--game is 'trend'; say one of evasion, "),
        (rules.Options("white", norm="l3"), "--norm is 'l3'; say one of linf, "),
    ],
)
def test_a_game_or_norm_that_is_none_is_told_with_those_that_are(
    options: rules.Options, told: str
) -> None:
    with pytest.raises(Stop, match=told):
        rules.round_of(options, load("digits"))
