"""A task's TOML file: every field checked, then a :class:`~arena.tasks.task.Task`.

The table ``[data]`` says where the examples are: ``file``, a numpy archive beside the TOML, or
``loader``, a name from ``LOADERS``. There ``keep`` picks classes, and ``train_sha256`` and
``practice_sha256`` pin the splits; ``packed`` says that features are 0 or 1, eight to a byte
(:func:`numpy.packbits` along the last axis). The house tasks beside this module are the examples
to copy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import TaskError
from arena.tasks.digits import read_digits
from arena.tasks.ice_cover import read_ice_cover
from arena.tasks.npz import Arrays, read_npz, splits_of, unpacked
from arena.tasks.task import SCHEMA_VERSION, Device, Scaling, Split, Splits, Target, Task
from arena.tasks.toml_table import Table

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SHA256: Final = re.compile(r"[0-9a-f]{64}")
MOST_DIMENSIONS: Final = 4
MOST_FEATURES: Final = 2**22
MOST_CLASSES: Final = 10_000
MOST_LEVELS: Final = 2**16
NORMS: Final = ("linf", "l2", "l1", "l0")

#: Data that come with a library instead of in a file.
LOADERS: Final[Mapping[str, Callable[[], Arrays]]] = {
    "digits": read_digits,
    "ice-cover": read_ice_cover,
}


@dataclass(frozen=True)
class DataSource:
    """The ``[data]`` table."""

    read: Callable[[], Arrays]
    keep: tuple[int, ...] | None
    pinned: Mapping[str, str]  # split name -> hex SHA-256
    packed: bool  # features are bits


def read_task(path: Path) -> Task:
    """The task that the TOML file at ``path`` describes; its arrays are read at first use."""
    table = Table.read(path)
    table.integer("schema_version", least=SCHEMA_VERSION, most=SCHEMA_VERSION)
    shape = _shape(table)
    target = _target(table, shape=shape) if "target" in table else None
    classes = table.texts("classes", least=2) if target is None else ()
    grid = table.integer("grid", least=2, most=MOST_LEVELS) if "grid" in table else None
    source = _data_source(table.table("data"), folder=path.parent)
    task = Task(
        name=_name(table),
        title=table.text("title"),
        description=table.text("description"),
        shape=shape,
        classes=classes,
        grid=grid,
        floor=table.number("floor", least=0.0, most=1.0),
        norms=_norms(
            table.table("norms"), features=math.prod(shape) if target is None else MOST_FEATURES
        ),
        cost=_cost(table, classes=len(classes)) if "cost" in table else None,
        mutable=_mask(table, "mutable", shape=shape),
        add_only=_mask(table, "add_only", shape=shape),
        features=_features(table, shape=shape),
        scaling=_scaling(table.table("scaling"), shape=shape) if "scaling" in table else None,
        attacker_class=_attacker_class(table, classes),
        abstention_share=table.number("abstention_share", 0.2, least=0.0, most=1.0),
        device=_device(table) if "device" in table else Device.CPU,
        licence=table.text("licence"),
        version=table.integer("version", least=1, most=2**31 - 1),
        target=target,
        read=partial(
            _read_splits,
            source,
            shape=shape,
            classes=len(classes) if target is None else None,
            grid=grid,
        ),
    )
    table.finish()
    return task


def _name(table: Table) -> str:
    name = table.text("name")
    if not NAME.fullmatch(name):
        table.refuse("name", "must be 1 to 63 lower-case letters, digits and hyphens")
    return name


def _shape(table: Table) -> tuple[int, ...]:
    shape = table.integers("shape", least=1, most=MOST_FEATURES)
    if len(shape) > MOST_DIMENSIONS or math.prod(shape) > MOST_FEATURES:
        table.refuse(
            "shape",
            f"must have at most {MOST_DIMENSIONS} dimensions and {MOST_FEATURES} features in all: "
            "write images as [channels, height, width], tables as [features]",
        )
    return shape


def _target(table: Table, *, shape: tuple[int, ...]) -> Target:
    """A regression task's own table; the rules of classes have no place beside it."""
    for key in ("classes", "cost", "grid", "mutable"):
        if key in table:
            table.refuse(key, "belongs to tasks of classes: leave it out beside [target]")
    if len(shape) != 1 or shape[0] > 2:
        table.refuse(
            "shape",
            "must be [1] or [2] beside [target]: time, and which series a point is of",
        )
    target = table.table("target")
    low = target.number("low", least=-1e12, most=1e12)
    high = target.number("high", least=-1e12, most=1e12)
    if not low < high:
        target.refuse("high", "must be more than low: they say what 0 and 1 of y stand for")
    found = Target(target.text("name"), target.text("unit"), low, high)
    target.finish()
    return found


def _norms(table: Table, *, features: int) -> dict[str, tuple[float, ...]]:
    largest = {"linf": 1.0, "l2": math.sqrt(features), "l1": features, "l0": features}
    norms = {norm: table.numbers(norm) for norm in NORMS if norm in table}
    table.finish()
    if not norms:
        table.refuse("linf", f"or another norm must be given: one of {', '.join(NORMS)}")
    for norm, epsilons in norms.items():
        ascending = all(a < b for a, b in pairwise(epsilons))
        if not ascending or epsilons[0] <= 0 or epsilons[-1] > largest[norm]:
            table.refuse(norm, f"must ascend, above 0 and at most {largest[norm]:g}")
        if norm == "l0" and any(epsilon != int(epsilon) for epsilon in epsilons):
            table.refuse(norm, "counts features: give whole numbers")
    return norms


