"""Oscar organizes: his task is a TOML file and an archive that a test may bend before loading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TOML = """
schema_version = 1
name = "oscars-task"
version = 1
title = "Oscar's task"
description = "Two clouds of points."
licence = "CC0"
shape = [3]
classes = ["left", "right"]
floor = 0.8

[norms]
linf = [0.1, 0.2]

[data]
file = "points.npz"
"""

Organize = Callable[..., Path]


@pytest.fixture(autouse=True)
def user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the data directory of whoever runs it."""
    monkeypatch.setenv("ADVERSARIUM_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "tasks"


def clouds(n: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) float64 in [0, 1] and (n,) labels, both classes alike in number."""
    generator = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = generator.normal(0.3 + 0.4 * y[:, None], 0.1, size=(n, 3))
    return np.clip(x, 0, 1), y


@pytest.fixture
def organize(tmp_path: Path) -> Organize:
    """``organize(toml=..., x_train=..., ...)``: writes Oscar's task, gives the TOML's path.

    An array given as None is left out.
    """

    def write(*, toml: str = TOML, folder: Path = tmp_path, **arrays: Any) -> Path:
        x_train, y_train = clouds(60, seed=0)
        x_test, y_test = clouds(40, seed=1)
        stored: dict[str, Any] = {
            "x_train": x_train,
            "y_train": y_train,
            "x_test": x_test,
            "y_test": y_test,
        }
        stored.update(arrays)
        folder.mkdir(parents=True, exist_ok=True)
        given = {key: array for key, array in stored.items() if array is not None}
        np.savez_compressed(folder / "points.npz", allow_pickle=True, **given)
        path = folder / "oscars-task.toml"
        path.write_text(toml)
        return path

    return write


@pytest.fixture
def toml() -> str:
    return TOML
