"""Reads a TOML table key by key, so that every complaint names the file, the key and the remedy."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Never

import numpy as np
from numpy.typing import NDArray

from arena.errors import TaskError

REQUIRED: Final = object()


class Table:
    """One table of a TOML file. :meth:`finish` refuses the keys that nobody asked for.

    A ``default`` is what an absent key gives; without one the key is required.
    """

    def __init__(self, values: Mapping[str, Any], *, where: str) -> None:
        self._values = dict(values)
        self._where = where
        self._known: set[str] = set()

    @classmethod
    def read(cls, path: Path) -> Table:
        """The whole file at ``path``; :class:`TaskError` where it is no TOML."""
        try:
            return cls(tomllib.loads(path.read_text("utf-8")), where=path.name)
        except FileNotFoundError:
            raise TaskError(f"There is no task file {path}: check the path.") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise TaskError(f"{path.name} is not readable as TOML: {error}.") from error

    def refuse(self, key: str, complaint: str) -> Never:
        raise TaskError(f"{self._where}: `{key}` {complaint}.")

    def value(self, key: str, default: Any = REQUIRED) -> Any:
        self._known.add(key)
        if key in self._values:
            return self._values[key]
        if default is REQUIRED:
            self.refuse(key, "is missing: add it")
        return default

    def table(self, key: str, default: Any = REQUIRED) -> Table:
        value = self.value(key, default)
        if not isinstance(value, dict):
            self.refuse(key, f"must be a table: write [{key}]")
        return Table(value, where=f"{self._where} [{key}]")

    def __contains__(self, key: str) -> bool:
        self._known.add(key)
        return key in self._values

    def array(self, key: str, *, shape: tuple[int, ...]) -> NDArray[Any]:
        """A nested list as an array of ``shape``; the caller checks dtype and values."""
        try:
            array = np.array(self.value(key))
        except ValueError:  # rows of different lengths
            array = np.empty(0)
        if array.shape != shape:
            self.refuse(key, f"must be a nested list of shape {list(shape)}")
        return array

    def text(self, key: str, default: Any = REQUIRED) -> str:
        value = self.value(key, default)
        if not isinstance(value, str) or not value.strip():
            self.refuse(key, "must be a text that is not empty")
        return value.strip()

    def texts(self, key: str, *, least: int) -> tuple[str, ...]:
        value = self.value(key)
        plain = isinstance(value, list) and all(isinstance(v, str) and v.strip() for v in value)
        if not plain or len(value) < least or len(set(value)) < len(value):
            self.refuse(key, f"must be a list of at least {least} different texts")
        return tuple(value)

    def integer(self, key: str, default: Any = REQUIRED, *, least: int, most: int) -> int:
        value = self.value(key, default)
        if type(value) is not int or not least <= value <= most:
            self.refuse(key, f"must be a whole number from {least} to {most}, not {value!r}")
        return int(value)

    def integers(self, key: str, *, least: int, most: int) -> tuple[int, ...]:
        value = self.value(key)
        whole = isinstance(value, list) and all(
            type(v) is int and least <= v <= most for v in value
        )
        if not whole or not value:
            self.refuse(key, f"must be a list of whole numbers from {least} to {most}")
        return tuple(value)

    def number(self, key: str, default: Any = REQUIRED, *, least: float, most: float) -> float:
        value = self.value(key, default)
        if not is_number(value) or not least <= value <= most:
            self.refuse(key, f"must be a number from {least:g} to {most:g}, not {value!r}")
        return float(value)

    def numbers(self, key: str) -> tuple[float, ...]:
        value = self.value(key)
        if not isinstance(value, list) or not value or not all(map(is_number, value)):
            self.refuse(key, "must be a list of finite numbers")
        return tuple(float(v) for v in value)

    def flag(self, key: str, default: Any = REQUIRED) -> bool:
        value = self.value(key, default)
        if not isinstance(value, bool):
            self.refuse(key, f"must be true or false, not {value!r}")
        return value

    def finish(self) -> None:
        """Refuses what nobody asked for: a misspelt key must not pass for a default."""
        unknown = sorted(self._values.keys() - self._known)
        if unknown:
            self.refuse(
                unknown[0],
                "is not a key of a task: remove it or correct its spelling "
                f"(known here: {', '.join(sorted(self._known))})",
            )


def is_number(value: object) -> bool:
    """Whether ``value`` is a finite int or float; TOML also knows booleans, nan and inf."""
    return type(value) is int or (type(value) is float and math.isfinite(value))
