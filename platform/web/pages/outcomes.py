"""What a match's outcome file holds, as a gallery and plots show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import arena.tasks
from accounts.selectors import Person
from arena.answers import ABSTAIN
from arena.errors import TaskError
from arena.rounds import GameName, Norm
from arena.tasks import Task
from arena.verdict import Outcome
from events.errors import NotThere
from tournaments import files, visibility
from tournaments.models import Match
from web.pages.rows import Changes, arrays_of, changes

GALLERY: Final = 12

Columns = Mapping[str, NDArray[Any]]


@lru_cache(maxsize=8)
def _read(path: Path, _modified: int) -> Outcome:
    return Outcome.read(path)


def columns_of(user: Person, match: Match) -> Columns:
    """NotThere where there is no outcome, or none for this reader."""
    path = files.outcome_path(user, match)
    return _read(path, path.stat().st_mtime_ns).columns


@dataclass(frozen=True)
class Card:
    """One example of the gallery; ``number`` is its index among the match's images."""

    number: int
    example: int
    label: str
    clean_as: str
    clean_confidence: float
    attacked_as: str
    attacked_confidence: float
    broken: bool
    clean_right: bool
    """False: the defense was wrong before anything was changed."""
    rejected: str
    target: str
    distance: float | None
    """None where a change has no size."""
    move: str
    queries: int
    radius: float | None
    """As certified; None where nothing was claimed."""
    refutes: bool
    changes: Changes | None = None
    """What was done to an example that is no picture; None where this reader may not see it."""


@dataclass(frozen=True)
class Gallery:
    level: int
    axis: str
    """What a level is called before its number."""
    epsilons: tuple[tuple[int, str], ...]
    cards: tuple[Card, ...]
    total: int
    pictures: bool
    """Whether there are pictures, and this reader may see them."""
    arrays: bool
    """Whether this reader may see the examples, pictures or not."""


def gallery(
    user: Person, match: Match, *, level: int | None, most: int = GALLERY
) -> Gallery | None:
    """Kills first, then what held; None for games without attacked images.

    Raises:
        NotThere: this reader may not see single examples of this match.
    """
    columns = columns_of(user, match)
    if "attacked_prediction" not in columns:
        return None
    epsilons = _levels(columns)
    chosen = len(epsilons) - 1 if level is None else level
    if not 0 <= chosen < len(epsilons):
        raise NotThere("There is no such level.")
    per_level = len(columns["example"]) // len(epsilons)
    rows = np.arange(chosen * per_level, (chosen + 1) * per_level)
    order = np.lexsort((rows, ~columns["clean_right"][rows], ~columns["broken"][rows]))
    task = task_of(match)
    names = () if task is None else task.classes
    seen = visibility.may_see_images(user, match)
    cards = tuple(
        _card(columns, int(rows[i]), int(i), names, match.round.rules.norm.value)
        for i in order[:most]
    )
    pictures = task is None or task.is_image
    if seen and task is not None and not pictures:
        cards = _with_changes(user, match, cards, level=chosen, task=task)
    listed = tuple((k, "" if np.isnan(e) else f"{e:g}") for k, e in enumerate(epsilons))
    axis = "words:" if match.round.game == GameName.GOOD_WORDS else "ε ="
    axis = LEVELS.get(match.round.rules.norm, axis)
    return Gallery(chosen, axis, listed, cards, per_level, seen and pictures, seen)


def _with_changes(
    user: Person, match: Match, cards: tuple[Card, ...], *, level: int, task: Task
) -> tuple[Card, ...]:
    try:
        arrays = arrays_of(user, match)
    except NotThere:
        return cards
    clean, attacked = arrays["clean"], arrays["attacked"][level]
    return tuple(
        replace(card, changes=changes(clean[card.number], attacked[card.number], task))
        for card in cards
    )


LEVELS: Final = {
    Norm.PATCH: "area ≤",
    Norm.SPATIAL: "degrees ≤",
    Norm.CORRUPTION: "severity",
}
MARGIN: Final = 1e-4
"""How far inside a claimed radius a counterexample lies (docs/rules.md)."""
COPIED: Final = 50
"""Rows of the table of differences."""


@dataclass(frozen=True)
class Copied:
    """Examples on which a stolen copy differs: (true class, original's, copy's)."""

    rows: tuple[tuple[str, str, str], ...]
    differ: int
    total: int


