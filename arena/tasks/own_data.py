"""Makes a task of a file of one's own: tables of numbers, images, or series with a trend.

What is done to the data, and recorded in the task's TOML file:

- Columns of a table are scaled to [0, 1] over all splits together; what 0 and 1 stand for is the
  table ``[scaling]``. An NPZ table in [0, 1] stays as it is; images are uint8, or in [0, 1].
- Labels become 0 .. k - 1 in the order of their names, numbers by size.
- Without a test split one is drawn: the same share of each class, and equal examples on one side;
  of a regression task, whole series.

A clean-accuracy floor that nobody names lies half way from guessing the commonest class to what the
nearest class mean reaches on the test split.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import TaskError
from arena.tasks.library import house_names, user_directory
from arena.tasks.split import TaskWarning
from arena.tasks.tables import RawData, read_csv, read_own_npz
from arena.tasks.task import Task
from arena.tasks.taskfile import NAME, read_task

SHARE: Final = 0.3
MOST_CLASSES: Final = 200
"""More labels than these are taken for values."""
REGRESSION_FLOOR: Final = 0.5
LEAST_OF_A_SERIES: Final = 3
LATER: Final = {"train": ("test", "final"), "test": ("final",)}
BUDGETS: Final = (0.05, 0.1, 0.2)
"""Usual ε in L∞; times √d in L2, a tenth of it times d in L1 and L0."""

Floats = NDArray[np.float64]
Splits = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the owner of the data says of it.

    ``label`` and ``features`` name columns of a CSV; in a regression task the first feature is
    time, the second, if any, the series. ``test``: the CSV of the test split; else ``share`` of the
    examples is drawn by ``seed``. ``drop_duplicates``: leave examples of the test or final split
    out of the training split. ``replace``: an own task of that name gives way, version + 1.
    """

    label: str = ""
    features: tuple[str, ...] = ()
    regression: bool = False
    test: Path | None = None
    share: float = SHARE
    seed: int = 0
    title: str = ""
    licence: str = "not stated"
    unit: str = ""
    floor: float | None = None
    drop_duplicates: bool = False
    replace: bool = False


@dataclass(frozen=True)
class Imported:
    """The task's TOML file, and what its owner should know."""

    path: Path
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Ready:
    """Scaled inputs and labels (or values) by split, and what becomes of them in the TOML."""

    splits: Splits
    tables: str
    head: str


def import_own(
    name: str, source: Path, wishes: Wishes, destination: Path | None = None
) -> Imported:
    """Store the data in ``source``, a ``.csv`` or ``.npz``, as the task ``name``.

    Writes an archive and a TOML file into ``destination`` (default: the user's data directory).
    Raises :class:`TaskError` with the remedy where the data make no task.
    """
    folder = user_directory() if destination is None else destination
    version = _version(name, folder, replace=wishes.replace)
    raw = _read(source, wishes)
    ready = _regression(raw, wishes) if wishes.regression else _classes(raw, wishes)
    try:
        return _store(name, ready, folder, wishes, version)
    except OSError as error:
        raise TaskError(
            f"Task {name!r} cannot be stored in {folder} ({error}): make room or set "
            "ADVERSARIUM_DATA to a folder that you may write to."
        ) from error


def _version(name: str, folder: Path, *, replace: bool) -> int:
    if not NAME.fullmatch(name) or name in house_names():
        raise TaskError(
            f"{name!r} cannot be the name of a task of your own: take 1 to 63 lower-case letters, "
            f"digits and hyphens, and none of {', '.join(house_names())}."
        )
    path = folder / f"{name}.toml"
    if not path.exists():
        return 1
    if not replace:
        raise TaskError(
            f"There is a task {name!r} already: choose another name, or give --replace, which "
            "raises its version."
        )
    return read_task(path).version + 1


def _read(source: Path, wishes: Wishes) -> RawData:
    if source.suffix == ".csv":
        if not wishes.label:
            raise TaskError("Name the column of labels: --label COLUMN.")
        return read_csv(source, label=wishes.label, features=wishes.features, test=wishes.test)
    if wishes.label or wishes.features or wishes.test:
        raise TaskError(
            "Columns and a test file are named for a CSV; an NPZ has x, y, and x_test, y_test."
        )
    return read_own_npz(source)


