"""Packages and options that the commands are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from arena.cli import run

DIGITS = ("--task", "digits", "--examples", "20")


def player(folder: Path, code: str, role: str = "attack", extra: str = "") -> Path:
    folder.mkdir()
    manifest = f'schema_version = 1\nname = "Mallory"\nrole = "{role}"\nentry = "player.py:P"\n'
    (folder / "manifest.toml").write_text(manifest + extra)
    (folder / "player.py").write_text(code)
    return folder


def played(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = run(["play", *arguments, "--json"])
    text = capsys.readouterr().out
    return code, json.loads(text) if text else {}
