"""Reads an organizer's data file: a numpy archive that nothing in it is trusted of.

Keys: ``x_train``, ``y_train``, ``x_test``, ``y_test``, and optionally ``x_final``, ``y_final``.
Images as uint8 are divided by 255; floats must lie in [0, 1]. Labels are integers from 0; a
regression task's values are floats in [0, 1].
"""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import TaskError
from arena.tasks.split import Split, Splits, TaskWarning

REQUIRED_KEYS: Final = frozenset({"x_train", "y_train", "x_test", "y_test"})
FINAL_KEYS: Final = frozenset({"x_final", "y_final"})
LARGEST_ARCHIVE_BYTES: Final = 4 * 2**30  # unpacked
COMMON_LEVELS: Final = (2, 17, 256)
MOST_LEVELS: Final = 2**16
RAREST_CLASS_SHARE: Final = 0.2  # of an even share, below which the balance is warned of

Arrays = Mapping[str, NDArray[Any]]


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """A task's arrays, by the keys that every task's archive has."""
    if not path.is_file():
        raise TaskError(
            f"There is no data file {path.name} beside the task's TOML: put it there, or correct "
            "[data] file."
        )
    arrays = read_arrays(path)
    _check_keys(set(arrays), path)
    return arrays


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the archive at ``path``, without running anything that is in it."""
    try:
        _refuse_bomb(path)
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        raise TaskError(f"There is no file {path}: check the path.") from None
    except TaskError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise TaskError(
            f"{path.name} cannot be read as a numpy archive ({error}): write it with "
            "numpy.savez_compressed and plain arrays, no Python objects."
        ) from error


def _refuse_bomb(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > LARGEST_ARCHIVE_BYTES:
        raise TaskError(
            f"{path.name} unpacks to {unpacked / 2**30:.1f} GiB, more than the "
            f"{LARGEST_ARCHIVE_BYTES / 2**30:.0f} GiB allowed: give fewer examples."
        )


def _check_keys(keys: set[str], path: Path) -> None:
    missing = REQUIRED_KEYS - keys
    if keys & FINAL_KEYS:
        missing |= FINAL_KEYS - keys
    if missing:
        raise TaskError(f"{path.name} lacks {_listed(missing)}: add what is missing.")
    unknown = keys - REQUIRED_KEYS - FINAL_KEYS
    if unknown:
        raise TaskError(
            f"{path.name} holds {_listed(unknown)}, which no task knows: remove it. The keys are "
            f"{_listed(REQUIRED_KEYS)} and optionally {_listed(FINAL_KEYS)}."
        )


def _listed(keys: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(keys))


def unpacked(arrays: Arrays, *, shape: tuple[int, ...]) -> Arrays:
    """Every ``x_...`` from eight features a byte, (n, *shape[:-1], bytes), to 0 or 255 each."""
    wide = (*shape[:-1], -(-shape[-1] // 8))
    found = dict(arrays)
    for key in (name for name in arrays if name.startswith("x_")):
        bits = arrays[key]
        if bits.dtype != np.uint8 or bits.shape[1:] != wide:
            raise TaskError(
                f"{key} has dtype {bits.dtype} and shape {bits.shape}, but the task says that it "
                f"is packed: store numpy.packbits(x, axis=-1), uint8 of shape {('n', *wide)}."
            )
        found[key] = np.unpackbits(bits, axis=-1, count=shape[-1]) * np.uint8(255)
    return found


def splits_of(
    arrays: Arrays,
    *,
    shape: tuple[int, ...],
    classes: int | None,
    keep: tuple[int, ...] | None = None,
) -> Splits:
    """The checked splits in ``arrays``: every example of ``shape``, labels below ``classes``.

    ``classes`` None: a regression task, whose y are values.
    ``keep``: only the examples with one of these labels, relabelled by its place in ``keep``.
    """

    def split(name: str, key: str) -> Split:
        x = _inputs(arrays[f"x_{key}"], where=f"x_{key}", shape=shape)
        if classes is None:
            return Split(name, x, _values(arrays[f"y_{key}"], where=f"y_{key}", n=len(x)))
        y = _labels(arrays[f"y_{key}"], where=f"y_{key}", n=len(x))
        if keep is not None:
            x, y = _kept(x, y, keep)
        _check_labels(y, where=f"y_{key}", classes=classes)
        return Split(name, x, y)

    return Splits(
        train=split("train", "train"),
        practice=split("practice", "test"),
        final=split("final", "final") if "x_final" in arrays else None,
        levels=_levels(arrays["x_test"]),
    )


def _levels(x: NDArray[Any]) -> int:
    """The number of evenly spaced values in [0, 1] that ``x`` keeps to: its own precision."""
    if x.dtype == np.uint8:
        return 256
    for levels in COMMON_LEVELS:
        steps = x.astype(np.float64) * (levels - 1)
        if np.abs(steps - np.rint(steps)).max() < 1e-6 * levels:
            return levels
    return MOST_LEVELS


def _kept(
    x: NDArray[np.float32], y: NDArray[np.int64], keep: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rows = np.isin(y, keep)
    return x[rows], np.array([keep.index(label) for label in y[rows].tolist()], dtype=np.int64)


def _inputs(x: NDArray[Any], *, where: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(n, *shape) float32 in [0, 1]. Finite first, then range: NaN passes no comparison."""
    if x.ndim == 0 or x.shape[1:] != shape:
        raise TaskError(
            f"{where} has shape {x.shape}, but the task's examples have shape {shape}: store it "
            f"as {('n', *shape)}, or correct `shape`."
        )
    if x.dtype == np.uint8:
        return np.asarray(np.divide(x, 255, dtype=np.float32))
    if x.dtype.kind != "f":
        raise TaskError(
            f"{where} has dtype {x.dtype}: store images as uint8 (divided by 255 when read) or "
            "anything as floats in [0, 1]."
        )
    if not np.isfinite(x).all():
        raise TaskError(f"{where} holds NaN or infinity: fill in or drop those examples.")
    if x.size and (x.min() < 0 or x.max() > 1):
        raise TaskError(
            f"{where} ranges over [{x.min():g}, {x.max():g}]: scale every feature to [0, 1]."
        )
    return x.astype(np.float32)