# ── classes ────────────────────────────────────────────────────────────────────────────────


def _classes(raw: RawData, wishes: Wishes) -> _Ready:
    names, labels = _labels(raw)
    x, tables = _scaled(raw)
    splits = {key: (x[key], labels[key]) for key in raw.splits}
    if "test" not in splits:
        _check_counts(labels["train"], names, "the data", least=2)
        train, test = _drawn(*splits["train"], wishes)
        splits = {**splits, "train": train, "test": test}
    splits = _disjoint(splits, drop=wishes.drop_duplicates)
    for key, (_, y) in splits.items():
        _check_counts(y, names, f"the {key} split", least=1)
    floor = _floor(splits) if wishes.floor is None else wishes.floor
    head = f"classes = {json.dumps(names, ensure_ascii=False)}\nfloor = {floor:.2f}\n"
    if raw.features:
        head += f"features = {json.dumps(raw.features, ensure_ascii=False)}\n"
    return _Ready(splits, tables, head)


def _labels(raw: RawData) -> tuple[list[str], dict[str, NDArray[np.int64]]]:
    """The classes' names in order, and the labels by split."""
    texts = {key: _texts(split.y) for key, split in raw.splits.items()}
    names = sorted({name for each in texts.values() for name in each}, key=_order)
    if not 2 <= len(names) <= MOST_CLASSES:
        raise TaskError(
            f"The labels name {len(names)} classes; a task has 2 to {MOST_CLASSES}. Are "
            "they values? Then give --regression."
        )
    place = {name: k for k, name in enumerate(names)}
    return names, {
        key: np.array([place[name] for name in each], np.int64) for key, each in texts.items()
    }


def _texts(y: NDArray[Any]) -> list[str]:
    if y.dtype.kind == "f":
        if (y != np.rint(y)).any():
            raise TaskError("The labels are no whole numbers: for values give --regression.")
        y = y.astype(np.int64)
    return [str(value).strip() for value in y]


def _order(name: str) -> tuple[bool, float, str]:
    """Numbers by size, then texts."""
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name


def _check_counts(y: NDArray[np.int64], names: list[str], where: str, *, least: int) -> None:
    counts = np.bincount(y, minlength=len(names))
    if counts.min() < least:
        k = int(counts.argmin())
        raise TaskError(
            f"Class {names[k]!r} has {counts[k]} examples in {where}, where {least} are needed: "
            "add examples of it, or drop the class."
        )


