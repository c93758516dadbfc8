"""The command as such: help, exit statuses, wrong use, and names of strangers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from arena.cli import rules, run
from arena.cli.console import plain, table
from arena.cli.exits import ExitCode, code_of
from arena.cli.verdicts import findings
from arena.errors import PackageError, RefereeError, SandboxUnavailable, TaskError, ThreatModelError
from arena.rounds import GameName
from tests.arena.cli.given import DIGITS, player

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
        (
            ["play", "cnn", "pgd", "--task", "mnist6k"],
            "There is no task 'mnist6k': did you mean 'mnist5k'? Tasks are",
        ),
        (["play", "cnn", "pgd", "--task", "weather"], "There is no task 'weather'. Tasks are"),
        (
            ["play", "cnn", "zzzz"],
            "There is no house player 'zzzz'. `arena house list` names them all.",
        ),
        (["play", "cnn", "pgd", "--norm", "l7"], "l7"),
        (
            ["play", "cnn", "pgd", "--game", "certification"],
            "it certifies nothing there. Those of the house that do: certified-linear.",
        ),
        (["play", "cnn", "pgd", "--epsilon", "-1"], "Epsilons must be positive"),
        (["play", "cnn", "pgd", "--threat-model", "pink"], "say white, grey, black, transfer"),
        (["play", "cnn", "square", "--threat-model", "white", "--queries", "5"], "leave it out"),
        (["play", "cnn", "pgd", "--secret", "xyz"], "--secret must be hexadecimal"),
        (["qualify", "./nowhere"], "There is no package at nowhere."),
        (["init", "referee", "x"], "'referee' is no role"),
        (["init", "defense", "x", "--template", "pgd"], "There is no defense template 'pgd'"),
        (
            ["init", "attack", "x", "--template", "pgdd"],
            (
                "'pgdd': did you mean 'pgd'? Templates are fgsm, any player of `arena house list "
                "--role attack`."
            ),
        ),
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


def test_a_folder_too_large_for_an_upload_is_told_by_qualify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heavy = player(tmp_path / "heavy", "")
    (heavy / "weights.bin").write_bytes(os.urandom(4096))
    monkeypatch.setattr("arena.packages.MAX_ARCHIVE_BYTES", 4000)
    assert run(["qualify", str(heavy)]) == ExitCode.REJECTED
    assert "larger than 0 MiB; leave out what the player does not read" in capsys.readouterr().err


# --- strangers' names -----------------------------------------------------------------------------


def test_names_are_printed_as_they_are_without_markup_or_escape_sequences(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table(("Name",), [("[red]Mallory[/red]\x1b[2J\u202e",)], title="[bold]x\x07")
    text = capsys.readouterr().out
    assert "[red]Mallory[/red]" in text
    assert "[bold]x" in text
    assert not set(text) & set("\x1b\x07\u202e")


def test_nested_figures_are_told_one_by_one_in_words_with_their_intervals() -> None:
    found = {
        "seconds": 1.5,
        "friendly": {"fidelity": 0.99, "fidelity_low": 0.964, "fidelity_high": 0.997},
        "planted": [{"norm": "l2", "success": 0.5}],
    }
    assert list(findings(found)) == [
        ("Seconds", "1.5", ""),
        ("Friendly: Fidelity of the copy", "99.0 %", "96.4 % to 99.7 %"),
        ("Planted examples 1: Norm", "L2", ""),
        ("Planted examples 1: Success", "50.0 %", ""),
    ]


def test_a_log_keeps_its_lines_and_nothing_else_that_moves_the_cursor() -> None:
    assert plain("a\nb\tc\r\x1b[31md\x9b", lines=True) == "a\nb\tc��[31md�"


def test_the_help_names_every_game() -> None:

    assert set(rules.GAMES) == {game.value for game in GameName}
