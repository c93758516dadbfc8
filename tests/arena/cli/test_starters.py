"""What `arena init` writes, and how a starter is trained."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from arena.cli import run
from arena.cli.exits import ExitCode
from arena.manifest import Role
from arena.packages import Package
from arena.starters import STARTERS, names


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


@pytest.mark.parametrize(
    ("role", "template", "task", "said"),
    [
        ("attack", "boundary", "digits", " --task digits"),
        ("attack", "boundary", "mnist5k", ""),
        ("poisoner", "label-flip", "digits", " --task digits"),
        ("poisoner", "level-trend", "ice-cover", ""),
        ("defense", "cnn", "digits", ""),  # its manifest names the task
    ],
)
def test_the_commands_that_init_suggests_play_the_task_that_was_asked_for(
    role: str,
    template: str,
    task: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "mine"
    run(["init", role, str(folder), "--template", template, "--task", task])
    _, qualify, play = capsys.readouterr().out.splitlines()
    assert qualify == f"  arena qualify {folder}{said}"
    assert play.startswith("  arena play ")
    assert play.endswith(f" --task {task}")


@pytest.mark.parametrize(
    ("template", "original"),
    [("path-finding", "decision-tree"), ("equation-solving", "logistic-regression")],
)
def test_a_thief_is_tried_on_what_its_method_steals(
    template: str, original: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    run(["init", "thief", str(folder), "--template", template])
    assert f"  arena play {original} {folder} --threat-model black" in capsys.readouterr().out


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