def _drawn(
    x: NDArray[Any], y: NDArray[np.int64], wishes: Wishes
) -> tuple[tuple[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]:
    """(train, test): a share of the different examples of each class."""
    group = _groups(x)
    _, first = np.unique(group, return_index=True)
    label, test = y[first], np.zeros(len(first), bool)
    stream = np.random.RandomState(wishes.seed)
    for k in np.unique(label):
        members = stream.permutation(np.flatnonzero(label == k))
        test[members[: _part(len(members), wishes.share)]] = True
    held = test[group]
    return (x[~held], y[~held]), (x[held], y[held])


def _part(count: int, share: float) -> int:
    """So many of ``count`` are held out: one at least, and one at least is left."""
    if not 0 < share < 1:
        raise TaskError(f"The share of the test split must lie between 0 and 1, not {share:g}.")
    return int(np.clip(round(share * count), 1, count - 1))


def _groups(x: NDArray[Any]) -> NDArray[np.int64]:
    """(n,) the same number for equal examples."""
    rows = np.ascontiguousarray(x).reshape(len(x), -1)
    whole = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    return np.unique(whole, return_inverse=True)[1].astype(np.int64)


def _disjoint(splits: Splits, *, drop: bool) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """No example of a split is one of those that are judged later."""
    found = dict(splits)
    for key, later in LATER.items():
        x, y = found[key]
        others = [found[other][0] for other in later if other in found]
        if not others:
            continue
        group = _groups(np.concatenate([x, *others]))
        twice = np.isin(group[: len(x)], group[len(x) :])
        if twice.any() and not drop:
            raise TaskError(
                f"{int(twice.sum())} of {len(x)} examples of the {key} split are in "
                f"{' or '.join(later)} too, where a player would know them by heart: remove them, "
                f"or give --drop-duplicates to leave them out of the {key} split."
            )
        found[key] = x[~twice], y[~twice]
    return found


def _floor(splits: Splits) -> float:
    (x, y), (x_test, y_test) = splits["train"], splits["test"]
    classes = np.unique(y)
    flat, asked = (a.reshape(len(a), -1).astype(np.float64) for a in (x, x_test))
    means = np.stack([flat[y == k].mean(axis=0) for k in classes])
    scores = asked @ means.T - (means**2).sum(axis=1) / 2
    reached = float((classes[scores.argmax(axis=1)] == y_test).mean())
    guessed = float(np.bincount(y_test).max() / len(y_test))
    return (guessed + max(guessed, reached)) / 2


# ── values ─────────────────────────────────────────────────────────────────────────────────


def _regression(raw: RawData, wishes: Wishes) -> _Ready:
    values = {key: _values(split.y) for key, split in raw.splits.items()}
    if raw.splits["train"].x.ndim != 2 or raw.splits["train"].x.shape[1] > 2:
        raise TaskError(
            "A regression task has one feature, time, or two, time and series: name them in this "
            "order with --feature."
        )
    every = np.concatenate(list(values.values()))
    low, high = float(every.min()), float(every.max())
    if low == high:
        raise TaskError("All values are the same: there is no trend to learn.")
    x, tables = _scaled(raw)
    scaled = {key: np.clip((y - low) / (high - low), 0, 1) for key, y in values.items()}
    splits = {key: (x[key], scaled[key]) for key in raw.splits}
    if "test" not in splits:
        splits = {**splits, **_drawn_series(*splits["train"], wishes)}
    for key, (points, _) in splits.items():
        _check_series(points, key)
    target = {
        "name": wishes.label or "Value",
        "unit": wishes.unit or "units",
        "low": low,
        "high": high,
    }
    lines = "".join(f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in target.items())
    floor = REGRESSION_FLOOR if wishes.floor is None else wishes.floor
    head = f"floor = {floor:.2f}\n"
    if raw.features:
        head += f"features = {json.dumps(raw.features, ensure_ascii=False)}\n"
    return _Ready(splits, f"{tables}\n[target]\n{lines}", head)


def _values(y: NDArray[Any]) -> Floats:
    try:
        values = y.astype(np.float64)
    except ValueError:
        raise TaskError(
            f"The values to learn are no numbers: {str(y[0])!r} and others. For classes leave "
            "--regression out."
        ) from None
    if not np.isfinite(values).all():
        raise TaskError("The values to learn hold NaN or infinity: fill in or drop those rows.")
    return values


def _drawn_series(x: NDArray[Any], y: Floats, wishes: Wishes) -> Splits:
    names = np.unique(x[:, 1]) if x.shape[1] > 1 else np.zeros(1)
    if len(names) < 2:
        raise TaskError(
            "One series cannot be divided into training and test: give the second as --test FILE "
            "(x_test and y_test in an NPZ), or name the column of series with --feature."
        )
    stream = np.random.RandomState(wishes.seed)
    drawn = stream.permutation(names)[: _part(len(names), wishes.share)]
    held = np.isin(x[:, 1], drawn)
    return {"train": (x[~held], y[~held]), "test": (x[held], y[held])}


def _check_series(x: NDArray[Any], where: str) -> None:
    key = x[:, 1] if x.shape[1] > 1 else np.zeros(len(x))
    for name in np.unique(key):
        times = x[key == name, 0]
        if len(times) < LEAST_OF_A_SERIES or np.ptp(times) == 0:
            raise TaskError(
                f"A series of the {where} split has {len(times)} points at "
                f"{len(np.unique(times))} different times: a trend needs three points or more, at "
                "two times or more."
            )


# ── inputs ─────────────────────────────────────────────────────────────────────────────────


def _scaled(raw: RawData) -> tuple[dict[str, NDArray[Any]], str]:
    """Inputs by split, uint8 or float32 in [0, 1], and the table ``[scaling]`` where they were."""
    given = {key: split.x for key, split in raw.splits.items()}
    shapes = {x.shape[1:] for x in given.values()}
    if len(shapes) > 1:
        raise TaskError(f"The splits have examples of different shapes: {sorted(shapes)}.")
    if all(x.dtype == np.uint8 for x in given.values()):
        return given, ""
    within = all(x.min() >= 0 and x.max() <= 1 for x in given.values())
    if within and not raw.is_table:
        return {key: x.astype(np.float32) for key, x in given.items()}, ""
    if len(shapes.pop()) != 1:
        raise TaskError("Images must be uint8, or floats in [0, 1]: divide them by their maximum.")
    low = np.min([x.min(axis=0) for x in given.values()], axis=0).astype(np.float64)
    high = np.max([x.max(axis=0) for x in given.values()], axis=0).astype(np.float64)
    names = raw.features or [f"number {i}" for i in range(len(low))]
    for i in np.flatnonzero(low == high):
        raise TaskError(
            f"Column {names[i]} is {low[i]:g} in every row, so that it says nothing: drop it, or "
            "name the columns to use with --feature."
        )
    x = {key: np.clip((x - low) / (high - low), 0, 1) for key, x in given.items()}
    lines = f"\n[scaling]\nlow = {json.dumps(low.tolist())}\nhigh = {json.dumps(high.tolist())}\n"
    return {key: each.astype(np.float32) for key, each in x.items()}, lines


# ── the task's files ───────────────────────────────────────────────────────────────────────


def _store(name: str, ready: _Ready, folder: Path, wishes: Wishes, version: int) -> Imported:
    """The archive first, the TOML last, each by rename, once the task has been read from them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".importing-") as scratch:
        archive, toml = Path(scratch) / f"{name}-{version}.npz", Path(scratch) / f"{name}.toml"
        arrays = {f"{axis}_{key}": a for key, pair in ready.splits.items()
                  for axis, a in zip("xy", pair, strict=True)}  # fmt: skip
        np.savez_compressed(archive, allow_pickle=False, **arrays)
        toml.write_text(_toml(name, ready, wishes, version, archive.name), "utf-8")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", TaskWarning)
            task = read_task(toml)
            pins = "".join(
                f'{split.name}_sha256 = "{split.sha256}"\n' for split in (task.train, task.practice)
            )
        toml.write_text(toml.read_text("utf-8") + pins, "utf-8")
        archive.replace(folder / archive.name)
        return Imported(toml.replace(folder / toml.name), (*_notes(task), *_said(caught)))


def _toml(name: str, ready: _Ready, wishes: Wishes, version: int, archive: str) -> str:
    x = ready.splits["train"][0]
    shape = list(x.shape[1:])
    sizes = ", ".join(f"{len(y):,} {key}" for key, (_, y) in ready.splits.items())
    texts = {
        "name": name,
        "title": wishes.title or name.replace("-", " ").capitalize(),
        "description": f"Imported data: {sizes}.",
        "licence": wishes.licence,
    }
    head = "".join(f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in texts.items())
    norms = _norms(int(np.prod(shape)) if not wishes.regression else 1)
    return (
        f"schema_version = 1\nversion = {version}\n{head}shape = {shape}\n{ready.head}"
        f"\n[norms]\n{norms}{ready.tables}\n[data]\nfile = {json.dumps(archive)}\n"
    )


def _norms(features: int) -> str:
    """Usual ε: a start, to be edited in the TOML."""
    counts = sorted({max(1, round(share * features)) for share in BUDGETS})
    l2 = [round(share * float(np.sqrt(features)), 3) for share in BUDGETS]
    l1 = [round(share * max(1.0, features / 4), 3) for share in BUDGETS]
    return f"linf = {list(BUDGETS)}\nl2 = {l2}\nl1 = {l1}\nl0 = {counts}\n"


def _notes(task: Task) -> tuple[str, ...]:
    """What the data came to."""
    kind = task.target.name if task.target else f"{len(task.classes)} classes"
    sizes = f"{len(task.train):,} examples to train on, {len(task.practice):,} to test"
    return (f"{sizes}; {kind}; clean-accuracy floor {task.floor:g}.",)


def _said(caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(warning.message) for warning in caught))
