"""docs/writing-a-submission.md and docs/bots.md say what the code does.

Every package of the page is written from it, and from nothing else, then trained, packed,
qualified and played.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.metadata
import inspect
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from arena import packages, players
from arena.cli import run
from arena.cli.exits import ExitCode
from arena.errors import FaultCode
from arena.manifest import Framework, Manifest, Needs, Output, Role
from arena.packages import MIB, Package
from arena.rounds import Limits
from arena.sandbox.view import GUEST_DISTRIBUTIONS

FILE = re.compile(r"\*\*([\w.-]+/[\w./-]+)\*\*\n\n```\w+\n(.*?)```", re.DOTALL)
LIBRARIES = ("numpy", "scipy", "torch", "scikit-learn", "onnxruntime", "safetensors")


@pytest.fixture(scope="module")
def guide(project_root: Path) -> str:
    return (project_root / "docs" / "writing-a-submission.md").read_text()


@pytest.fixture(scope="module")
def written(guide: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's packages, trained as the page says."""
    root = tmp_path_factory.mktemp("written")
    for name, content in FILE.findall(guide):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    for script in ("my-defense/train.py", "my-cnn/train.py", "my-onnx/export.py",
                   "my-neighbours/train.py"):  # fmt: skip
        done = subprocess.run(
            [sys.executable, str(root / script)], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{script}: {done.stderr}"
    return root


@pytest.fixture(scope="module")
def grown(guide: str, written: Path) -> Path:
    """The page's packages with the methods that it adds to them further down."""
    root = written.with_name("grown")
    shutil.copytree(written, root)
    methods = {
        "my-defense": ["def certify"],
        "my-learner": ["def choose", "class Online"],
        "my-poisoner": ["def backdoor", "def poison_target", "def poison_batch"],
    }
    for name, wanted in methods.items():
        with (root / name / "player.py").open("a") as player:
            for method in wanted:
                (block,) = re.findall(rf"```python\n( *{method}\(.*?)```", guide, re.DOTALL)
                player.write(f"\n{block}")
    poisoner = root / "my-poisoner" / "player.py"
    poisoner.write_text("import numpy as np\n\n" + poisoner.read_text())
    manifest = root / "my-learner" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("player.py:Learner", "player.py:Online"))
    manifest = root / "my-defense" / "manifest.toml"
    manifest.write_text(manifest.read_text() + 'certifies = ["l2"]\n')
    games = 'games = ["backdoor", "targeted_poisoning", "online_poisoning", "poisoning"]'
    manifest = root / "my-poisoner" / "manifest.toml"
    manifest.write_text(f"{manifest.read_text()}\n[needs]\n{games}\n")
    return root


