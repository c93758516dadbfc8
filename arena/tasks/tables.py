"""Reads data files of one's own: a table as CSV, or arrays as NPZ. What they say is not trusted.

CSV: the first row names the columns; commas, semicolons or tabs between them; UTF-8. NPZ: ``x``
and ``y`` (or ``x_train`` and ``y_train``), optionally ``x_test``, ``y_test`` and ``x_final``,
``y_final``, and ``features``, the names of the columns of a table.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import TaskError
from arena.tasks.npz import Arrays, read_arrays

DELIMITERS: Final = (",", ";", "\t")
CHANNELS: Final = (1, 3)
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "train": ("", "_train"),
    "test": ("_test",),
    "final": ("_final",),
}
"""By split: how the names of its arrays end."""


@dataclass(frozen=True, eq=False)
class Raw:
    """One split as its file has it: ``x`` (n, ...) numbers, ``y`` (n,) numbers or texts."""

    x: NDArray[Any]
    y: NDArray[Any]


@dataclass(frozen=True, eq=False)
class RawData:
    """The splits by name ("train", and "test" and "final" where they are given).

    ``features``: names of the columns, where they have some. ``is_table``: cells of a CSV, whose
    columns each have a unit of their own, even where all lie in [0, 1].
    """

    splits: Mapping[str, Raw]
    features: tuple[str, ...] = ()
    is_table: bool = False


# ── CSV ────────────────────────────────────────────────────────────────────────────────────


def read_csv(
    path: Path, *, label: str, features: Sequence[str] = (), test: Path | None = None
) -> RawData:
    """Tables with the column ``label``, and the columns ``features``: all others if left empty.

    Raises :class:`TaskError` for a column that is not there, and for a cell that is no number,
    with its column and row.
    """
    header, rows = _rows(path)
    chosen = tuple(features) or tuple(name for name in header if name != label)
    found = {"train": _parsed(path, header, rows, label=label, features=chosen)}
    if test is not None:
        header, rows = _rows(test)
        found["test"] = _parsed(test, header, rows, label=label, features=chosen)
    return RawData(found, chosen, is_table=True)


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            rows = list(csv.reader(file, delimiter=delimiter, strict=True))
    except FileNotFoundError:
        raise TaskError(f"There is no file {path}: check the path.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TaskError(
            f"{path.name} cannot be read as CSV ({error}): save it as UTF-8, one row a line, "
            "with a first row that names the columns."
        ) from error
    header = [name.strip() for name in rows[0]] if rows else []
    if len(header) < 2 or not all(header) or len(set(header)) < len(header):
        raise TaskError(
            f"{path.name}: the first row must name two columns or more, each by another name."
        )
    return header, rows[1:]


def _parsed(
    path: Path,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    label: str,
    features: Sequence[str],
) -> Raw:
    missing = [name for name in (label, *features) if name not in header]
    if missing:
        raise TaskError(
            f"{path.name} has no column {', '.join(map(repr, missing))}: its columns are "
            f"{', '.join(header)}. Name the column of labels with --label."
        )
    if label in features or len(set(features)) < len(features):
        raise TaskError("Name each column once, and the column of labels by --label alone.")
    columns = [header.index(name) for name in features]
    at = header.index(label)
    x = np.empty((len(rows), len(columns)))
    y: list[str] = []
    kept = 0
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(row) != len(header):
            raise TaskError(
                f"{path.name}, row {line} has {len(row)} cells where {len(header)} columns are "
                "named: fill in what is missing, or put texts that hold the delimiter into "
                "quotes."
            )
        x[kept] = [_number(path, line, header[i], row[i]) for i in columns]
        y.append(row[at].strip())
        if not y[-1]:
            raise TaskError(f"{path.name}, row {line} has no {label}: fill it in or drop the row.")
        kept += 1
    if kept == 0:
        raise TaskError(f"{path.name} has no row below the names of its columns: add examples.")
    return Raw(x[:kept], np.array(y, dtype=np.str_))


def _number(path: Path, line: int, column: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise TaskError(
            f"{path.name}, row {line}: column {column!r} holds {cell!r}, which is no number. Fill "
            "it in or encode it as a number, or name the columns to use with --feature."
        )
    return value


# ── NPZ ────────────────────────────────────────────────────────────────────────────────────


def read_own_npz(path: Path) -> RawData:
    """The arrays by split; images come out as (n, channels, height, width)."""
    arrays = read_arrays(path)
    found: dict[str, Raw] = {}
    known = {"features"}
    for split, endings in KEYS.items():
        for ending in endings:
            pair = f"x{ending}", f"y{ending}"
            known |= set(pair)
            there = [key in arrays for key in pair]
            if any(there) and not all(there):
                raise TaskError(f"{path.name} must hold both {pair[0]} and {pair[1]}.")
            if all(there) and split in found:
                raise TaskError(f"{path.name} holds x and x_train: keep one of them.")
            if all(there):
                found[split] = _raw(arrays, *pair)
    unknown = set(arrays) - known
    if "train" not in found or unknown:
        raise TaskError(
            f"{path.name} holds {', '.join(sorted(arrays)) or 'nothing'}: give x and y, optionally "
            "x_test and y_test, x_final and y_final, and features (names of columns)."
        )
    return RawData(found, _features(arrays, found["train"], path))


def _raw(arrays: Arrays, x_key: str, y_key: str) -> Raw:
    x, y = arrays[x_key], arrays[y_key]
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if x.ndim < 2 or y.shape != (len(x),) or not len(x):
        raise TaskError(
            f"{x_key} has shape {x.shape} and {y_key} {y.shape}: give x (n, features), "
            "(n, height, width) or (n, channels, height, width), and one label for each example."
        )
    if x.dtype.kind not in "biuf" or y.dtype.kind not in "biufU":
        raise TaskError(
            f"{x_key} has dtype {x.dtype} and {y_key} {y.dtype}: x holds numbers, y numbers or "
            "texts."
        )
    if not np.isfinite(x).all() or (y.dtype.kind == "f" and not np.isfinite(y).all()):
        raise TaskError(f"{x_key} or {y_key} holds NaN or infinity: fill in or drop those rows.")
    return Raw(_channels_first(x, x_key), y)


def _channels_first(x: NDArray[Any], key: str) -> NDArray[Any]:
    if x.ndim == 2:
        return x
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and x.shape[1] in CHANNELS:
        return x
    if x.ndim == 4 and x.shape[3] in CHANNELS:
        return np.moveaxis(x, 3, 1)
    raise TaskError(
        f"{key} has shape {x.shape}: images are (n, height, width), with 1 or 3 channels "
        "(n, channels, height, width) or (n, height, width, channels)."
    )


def _features(arrays: Arrays, train: Raw, path: Path) -> tuple[str, ...]:
    if "features" not in arrays:
        return ()
    names = arrays["features"]
    if names.dtype.kind != "U" or train.x.ndim != 2 or names.shape != train.x.shape[1:]:
        raise TaskError(
            f"{path.name}: features must be texts, one for each of the {train.x.shape[1]} columns "
            "of a table."
        )
    return tuple(map(str, names))
