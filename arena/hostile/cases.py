"""The cases as their files state them."""

from __future__ import annotations

import ast
import platform
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

from arena.errors import FaultCode, Side

PLAYERS: Final = Path(__file__).parent / "players"
HELPER: Final = "hostile.py"
SCORED: Final = "scored"


class Layer(StrEnum):
    """What stops an attempt; docs/security.md says what each one is."""

    NAMESPACES = "namespaces"
    MOUNTS = "mounts"
    SECCOMP = "seccomp"
    RLIMITS = "rlimits"
    CGROUP = "cgroup"
    CLOCK = "clock"
    FRAMES = "frames"
    REFEREE = "referee"
    RANKING = "ranking"
    UPLOAD = "upload"


@dataclass(frozen=True)
class Case:
    """One hostile submission.

    ``id`` is its file's name, ``number`` that of the kind of attempt (docs/security.md). ``ends``
    says for each side how a match that it makes the attempt in may end: ``scored``, or codes of
    faults of that side. ``may_kill``: the attack plays honestly enough to break examples.
    ``known``: by name of the backend, why it gets through there for now.
    """

    id: str
    number: int
    name: str
    roles: tuple[Side, ...]
    stopped_by: tuple[Layer, ...]
    ends: Mapping[Side, tuple[str, ...]]
    checks: tuple[str, ...] = ()
    machine: str = ""
    may_kill: bool = False
    known: Mapping[str, str] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    queries: int = 4
    true_label: bool = True
    label_only: bool = False
    limits: Mapping[str, float] = field(default_factory=dict)
    attack_limits: Mapping[str, float] = field(default_factory=dict)
    defense_limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_for_this_machine(self) -> bool:
        return self.machine in ("", platform.machine())

    @property
    def source(self) -> bytes:
        return (PLAYERS / f"{self.id}.py").read_bytes()


@cache
def all_cases() -> tuple[Case, ...]:
    """Every case, by number."""
    files = sorted(PLAYERS.glob("[0-9]*.py"))
    return tuple(read(path) for path in files)


def read(path: Path) -> Case:
    """The case that the docstring of a player's file describes.

    Raises:
        ValueError: it describes none.
    """
    text = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    try:
        table = tomllib.loads(text or "")
        roles = tuple(Side(role) for role in table.pop("roles"))
        layers = tuple(Layer(layer) for layer in table.pop("stopped_by"))
        ends = _ends(table.pop("ends"), roles)
        checks = tuple(table.pop("checks", ()))
        return Case(id=path.stem, roles=roles, stopped_by=layers, ends=ends, checks=checks, **table)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} does not describe a case: {error}") from error


def _ends(said: Any, roles: tuple[Side, ...]) -> dict[Side, tuple[str, ...]]:
    """One end for all roles, or a table by role; an end is one word or several that will do."""
    by_role = said if isinstance(said, dict) else {role.value: said for role in roles}
    if set(by_role) != {role.value for role in roles}:
        raise ValueError(f"ends is for {', '.join(by_role)}")
    return {Side(role): _words(words) for role, words in by_role.items()}


def _words(said: str | list[str]) -> tuple[str, ...]:
    words = (said,) if isinstance(said, str) else tuple(said)
    for word in words:
        if word != SCORED:
            FaultCode(word)
    return words