def rows(text: str, heading: str) -> dict[str, list[str]]:
    """The table whose head begins with this cell: words in backticks of column 1 -> cells."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading}"))
    found: dict[str, list[str]] = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for word in re.findall(r"`([^`]+)`", cells[0]) or [cells[0]]:
            found[re.sub(r"\(.*", "", word)] = cells
    return found


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


# --- packages -------------------------------------------------------------------------------------


def test_the_first_defense_and_attack_are_about_twelve_lines(guide: str) -> None:
    files = dict(FILE.findall(guide))
    for name in ("my-defense/player.py", "my-attack/player.py"):
        assert len([line for line in files[name].splitlines() if line.strip()]) <= 12
    assert set(ast.parse(files["my-defense/player.py"]).body[0].__class__.__mro__) >= {ast.Import}


@pytest.mark.parametrize("name", ["my-defense", "my-cnn", "my-onnx", "my-neighbours", "my-attack",
                                  "my-learner", "my-poisoner", "my-thief"])  # fmt: skip
def test_every_package_of_the_page_packs(written: Path, name: str) -> None:
    package = Package.read(written / name)
    again = Package.read(package.to_zip())
    assert again.sha256 == package.sha256


@pytest.mark.jail
@pytest.mark.parametrize(
    ("defense", "options"),
    [
        ("my-defense", ["--threat-model", "black", "--queries", "20"]),
        ("my-onnx", ["--threat-model", "black", "--queries", "20"]),
        ("my-neighbours", ["--threat-model", "black", "--queries", "20"]),
    ],
)
def test_a_defense_without_gradients_is_played_as_written(
    written: Path, defense: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["play", str(written / defense), "random-noise", "--task", "digits", *options]
    assert run([*arguments, "--examples", "40", "--epsilon", "0.1", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["metrics"]["clean_accuracy"] > 0.8


@pytest.mark.jail
def test_the_attack_breaks_the_torch_defense_as_written(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["play", str(written / "my-cnn"), str(written / "my-attack"), "--task", "digits"]
    for goal in ("untargeted", "targeted"):
        capsys.readouterr()
        more = ["--examples", "40", "--epsilon", "0.2", "--goal", goal, "--json"]
        assert run([*arguments, *more]) == ExitCode.OK
        metrics = json.loads(capsys.readouterr().out)["metrics"]
        assert metrics["clean_accuracy"] > 0.8
        assert metrics["attack_success_rate"] > 0.2
        assert metrics["rejected"] == 0


@pytest.mark.jail
def test_the_learner_is_poisoned_as_written(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["play", str(written / "my-learner"), str(written / "my-poisoner")]
    for mode in ("add", "replace"):
        capsys.readouterr()
        more = ["--share", "0.2", "--examples", "40", "--task", "digits", "--poison-mode", mode]
        assert run([*arguments, *more, "--json"]) == ExitCode.OK
        verdict = json.loads(capsys.readouterr().out)
        assert verdict["metrics"]["clean_error"] < 0.3
        assert verdict["curve"][0]["share"] == 0.2


@pytest.mark.jail
def test_the_thief_steals_a_linear_model_as_written(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["play", "logistic-regression", str(written / "my-thief"), "--task", "digits"]
    assert run([*arguments, "--queries", "130", "--examples", "100", "--json"]) == ExitCode.OK
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["metrics"]["fidelity"] > 0.95
    assert verdict["curve"][-1]["queries"] == 130


@pytest.mark.jail
def test_the_certificates_hold_as_written(grown: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["play", str(grown / "my-defense"), "random-noise", "--task", "digits"]
    more = ["--game", "certification", "--norm", "l2", "--epsilon", "0.1", "--examples", "40"]
    assert run([*arguments, *more, "--json"]) == ExitCode.OK
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert metrics["certified_accuracy"] > 0.3
    assert metrics["claims_refuted"] == 0


@pytest.mark.jail
@pytest.mark.parametrize(
    ("game", "options"),
    [
        ("backdoor", []),
        ("targeted_poisoning", ["--targets", "2"]),
        ("online_poisoning", ["--batches", "4"]),
        ("poisoning", ["--first-mover", "attacker"]),
    ],
)
def test_the_methods_for_other_rounds_play_as_written(
    game: str, options: list[str], grown: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["play", str(grown / "my-learner"), str(grown / "my-poisoner"), "--game", game]
    more = ["--task", "digits", "--share", "0.1", "--examples", "40", *options]
    assert run([*arguments, *more, "--json"]) == ExitCode.OK, capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.jail
@pytest.mark.parametrize("name", ["my-defense", "my-cnn", "my-onnx", "my-neighbours", "my-attack",
                                  "my-learner", "my-poisoner", "my-thief"])  # fmt: skip
def test_every_package_of_the_page_qualifies(
    written: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["qualify", str(written / name), "--task", "digits", "--json"])
    finding = json.loads(capsys.readouterr().out)
    assert code == ExitCode.OK, finding["sentence"]
    if name == "my-cnn":
        assert finding["figures"]["grey_eligible"] is True


# --- tables ---------------------------------------------------------------------------------------


def test_the_table_of_the_manifest_is_the_manifest_s(guide: str) -> None:
    table = rows(guide, "key | values")
    known = {field.name for field in dataclasses.fields(Manifest)} | {"schema_version", "task"}
    assert set(table) == known
    for key, kind in (("role", Role), ("framework", Framework), ("output", Output)):
        assert set(re.findall(r"`(\w+)`", table[key][1])) == set(kind)
    needs = rows(guide, "key of `[needs]`")
    assert set(needs) == {field.name for field in dataclasses.fields(Needs)}
    for key in ("norms", "goals", "games", "output"):
        for word in re.findall(r"`(\w+)`", needs[key][1]):
            value = word if key == "output" else [word]
            assert getattr(Manifest.from_mapping(attack(needs={key: value})).needs, key)


def attack(**more: Any) -> dict[str, Any]:
    return {"schema_version": 1, "name": "x", "role": "attack", "entry": "p.py:P", **more}


def test_the_tables_of_the_challenge_and_the_view_are_complete(guide: str) -> None:
    fields = {field.name for field in dataclasses.fields(players.EvasionChallenge)}
    methods = public(players.EvasionChallenge)
    challenge = set(rows(guide, "`challenge.`"))
    assert fields - {"submit_candidates"} <= challenge
    assert challenge <= fields | methods
    view = set(rows(guide, "`challenge.defense.`"))
    assert view == public(players.DefenseView)


def test_the_limits_are_those_of_a_round(guide: str) -> None:
    table = rows(guide, "limit of a match")
    assert {key: float(cells[1]) for key, cells in table.items()} == dataclasses.asdict(Limits())


def test_the_limits_of_an_archive_are_the_reader_s(guide: str) -> None:
    text = guide[guide.index("## The archive") :]
    packed, unpacked, files, parts = re.findall(
        r"At most (\d+) MiB packed, (\d+) MiB unpacked, (\d+) files, paths of at most (\d+) parts",
        text,
    )[0]
    assert int(packed) * MIB == packages.MAX_ARCHIVE_BYTES
    assert int(unpacked) * MIB == packages.MAX_UNPACKED_BYTES
    assert (int(files), int(parts)) == (packages.MAX_FILES, packages.MAX_DEPTH)
    learner = re.findall(r"at most (\d+) KiB; it enters", guide)
    assert int(learner[0]) * 1024 == packages.MAX_LEARNER_BYTES


def test_what_guests_may_import_is_what_the_jail_shows(guide: str, project_root: Path) -> None:
    table = rows(guide, "distribution")
    assert tuple(table) == LIBRARIES == GUEST_DISTRIBUTIONS[: len(LIBRARIES)]
    listed = re.findall(r"What these need is there too: ([^\n]*?)\. The exact", guide)[0]
    assert tuple(listed.split(", ")) == GUEST_DISTRIBUTIONS[len(LIBRARIES) :]
    project = tomllib.loads((project_root / "pyproject.toml").read_text())["project"]
    wanted = {f"{name}{cells[1]}" for name, cells in table.items()}
    assert wanted <= set(project["dependencies"])
    for name in LIBRARIES:
        assert importlib.metadata.version(name)


def test_every_fault_has_its_usual_reason(guide: str) -> None:
    assert set(rows(guide, "fault | usual")) == {code.value for code in FaultCode}


def test_what_the_page_names_of_the_players_exists(guide: str) -> None:
    for name in re.findall(r"`arena\.players\.(\w+)", guide):
        assert hasattr(players, name), name
    for role in ("Defense", "EvasionAttack", "Learner", "Poisoner", "Thief"):
        assert inspect.isclass(getattr(players, role))


# --- commands -------------------------------------------------------------------------------------


def commands(text: str) -> set[tuple[str, ...]]:
    """Every `arena ...` of the page: the words before the first option or argument."""
    found = re.findall(r"(?:^|`)arena ([a-z]+)(?: ([a-z]+))?", text, re.MULTILINE)
    groups = ("auth", "house", "tasks", "sandbox")
    return {(first, second) if first in groups and second else (first,) for first, second in found}


@pytest.mark.parametrize("name", ["writing-a-submission.md", "bots.md"])
def test_every_command_and_option_of_the_pages_exists(
    name: str, project_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (project_root / "docs" / name).read_text()
    helps = ""
    for command in sorted(commands(text)):
        capsys.readouterr()
        assert run([*command, "--help"]) == ExitCode.OK, command
        helps += capsys.readouterr().out
    lines = re.findall(r"(?:^|`|run: )(arena [^`\n]*)", text, re.MULTILINE)
    for option in {word for line in lines for word in re.findall(r"\s(--[a-z-]+)", line)}:
        assert option in helps, option


def test_the_exit_statuses_are_those_of_the_command(project_root: Path) -> None:
    text = (project_root / "docs" / "bots.md").read_text()
    assert [int(code) for code in rows(text, "exit status")] == [code.value for code in ExitCode]
