"""Examples that are no pictures: rows of named features, and what an attack changed in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from accounts.selectors import Person
from arena.tasks import Task
from tournaments import files
from tournaments.models import Match

CHANGED: Final = 1e-6
SHOWN_CHANGES: Final = 12
SHOWN_FEATURES: Final = 20
SHOWN_EXAMPLES: Final = 3


@lru_cache(maxsize=8)
def _arrays(path: Path, _modified: int) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def arrays_of(user: Person, match: Match) -> dict[str, NDArray[Any]]:
    """``images.npz`` of a match; NotThere where this reader may not see it."""
    path = files.images_path(user, match)
    return _arrays(path, path.stat().st_mtime_ns)


@dataclass(frozen=True)
class Changes:
    """``rows``: (feature, before, after), the largest first, in the units of the data where the
    task tells them; ``more``: how many are left out.

    ``words``: every change makes 1 of 0; then the features' names say all.
    """

    rows: tuple[tuple[str, str, str], ...]
    more: int
    words: bool


def changes(clean: NDArray[Any], attacked: NDArray[Any], task: Task) -> Changes:
    """What was done to one example (*shape); features without names are numbered."""
    before, after = clean.ravel().astype(np.float64), attacked.ravel().astype(np.float64)
    size = np.abs(after - before)
    order = np.argsort(-size, kind="stable")
    moved = order[size[order] > CHANGED]
    shown = moved[:SHOWN_CHANGES]
    rows = tuple(
        (_named(task.features, i), _in_units(task, i, before[i]), _in_units(task, i, after[i]))
        for i in map(int, shown)
    )
    words = bool(len(moved)) and bool((before[moved] == 0).all() and (after[moved] == 1).all())
    return Changes(rows, len(moved) - len(shown), words)


def _in_units(task: Task, number: int, value: float) -> str:
    """Of a feature on the scale from 0 to 1: as it was measured, if the task tells."""
    if task.scaling is None:
        return f"{value:.3g}"
    low, high = task.scaling.low[number], task.scaling.high[number]
    measured = low + (high - low) * value
    return f"{measured:,.0f}" if abs(measured) >= 1000 else f"{measured:.4g}"


def _named(features: tuple[str, ...], number: int) -> str:
    return features[number] if number < len(features) else f"feature {number + 1}"


# --- of a task ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Feature:
    """``may``: what an attack may do with it; ``measured``: what 0 and 1 of it stood for, or ""."""

    name: str
    may: str
    measured: str


def features_of(task: Task) -> list[Feature]:
    """Every feature of a task that names them, or says what they were scaled from."""
    if not task.features and task.scaling is None:
        return []
    measured = _measured(task)
    return [Feature(_named(task.features, i), may, measured[i]) for i, may in enumerate(_may(task))]


def _measured(task: Task) -> list[str]:
    if task.scaling is None:
        return [""] * len(task.features)
    bounds = zip(task.scaling.low, task.scaling.high, strict=True)
    return [f"{low:,.6g} to {high:,.6g}" for low, high in bounds]


def _may(task: Task) -> Iterator[str]:
    free = np.ones(task.shape, bool) if task.mutable is None else task.mutable
    grows = np.zeros(task.shape, bool) if task.add_only is None else task.add_only
    for changes_, only_grows in zip(free.ravel(), grows.ravel(), strict=True):
        yield "stays" if not changes_ else "may only grow" if only_grows else "may change"


def examples_of(task: Task) -> list[tuple[str, list[tuple[list[tuple[str, str]], int]]]]:
    """By class: the first practice examples, each as (features that are not 0, how many more)."""
    found = []
    for label, name in enumerate(task.classes):
        rows = np.flatnonzero(task.practice.y == label)[:SHOWN_EXAMPLES]
        found.append((name, [_example(task, task.practice.x[row].ravel()) for row in rows]))
    return found


def _example(task: Task, x: NDArray[Any]) -> tuple[list[tuple[str, str]], int]:
    order = np.argsort(-x, kind="stable")
    held = order[x[order] > 0]
    shown = [(_named(task.features, int(i)), f"{x[i]:.2g}") for i in held[:SHOWN_FEATURES]]
    return shown, len(held) - len(shown)