def _labels(y: NDArray[Any], *, where: str, n: int) -> NDArray[np.int64]:
    if y.shape != (n,):
        raise TaskError(f"{where} has shape {y.shape}: give one label for each of {n} examples.")
    if y.dtype.kind not in "iu":
        raise TaskError(f"{where} has dtype {y.dtype}: store labels as integers.")
    return y.astype(np.int64)


def _values(y: NDArray[Any], *, where: str, n: int) -> NDArray[np.float64]:
    """(n,) float64 in [0, 1]. Finite first, then range."""
    if y.shape != (n,) or n == 0:
        raise TaskError(f"{where} has shape {y.shape}: give one value for each of {n} examples.")
    if y.dtype.kind != "f":
        raise TaskError(
            f"{where} has dtype {y.dtype}: a regression task's values are floats; for classes "
            "leave [target] out and name them in `classes`."
        )
    if not np.isfinite(y).all() or y.min() < 0 or y.max() > 1:
        raise TaskError(
            f"{where} holds values that are not numbers in [0, 1]: scale them, and say in "
            "[target] what 0 and 1 stand for."
        )
    return y.astype(np.float64)


def _check_labels(y: NDArray[np.int64], *, where: str, classes: int) -> None:
    if len(y) == 0:
        raise TaskError(f"{where} holds no label: give at least one example per class.")
    if y.min() < 0 or y.max() >= classes:
        raise TaskError(
            f"{where} holds labels from {y.min()} to {y.max()}, but the task names {classes} "
            f"classes: use labels 0 to {classes - 1}, or name every class."
        )
    counts = np.bincount(y, minlength=classes)
    rarest = int(counts.argmin())
    if counts[rarest] < RAREST_CLASS_SHARE * len(y) / classes:
        warnings.warn(
            f"{where}: class {rarest} has {counts[rarest]} of {len(y)} examples, so that accuracy "
            "hardly depends on it: add examples of it, or give the task a cost matrix.",
            TaskWarning,
            stacklevel=2,
        )
