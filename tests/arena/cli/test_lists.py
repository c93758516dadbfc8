"""What the house and the tasks are, tasks of one's own, and who may play here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from arena.cli import run
from arena.cli.exits import ExitCode
from arena.tasks import load
from tests.arena.cli.given import played, player


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
