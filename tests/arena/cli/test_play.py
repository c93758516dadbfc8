"""`arena play` in jails: what is told, and what is written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from arena.cli import rules, run
from arena.cli.exits import ExitCode
from arena.packages import Package
from arena.tasks import load
from tests.arena.cli.given import DIGITS, played, player

BLACK = (*DIGITS, "--threat-model", "black", "--queries", "9")


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
