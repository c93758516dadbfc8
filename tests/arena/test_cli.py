"""The command line without a server: starters, local play, exit statuses, what is printed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from arena.applicability import applicability
from arena.cli import rules, run, verdicts
from arena.cli.console import figures, plain, table
from arena.cli.exits import ExitCode, Stop, code_of
from arena.cli.play import _given
from arena.cli.shared_task import shared_task
from arena.errors import PackageError, RefereeError, SandboxUnavailable, TaskError, ThreatModelError
from arena.manifest import Role
from arena.packages import Package
from arena.referee import MatchSpec
from arena.rounds import GameName
from arena.starters import STARTERS, names
from arena.tasks import load
from arena.tasks.usual import usual_shares
from arena.threat_model import ThreatModel

DIGITS = ("--task", "digits", "--examples", "20")
BLACK = (*DIGITS, "--threat-model", "black", "--queries", "9")


def player(folder: Path, code: str, role: str = "attack", extra: str = "") -> Path:
    folder.mkdir()
    manifest = f'schema_version = 1\nname = "Mallory"\nrole = "{role}"\nentry = "player.py:P"\n'
    (folder / "manifest.toml").write_text(manifest + extra)
    (folder / "player.py").write_text(code)
    return folder


@pytest.fixture(scope="module")
def dana(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A defense in numpy: its jail starts fast."""
    folder = tmp_path_factory.mktemp("dana") / "softmax"
    assert run(["init", "defense", str(folder), "--template", "numpy", "--task", "digits"]) == 0
    return str(folder)


def played(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = run(["play", *arguments, "--json"])
    text = capsys.readouterr().out
    return code, json.loads(text) if text else {}


# --- the command itself ---------------------------------------------------------------------------


def test_help_imports_neither_torch_nor_the_engine() -> None:
    heavy = ("torch", "numpy", "sklearn", "httpx", "arena.referee", "django")
    script = (
        "import sys, arena.cli\n"
        "arena.cli.run(['--help']); arena.cli.run(['play', '--help'])\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_help_names_every_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == ExitCode.OK
    text = " ".join(capsys.readouterr().out.split())
    assert "0 ok, 1 check failed, 2 usage, 3 auth, 4 rejected, 5 our fault, 6 timed out" in text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PackageError("x"), ExitCode.REJECTED),
        (ThreatModelError("x"), ExitCode.USAGE),
        (TaskError("x"), ExitCode.USAGE),
        (RefereeError("x"), ExitCode.OUR_FAULT),
        (SandboxUnavailable("x"), ExitCode.OUR_FAULT),
    ],
)
def test_every_error_ends_with_its_own_status(error: Any, code: ExitCode) -> None:
    assert code_of(error) is code


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["play", "cnn", "pdg"], "did you mean 'pgd'?"),
        (["play", "./nowhere", "pgd"], "There is no package at ./nowhere."),
        (["play", "cnn", "pgd", "--task", "mnist6k"], "There is no task 'mnist6k'"),
        (["play", "cnn", "pgd", "--norm", "l7"], "l7"),
        (["play", "cnn", "pgd", "--epsilon", "-1"], "Epsilons must be positive"),
        (["play", "cnn", "pgd", "--threat-model", "pink"], "There is no threat model pink"),
        (["play", "cnn", "square", "--threat-model", "white", "--queries", "5"], "leave it out"),
        (["play", "cnn", "pgd", "--secret", "xyz"], "--secret must be hexadecimal"),
        (["qualify", "./nowhere"], "There is no package at nowhere."),
        (["init", "referee", "x"], "'referee' is no role"),
        (["init", "defense", "x", "--template", "pgd"], "There is no defense template 'pgd'"),
        (["house", "list", "--role", "judge"], "--role is one of"),
        (["play", "cnn"], "Missing argument"),
    ],
)
def test_wrong_use_ends_with_status_2_and_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == ExitCode.USAGE
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_broken_package_ends_with_status_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = player(tmp_path / "broken", "", extra="unknown = 1\n")
    assert run(["qualify", str(broken)]) == ExitCode.REJECTED
    assert run(["play", "cnn", str(broken), *DIGITS]) == ExitCode.REJECTED
    assert "unknown keys" in capsys.readouterr().err


# --- strangers' names -----------------------------------------------------------------------------


