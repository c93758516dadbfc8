"""Series of a regression task as line drawings: SVG made here, so that it needs no script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from accounts.selectors import Person
from arena.tasks import Split, Task
from events.errors import NotThere
from tournaments.models import Match
from web.pages.rows import arrays_of

WIDTH: Final = 320.0
HEIGHT: Final = 140.0
MARGIN: Final = 8.0
SHOWN: Final = 4

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Drawing:
    """One series; ``points`` and ``changed`` are the ``points`` of SVG polylines, ``trends`` the
    ends (x1, y1, x2, y2) of the lines before and after. ``low`` and ``high``: as the task says."""

    points: str
    changed: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    low: str
    high: str


def of_task(task: Task, split: Split) -> list[Drawing]:
    """The first series of a split."""
    if not task.is_regression:
        return []
    key = split.x[:, 1] if split.x.shape[1] > 1 else np.zeros(len(split))
    found = []
    for value in np.unique(key)[:SHOWN]:
        rows = np.flatnonzero(key == value)
        rows = rows[np.argsort(split.x[rows, 0], kind="stable")]
        found.append(_drawing(task, split.x[rows, 0], split.y[rows]))
    return found


def of_match(user: Person, match: Match, task: Task | None) -> list[Drawing]:
    """The first series of a match, before and after; none where this reader may not see them."""
    if task is None or not task.is_regression:
        return []
    try:
        arrays = arrays_of(user, match)
        kept = [arrays[name][:SHOWN] for name in ("times", "values", "changed", "rises")]
    except (NotThere, KeyError):
        return []
    return [_drawing(task, *series) for series in zip(*kept, strict=True)]


def _drawing(
    task: Task,
    times: NDArray[Any],
    values: NDArray[Any],
    changed: NDArray[Any] | None = None,
    rises: NDArray[Any] | None = None,
) -> Drawing:
    times, values = times.astype(np.float64), values.astype(np.float64)
    after = None if changed is None else changed.astype(np.float64)
    both = values if after is None else np.concatenate([values, after])
    low, high = float(both.min()), max(float(both.max()), float(both.min()) + 1e-9)

    def placed(t: Floats, y: Floats) -> NDArray[np.float64]:
        across = (t - times.min()) / max(float(np.ptp(times)), 1e-9)
        up = (np.clip(y, low, high) - low) / (high - low)
        x = MARGIN + (WIDTH - 2 * MARGIN) * across
        return np.stack([x, HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * up], axis=1)

    def trend(y: Floats, rise: float) -> tuple[str, ...]:
        if not np.isfinite(rise):
            return ()
        middle = float(y.mean())
        ends = placed(times[[0, -1]], np.array([middle - rise / 2, middle + rise / 2]))
        return tuple(f"{number:.1f}" for number in ends.ravel())

    return Drawing(
        points=_polyline(placed(times, values)),
        changed="" if after is None else _polyline(placed(times, after)),
        before=() if rises is None else trend(values, float(rises[0])),
        after=() if rises is None or after is None else trend(after, float(rises[1])),
        low=_in_units(task, low),
        high=_in_units(task, high),
    )


def _polyline(points: NDArray[np.float64]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _in_units(task: Task, value: float) -> str:
    assert task.target is not None
    scaled = task.target.low + value * (task.target.high - task.target.low)
    return f"{scaled:,.4g} {task.target.unit}"
