"""``arena sandbox attack``: what it asks for, what it says, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from arena.cli.app import run_app
from arena.cli.exits import ExitCode
from arena.errors import Side
from arena.hostile import archives, suite
from arena.hostile.suite import Finding
from arena.sandbox.bubblewrap import BubblewrapBackend


def finding(**values: Any) -> Finding:
    given: dict[str, Any] = {
        "case": "01-fork-bomb", "number": 1, "name": "Fork bomb", "side": Side.ATTACK,
        "stopped_by": ("seccomp",), "expected": "scored", "ended": "scored", "problems": (),
        "seconds": 0.5,
    }  # fmt: skip
    return Finding(**{**given, **values})


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What a run is to find; no player is started."""
    findings: list[Finding] = []

    def play(*_given: Any, **_named: Any) -> Iterator[Finding]:
        yield from findings

    monkeypatch.setattr(suite, "play", play)
    monkeypatch.setattr("arena.sandbox.choose", lambda *, trusted: BubblewrapBackend())
    return findings


def attack(*arguments: str) -> int:
    return run_app(["sandbox", "attack", *arguments])


def test_all_is_well_where_everything_was_stopped(
    found: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    found += [finding(), finding(side=Side.DEFENSE)]
    assert attack("--case", "1") == ExitCode.OK
    said = capsys.readouterr().out
    assert "2 of 2 attempts were stopped." in said
    assert "01-fork-bomb" in said


def test_one_that_gets_through_is_named_and_ends_with_status_1(
    found: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    found += [finding(), finding(case="02-thread-bomb", problems=("1000 threads",))]
    assert attack("--case", "1", "--case", "02-thread-bomb") == ExitCode.FAILED
    said = capsys.readouterr().out
    assert "1000 threads" in said
    assert "1 were not: 02-thread-bomb." in said


def test_what_is_known_is_said_and_is_no_news(
    found: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    found.append(finding(problems=("a file",), known="no limit on inodes"))
    assert attack("--case", "1") == ExitCode.OK
    said = capsys.readouterr().out
    assert "known: no limit on inodes" in said
    assert "0 of 1 attempts were stopped. 1 are known to get through" in said


def test_findings_as_json_name_wall_and_problems(
    found: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    found.append(finding(problems=("a file",)))
    assert attack("--case", "1", "--json") == ExitCode.FAILED
    said = json.loads(capsys.readouterr().out)
    assert said["backend"] == "bubblewrap"
    assert said["cases"][0]["problems"] == ["a file"]
    assert not said["cases"][0]["stopped"]


def test_archives_are_read_without_a_player(
    found: list[Finding],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = [archive for archive in archives.ARCHIVES if archive.id in ("slip", "nested-bomb")]
    monkeypatch.setattr(archives, "ARCHIVES", few)
    assert attack("--case", "31", "--json") == ExitCode.OK
    rows = json.loads(capsys.readouterr().out)["cases"]
    assert {(row["case"], row["by"]) for row in rows} == {
        ("slip", "upload"),
        ("nested-bomb", "upload"),
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--case", "99"], "There is no case 99"),
        (["--case", "1", "--backend", "process"], "There is no wall process; there are"),
    ],
)
def test_what_does_not_exist_is_refused_by_name(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert attack(*arguments) == ExitCode.USAGE
    assert sentence in capsys.readouterr().err
