"""What both seats of a match share: a session with one jail, its clock, its end."""

from __future__ import annotations

from typing import Any, Final, Self

import numpy as np

from arena.manifest import Manifest
from arena.sandbox.session import Session
from arena.wire import FLOAT32, FLOAT64, INT64, Array


class Seat:
    """What both seats share: a session, its clock and its end."""

    def __init__(self, session: Session, shape: tuple[int, ...], columns: int) -> None:
        self.session = session
        self._shape = shape
        self._columns = columns

    @property
    def manifest(self) -> Manifest:
        return self.session.manifest

    @property
    def seconds(self) -> float:
        """Wall time on this player's own clock."""
        return self.session.seconds

    def close(self) -> str:
        """Kill the jail; the capped log of what the player printed."""
        return self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def floats(x: Array) -> Array:
    return np.ascontiguousarray(x, np.float32)


_KINDS: Final = {"f": np.float32, "i": np.int64, "u": np.uint64, "b": np.bool_}


def sendable(array: Array) -> Array:
    """Contiguous, in a dtype that frames know."""
    if array.dtype is FLOAT32 and array.flags.c_contiguous:
        return array
    return np.ascontiguousarray(array, _KINDS[np.asarray(array).dtype.kind])


def told_as(y: Array) -> np.dtype[Any]:
    """Labels, or the values of a regression task."""
    return FLOAT64 if np.asarray(y).dtype.kind == "f" else INT64
