"""Labelled examples that every match of a process shares."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arena.errors import TaskError

Scalar = TypeVar("Scalar", bound=np.generic)


class TaskWarning(UserWarning):
    """A data set that can be played but probably should not be, and what to do about it."""


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled examples: ``x`` (n, *shape) float32 in [0, 1] and ``y`` (n,) int64.

    In a regression task ``y`` holds values, (n,) float64 in [0, 1].

    Both arrays are read-only, since every match of a process shares them: take ``x.copy()`` where
    a writable one is needed (``torch.tensor(split.x)`` copies, ``torch.from_numpy`` does not).
    """

    name: str
    x: NDArray[np.float32]
    y: NDArray[Any]

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise TaskError(
                f"Split {self.name!r} has {len(self.x)} examples but {len(self.y)} labels: "
                "give one label per example."
            )
        object.__setattr__(self, "x", _read_only(self.x, np.float32))
        values = np.asarray(self.y).dtype.kind == "f"
        object.__setattr__(self, "y", _read_only(self.y, np.float64 if values else np.int64))

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def sha256(self) -> str:
        """Hex SHA-256 over shape, dtype and little-endian bytes of ``x``, then of ``y``."""
        digest = hashlib.sha256()
        for array in (self.x, self.y):
            portable = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{portable.dtype.str}{portable.shape};".encode())
            digest.update(portable.data)
        return digest.hexdigest()

    def take(self, indices: ArrayLike) -> Split:
        """The examples at ``indices`` (integers or a boolean mask), in that order."""
        rows = np.asarray(indices)
        rows = rows if rows.dtype == bool else rows.astype(np.int64)
        return Split(self.name, self.x[rows], self.y[rows])


def _read_only(array: NDArray[Any], dtype: type[Scalar]) -> NDArray[Scalar]:
    view = np.asarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True)
class Splits:
    """What a task's data file holds. ``levels``: distinct values that its precision allows."""

    train: Split
    practice: Split
    final: Split | None = None
    levels: int = 2**16
