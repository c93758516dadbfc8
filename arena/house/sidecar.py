"""``weights/weights.toml``: where each weight file comes from, and what it reached."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

FILE_NAME: Final = "weights.toml"
_HEAD: Final = (
    "# Written by `make house-weights` (arena/house/train.py), one table a weight file.\n"
    "# recipe: SHA-256 of its recipe in recipes.py and of its architecture's source.\n"
)


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The tables of ``weights.toml`` in that folder, by name of weight file."""
    path = folder / FILE_NAME
    if not path.is_file():
        return {}
    found = path.stat()
    return dict(_parsed(path, found.st_mtime_ns, found.st_size))


@lru_cache(maxsize=8)
def _parsed(path: Path, _modified: int, _size: int) -> Mapping[str, dict[str, Any]]:
    return tomllib.loads(path.read_text("utf-8"))


def record(folder: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Set one table and write the file anew, in the order of names."""
    tables = read(folder) | {name: dict(entry)}
    text = "\n".join(_table(key, tables[key]) for key in sorted(tables))
    (folder / FILE_NAME).write_text(f"{_HEAD}\n{text}", "utf-8")


def _table(name: str, entry: Mapping[str, Any]) -> str:
    lines = [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in entry.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