def test_names_are_printed_as_they_are_without_markup_or_escape_sequences(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table(("Name",), [("[red]Mallory[/red]\x1b[2J\u202e",)], title="[bold]x\x07")
    text = capsys.readouterr().out
    assert "[red]Mallory[/red]" in text
    assert "[bold]x" in text
    assert not set(text) & set("\x1b\x07\u202e")


def test_nested_figures_are_told_one_by_one() -> None:
    found = {"seconds": 1.5, "friendly": {"clean_accuracy": 0.9}, "planted": [{"norm": "l2"}]}
    assert dict(figures(found)) == {
        "seconds": 1.5, "friendly: clean accuracy": 0.9, "planted 1: norm": "l2",
    }  # fmt: skip


def test_a_log_keeps_its_lines_and_nothing_else_that_moves_the_cursor() -> None:
    assert plain("a\nb\tc\r\x1b[31md\x9b", lines=True) == "a\nb\tc��[31md�"


# --- starters -------------------------------------------------------------------------------------


@pytest.mark.parametrize("starter", STARTERS, ids=lambda s: f"{s.role}-{s.name}")
def test_a_starter_is_a_package_and_its_files_are_python(starter: Any, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    arguments = ["init", starter.role.value, str(folder), "--template", starter.name]
    assert run([*arguments, "--task", "digits", "--name", "It's [mine]"]) == ExitCode.OK
    package = Package.read(folder)
    assert package.manifest.name == "It's [mine]"
    assert package.manifest.role is starter.role
    assert package.manifest.plays_task("digits")
    for name, content in package.files.items():
        if name.endswith(".py"):
            compile(content, name, "exec")
            assert not re.search(rb"@[A-Z]+@", content)


@pytest.mark.parametrize("role", list(Role))
def test_every_house_player_is_a_starter_too(role: Role, tmp_path: Path) -> None:
    for name in names(role):
        folder = tmp_path / name
        assert run(["init", role.value, str(folder), "--template", name]) in (
            ExitCode.OK,
            ExitCode.REJECTED,  # the house has no weights of it for the usual task
        )
        if folder.exists():
            assert Package.read(folder).manifest.role is role
    assert len(list(tmp_path.iterdir())) >= 2


def test_init_writes_into_no_folder_that_holds_anything(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    assert run(["init", "attack", str(tmp_path)]) == ExitCode.USAGE
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.slow
@pytest.mark.jail
@pytest.mark.parametrize("starter", STARTERS, ids=lambda s: f"{s.role}-{s.name}")
def test_a_starter_qualifies_as_it_is(
    starter: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    run(["init", starter.role.value, str(folder), "--template", starter.name, "--task", "digits"])
    capsys.readouterr()
    code = run(["qualify", str(folder), "--task", "digits", "--json"])
    finding = json.loads(capsys.readouterr().out)
    assert code == ExitCode.OK, finding["sentence"]
    assert finding["accepted"] is True
    assert finding["task"] == "digits"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("template", "arguments"), [("cnn", ["1"]), ("pgd-training", ["1", "0.1"]), ("numpy", []),
                                ("sklearn", [])],
)  # fmt: skip
def test_the_training_of_a_starter_runs_and_leaves_a_package(
    template: str, arguments: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    run(["init", "defense", str(folder), "--template", template, "--task", "digits"])
    weights = Package.read(folder).manifest.weights
    before = (folder / weights).read_bytes()
    command = [sys.executable, str(folder / "train.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (folder / weights).read_bytes() != before
    assert Package.read(folder).manifest.weights == weights


def test_a_state_dict_becomes_safetensors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.numpy import load_file

    tied = torch.arange(6.0).reshape(2, 3)
    state = {"module.a.weight": tied, "module.b.weight": tied}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "model.pt")
    folder = tmp_path / "mine"
    arguments = ["init", "defense", str(folder), "--from", str(tmp_path / "model.pt")]
    assert run([*arguments, "--task", "digits"]) == ExitCode.OK
    found = load_file(folder / "weights.safetensors")
    assert set(found) == {"a.weight", "b.weight"}
    assert found["a.weight"].tolist() == tied.tolist()
    assert "a.weight  2 x 3" in capsys.readouterr().out


def test_a_pickle_with_code_is_refused_and_never_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pickle

    target = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return (open, (str(target), "w"))

    (tmp_path / "model.pt").write_bytes(pickle.dumps(Evil()))
    arguments = ["init", "defense", str(tmp_path / "mine"), "--from", str(tmp_path / "model.pt")]
    assert run([*arguments, "--task", "digits"]) == ExitCode.REJECTED
    assert not target.exists()
    assert "no state dict that torch reads safely" in capsys.readouterr().err


# --- rounds ---------------------------------------------------------------------------------------


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
    for game in ("poisoning", "backdoor", "targeted_poisoning"):
        poison = rules.round_of(rules.Options("white"), task, usual=game)
        assert poison.shares == usual_shares(game), "as a round on the site begins"
    trend = rules.round_of(rules.Options("white", game="trend_poisoning"), load("ice-cover"))
    assert trend.examples == 40
    proof = rules.round_of(rules.Options("white", game="certification", norm="l2"), task)
    assert proof.epsilons == (task.norms["l2"][-1],)


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


def test_a_round_in_a_file_plays_though_a_switch_of_it_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {**ThreatModel.grey(3).to_json(), "true_label": False}
    round_ = rules.round_of(rules.Options("grey", game="poisoning"), load("digits"))
    path = tmp_path / "round.json"
    path.write_text(json.dumps({**round_.to_json(), "threat_model": model}))
    assert not _given(path)[0].threat_model.true_label
    told = "".join(capsys.readouterr())
    assert "true_label changes nothing in a round of poisoning" in told


# --- play -----------------------------------------------------------------------------------------


@pytest.mark.jail
def test_house_players_play_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, verdict = played(capsys, "logistic-regression", "fgsm", *DIGITS, "--epsilon", "0.3")
    assert code == ExitCode.OK
    assert verdict["status"] == "scored"
    assert verdict["metrics"]["robust_accuracy"] < verdict["metrics"]["clean_accuracy"]


@pytest.mark.jail
def test_the_table_shows_the_figures_and_what_the_attacker_saw(
    dana: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["play", dana, "random-noise", *BLACK]
    assert run([*arguments, "--epsilon", "0.1", "--epsilon", "0.2"]) == ExitCode.OK
    text = capsys.readouterr().out
    assert "Robust accuracy" in text
    assert "may ask 9 probabilities per example" in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith("  0.")] == [
        "0.1", "0.2",
    ]  # fmt: skip


@pytest.mark.jail
def test_the_same_seed_gives_the_same_verdict_here_and_in_the_site_s_runner(
    dana: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attack = tmp_path / "attack"
    run(["init", "attack", str(attack), "--template", "random-noise", "--task", "digits"])
    arguments = (dana, str(attack), *BLACK)
    _, first = played(capsys, *arguments, "--seed", "3")
    _, other = played(capsys, *arguments, "--seed", "4")
    out = tmp_path / "out"
    task = load("digits")
    round_ = rules.round_of(rules.Options("black", queries=9, examples=20), task)
    archive = tmp_path / "attack.zip"
    archive.write_bytes(Package.read(attack).to_zip())
    order = {
        "round": round_.to_json(), "attack": str(archive), "defense": dana, "seed": 3,
        "secret": rules.secret_for(3).hex(), "out": str(out), "trusted": False,
    }  # fmt: skip
    (tmp_path / "match.json").write_text(json.dumps(order))
    command = [sys.executable, "-m", "arena.runner", str(tmp_path / "match.json")]
    subprocess.run(command, check=True, capture_output=True)
    served = json.loads((out / "verdict.json").read_text())
    for clock in ("elapsed", "seconds"):
        for verdict in (first, other, served):
            verdict["provenance"].pop(clock)
    served.pop("kills")
    assert first == served
    assert first["provenance"]["attack_sha256"] == other["provenance"]["attack_sha256"]
    assert first != other


@pytest.mark.jail
def test_the_rules_of_a_round_as_the_site_shows_them_can_be_played(
    dana: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    round_ = rules.round_of(rules.Options("black", epsilons=(0.05,), examples=10), load("digits"))
    (tmp_path / "round.json").write_text(json.dumps({"id": "abc", "spec": round_.to_json()}))
    code, verdict = played(capsys, dana, "random-noise", "--round", str(tmp_path / "round.json"))
    assert code == ExitCode.OK
    assert [point["epsilon"] for point in verdict["curve"]] == [0.05]
    assert verdict["metrics"]["examples"] == 10


@pytest.mark.jail
def test_a_forfeit_ends_with_status_1_and_says_whose_fault_it_is(
    dana: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "class P:\n    def __init__(self, *a): raise KeyError('no [bold]luck\\x1b[2J')\n"
    folder = player(tmp_path / "crashes", code)
    assert run(["play", dana, str(folder), *BLACK, "--logs"]) == ExitCode.FAILED
    told = capsys.readouterr()
    assert "Forfeit (attack):" in told.err
    assert "\x1b" not in told.err + told.out


@pytest.mark.jail
def test_a_pair_that_cannot_meet_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    code, verdict = played(capsys, "decision-tree", "fgsm", *DIGITS)
    assert (code, verdict["status"]) == (ExitCode.USAGE, "not_applicable")


@pytest.mark.jail
def test_the_outcome_is_written_where_it_is_wanted(
    dana: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = played(capsys, dana, "random-noise", *BLACK, "--out", str(tmp_path / "out"))
    assert code == ExitCode.OK
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"verdict.json", "outcome.parquet", "images.npz"}


# --- lists ----------------------------------------------------------------------------------------


def test_the_house_and_the_tasks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["house", "list", "--role", "attack", "--json"]) == ExitCode.OK
    players = json.loads(capsys.readouterr().out)
    assert {"fgsm", "pgd"} <= {p["name"] for p in players}
    assert {p["role"] for p in players} == {"attack"}
    assert run(["tasks", "list"]) == ExitCode.OK
    assert "mnist5k" in capsys.readouterr().out
    assert run(["house", "show", "fgsm"]) == ExitCode.OK
    assert "class Fgsm(EvasionAttack)" in capsys.readouterr().out


def test_a_task_is_exported_to_train_on_anywhere(tmp_path: Path) -> None:
    import numpy as np

    assert run(["tasks", "export", "digits", str(tmp_path / "digits.npz")]) == ExitCode.OK
    with np.load(tmp_path / "digits.npz") as arrays:
        assert arrays["x_train"].shape[1:] == (1, 8, 8)
        assert len(arrays["y_practice"]) == len(load("digits").practice)


def test_importing_from_an_empty_folder_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tasks", "import", "mnist", "--from", str(tmp_path)]) == ExitCode.USAGE
    assert "train-images-idx3-ubyte" in capsys.readouterr().err


@pytest.mark.jail
def test_the_doctor_says_who_may_play_here(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["sandbox", "doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (code == ExitCode.OK) is found["guests"]
    assert {row["backend"] for row in found["backends"]} >= {"bubblewrap"}


def test_the_help_names_every_game() -> None:
    from arena.cli import rules
    from arena.rounds import GameName

    assert set(rules.GAMES) == {game.value for game in GameName}


@pytest.mark.jail
def test_data_of_ones_own_become_a_task_that_is_trained_on_and_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADVERSARIUM_DATA", str(tmp_path / "data"))
    rows = [f"{i},{1000 - 7 * i},{'rich' if i % 100 > 49 else 'poor'}" for i in range(400)]
    (tmp_path / "own.csv").write_text("\n".join(["age,debt,who", *rows]))
    bring = ["tasks", "import", "own", "--from", str(tmp_path / "own.csv")]
    assert run([*bring, "--feature", "age"]) == ExitCode.USAGE
    assert "--label" in capsys.readouterr().err
    assert (
        run([*bring, "--label", "who", "--feature", "age", "--test-share", "0.25"]) == ExitCode.OK
    )
    assert "300 examples to train on, 100 to test; 2 classes" in capsys.readouterr().out
    assert run(["tasks", "list", "--json"]) == ExitCode.OK
    assert "own" in {task["name"] for task in json.loads(capsys.readouterr().out)}
    defense = str(tmp_path / "defense")
    assert run(["init", "defense", defense, "--template", "numpy", "--task", "own"]) == ExitCode.OK
    rules = ("--task", "own", "--examples", "20", "--threat-model", "black", "--queries", "9")
    code, verdict = played(capsys, defense, "random-noise", *rules)
    assert code == ExitCode.OK
    assert verdict["metrics"]["examples"] == 20
    still = "import arena.players as a\nclass P(a.EvasionAttack):\n    attack = lambda s, c: c.x\n"
    attack = player(tmp_path / "attack", still, extra='tasks = ["own"]\n')
    assert run(["qualify", str(attack), "--task", "own"]) == ExitCode.OK


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