def _cost(table: Table, *, classes: int) -> NDArray[np.float64]:
    """(k, k) float64, ``cost[y, prediction]``."""
    cost = table.array("cost", shape=(classes, classes))
    if cost.dtype.kind not in "iuf" or not np.isfinite(cost).all() or cost.min() < 0:
        table.refuse("cost", "must hold finite numbers that are not negative")
    if np.diagonal(cost).any():
        table.refuse("cost", "must be 0 on the diagonal: a right answer costs nothing")
    return cost.astype(np.float64)


def _mask(table: Table, key: str, *, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """(*shape) bool, from as many, or from one ``true`` for all; None where it is left out."""
    if key not in table:
        return None
    if table.value(key) is True:
        return np.ones(shape, bool)
    mask = table.array(key, shape=shape)
    if mask.dtype != np.bool_ or not mask.any():
        table.refuse(key, "must hold true and false, and true at least once")
    return mask


def _features(table: Table, *, shape: tuple[int, ...]) -> tuple[str, ...]:
    if "features" not in table:
        return ()
    names = table.texts("features", least=1)
    if (len(names),) != shape:
        table.refuse("features", f"names {len(names)} features; examples have shape {list(shape)}")
    return names


def _scaling(table: Table, *, shape: tuple[int, ...]) -> Scaling:
    if len(shape) != 1:
        table.refuse("low", "belongs to rows of features: leave [scaling] out for images")
    low, high = (table.array(key, shape=shape) for key in ("low", "high"))
    numbers = all(bound.dtype.kind in "iuf" and np.isfinite(bound).all() for bound in (low, high))
    if not numbers or not (low < high).all():
        table.refuse("high", "and low must be finite numbers, each high more than its low")
    table.finish()
    return Scaling(tuple(map(float, low)), tuple(map(float, high)))


def _attacker_class(table: Table, classes: tuple[str, ...]) -> int | None:
    if "attacker_class" not in table:
        return None
    named = table.text("attacker_class")
    if named not in classes:
        table.refuse("attacker_class", f"must be one of the classes: {', '.join(classes)}")
    return classes.index(named)


def _device(table: Table) -> Device:
    named = table.text("device")
    if named not in tuple(Device):
        table.refuse("device", f"must be one of {', '.join(Device)}")
    return Device(named)


def _data_source(table: Table, *, folder: Path) -> DataSource:
    if ("file" in table) == ("loader" in table):
        table.refuse("file", "or `loader` must be given, and not both")
    read = partial(read_npz, _beside(table, folder)) if "file" in table else _loader(table)
    keep = table.integers("keep", least=0, most=MOST_CLASSES) if "keep" in table else None
    if keep is not None and len(set(keep)) < len(keep):
        table.refuse("keep", "names a label twice: name each once")
    pinned = {
        split: _sha256(table, f"{split}_sha256")
        for split in ("train", "practice")
        if f"{split}_sha256" in table
    }
    packed = table.flag("packed", False)
    table.finish()
    return DataSource(read, keep, pinned, packed)


def _loader(table: Table) -> Callable[[], Arrays]:
    loader = table.text("loader")
    if loader not in LOADERS:
        table.refuse("loader", f"must be one of {', '.join(LOADERS)}")
    return LOADERS[loader]


def _beside(table: Table, folder: Path) -> Path:
    """The data file, which must lie in the TOML's folder or below it, links included."""
    named = PurePath(table.text("file"))
    path = folder / named
    if named.is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
        table.refuse("file", "must lie beside the task's TOML: give a relative path without ..")
    return path


def _sha256(table: Table, key: str) -> str:
    value = table.text(key)
    if not SHA256.fullmatch(value):
        table.refuse(key, "must be 64 lower-case hexadecimal digits")
    return value


def _read_splits(
    source: DataSource, *, shape: tuple[int, ...], classes: int | None, grid: int | None
) -> Splits:
    arrays = source.read()
    if source.packed:
        arrays = unpacked(arrays, shape=shape)
    splits = splits_of(arrays, shape=shape, classes=classes, keep=source.keep)
    for split in (splits.train, splits.practice, splits.final):
        if split is not None:
            _check_hash(split, source.pinned.get(split.name))
            _check_grid(split, grid)
    return splits


def _check_hash(split: Split, pinned: str | None) -> None:
    if pinned is not None and split.sha256 != pinned:
        raise TaskError(
            f"The {split.name} split has SHA-256 {split.sha256}, but the task pins "
            f"{pinned}: get the data file that belongs to it, or pin the new hash and raise "
            "`version`."
        )


def _check_grid(split: Split, grid: int | None) -> None:
    if grid is None:
        return
    steps = split.x.astype(np.float64) * (grid - 1)
    if np.abs(steps - np.rint(steps)).max() > 1e-6 * grid:
        raise TaskError(
            f"The {split.name} split has values off the task's grid of {grid} levels: round it to "
            f"multiples of 1/{grid - 1}, or leave `grid` out."
        )