def copied(match: Match, columns: Columns) -> Copied | None:
    """At the end of the budget; None for games without a copy."""
    if "copied_prediction" not in columns or not len(columns["stop"]):
        return None
    last = np.flatnonzero(columns["stop"] == columns["stop"].max())
    differ = last[~columns["agrees"][last]]
    names = _class_names(match)
    told = ("y", "prediction", "copied_prediction")
    rows = [tuple(_name(names, int(columns[key][row])) for key in told) for row in differ[:COPIED]]
    return Copied(tuple((a, b, c) for a, b, c in rows), len(differ), len(last))


def _levels(columns: Columns) -> list[float]:
    """Distinct epsilons in the order of the file; NaN is the one of a minimum-norm round."""
    seen: list[float] = []
    for value in columns["epsilon"]:
        value = float(value)
        if not any(value == other or (np.isnan(value) and np.isnan(other)) for other in seen):
            seen.append(value)
    return seen or [float("nan")]


def _card(columns: Columns, row: int, number: int, names: tuple[str, ...], norm: str) -> Card:
    def text(column: str) -> str:
        return _name(names, int(columns[column][row]))

    target = int(columns["target"][row]) if "target" in columns else -1
    rejected = columns["rejected"][row] if "rejected" in columns else ""
    size = float(columns[norm][row]) if norm in columns else None
    claimed = float(columns["certified_radius"][row]) if "certified_radius" in columns else np.nan
    radius = None if np.isnan(claimed) else claimed
    moved = columns["attacked_prediction"][row] != columns["clean_prediction"][row]
    return Card(
        number=number,
        example=int(columns["example"][row]),
        label=text("y"),
        clean_as=text("clean_prediction"),
        clean_confidence=float(columns["clean_confidence"][row]),
        attacked_as=text("attacked_prediction"),
        attacked_confidence=float(columns["attacked_confidence"][row]),
        broken=bool(columns["broken"][row]),
        clean_right=bool(columns["clean_right"][row]),
        rejected=str(rejected or ""),
        target=_name(names, target) if target >= 0 else "",
        distance=size,
        move=str(columns["move"][row]) if "move" in columns else "",
        queries=int(columns["queries"][row]),
        radius=radius,
        refutes=radius is not None and size is not None and size <= radius - MARGIN and moved,
    )


def task_of(match: Match) -> Task | None:
    """None where it is not on this machine any more."""
    try:
        return arena.tasks.load(match.round.spec["task"])
    except (TaskError, KeyError):
        return None


def _class_names(match: Match) -> tuple[str, ...]:
    task = task_of(match)
    return () if task is None else task.classes


def _name(names: tuple[str, ...], label: int) -> str:
    if label == ABSTAIN:
        return "abstains"
    if label < 0:
        return "no answer"
    return names[label] if label < len(names) else str(label)


# --- probes -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Survival:
    """Share of clean-right examples not yet broken after so many probes, at the largest epsilon."""

    points: tuple[tuple[int, float], ...]
    examples: int


def survival(columns: Columns) -> Survival | None:
    """None where nothing was asked, or the game has no probes."""
    if "queries_to_success" not in columns or not len(columns["queries"]):
        return None
    last = _levels(columns)[-1]
    here = np.isnan(columns["epsilon"]) if np.isnan(last) else columns["epsilon"] == last
    right = here & columns["clean_right"]
    total = int(right.sum())
    if not total or not columns["queries"][right].max():
        return None
    times = np.sort(columns["queries_to_success"][right & columns["broken"]])
    times = times[times > 0]
    if not len(times):
        return None
    steps = np.unique(times)
    points = [(0, 1.0)] + [(int(t), 1 - float((times <= t).sum()) / total) for t in steps]
    if len(points) > 200:
        points = [points[i] for i in np.linspace(0, len(points) - 1, 200).astype(int)]
    return Survival(tuple(points), total)


def quantiles(found: Survival) -> list[tuple[str, str]]:
    """The plot as a table: probes after which that share of examples was broken."""
    rows = []
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        after = next((t for t, alive in found.points if 1 - alive >= share), None)
        rows.append((f"{100 * share:.0f} %", "not reached" if after is None else f"{after:,}"))
    return rows
