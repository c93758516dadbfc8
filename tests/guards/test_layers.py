"""The contracts of import-linter name everything they are meant to hold."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from arena.sandbox.view import JAIL_FILES


@pytest.fixture(scope="module")
def contracts(project_root: Path) -> dict[str, dict[str, Any]]:
    settings = tomllib.loads((project_root / "pyproject.toml").read_text())
    return {
        contract["name"]: contract for contract in settings["tool"]["importlinter"]["contracts"]
    }


def modules(folder: Path) -> set[str]:
    """Names of the modules and packages right under a folder."""
    files = {path.stem for path in folder.glob("*.py")}
    return (files | {path.parent.name for path in folder.glob("*/__init__.py")}) - {"__init__"}


def test_every_module_of_the_engine_has_a_layer(
    project_root: Path, contracts: dict[str, dict[str, Any]]
) -> None:
    layers = " ".join(contracts["The engine is layered"]["layers"])
    layered = set(layers.translate(str.maketrans("|:()", "    ")).split())
    assert not modules(project_root / "arena") - layered


def test_every_module_of_the_engine_stands_in_the_tree_of_the_architecture(
    project_root: Path,
) -> None:
    tree = (project_root / "docs" / "architecture.md").read_text().split("```")[1]
    named = set(re.findall(r"(\w+)(?:\.py|/)", tree))
    assert not modules(project_root / "arena") - named


def test_every_game_of_the_registry_stands_alone(
    project_root: Path, contracts: dict[str, dict[str, Any]]
) -> None:
    tree = ast.parse((project_root / "arena" / "games" / "__init__.py").read_text())
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    games = {
        word.partition(":")[0]
        for word in words
        if isinstance(word, str) and word.startswith("arena.games.") and ":" in word
    }
    assert games
    assert games == set(contracts["Games do not import each other"]["modules"])


def test_every_module_of_the_jail_is_held_apart(
    project_root: Path, contracts: dict[str, dict[str, Any]]
) -> None:
    held = contracts["What runs in the jail cannot reach the referee's side"]["source_modules"]
    inside = {
        "arena." + ".".join(path.relative_to(project_root / "arena").with_suffix("").parts)
        for pattern in JAIL_FILES
        for path in (project_root / "arena").glob(pattern)
        if path.stem != "__init__"
    }
    assert inside == set(held)


def test_every_kind_of_house_player_is_held_to_what_guests_may(
    project_root: Path, contracts: dict[str, dict[str, Any]]
) -> None:
    held = contracts["House players use only what guests may"]["source_modules"]
    kinds = {path.parent.name for path in (project_root / "arena" / "house").glob("*/*.py")}
    assert {f"arena.house.{kind}" for kind in kinds} == set(held)
