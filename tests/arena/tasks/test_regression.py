"""A regression task: values in place of classes, refused with a remedy where they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arena import tasks
from arena.errors import TaskError
from arena.tasks import ice_cover
from arena.tasks.taskfile import read_task

TOML = """schema_version = 1
name = "lakes"
version = 1
title = "Lakes"
description = "Levels."
licence = "CC0"
shape = [2]
floor = 0.5

[target]
name = "Level"
unit = "m"
low = 0.0
high = 10.0

[norms]
l2 = [0.1]

[data]
file = "lakes.npz"
"""


def task_in(folder: Path, toml: str = TOML, **arrays: np.ndarray) -> tasks.Task:
    x = np.stack([np.tile(np.linspace(0, 1, 10), 2), np.repeat([0.0, 1.0], 10)], axis=1)
    data = {"x_train": x, "y_train": x[:, 0], "x_test": x, "y_test": x[:, 0]} | arrays
    np.savez_compressed(folder / "lakes.npz", **data)
    (folder / "lakes.toml").write_text(toml)
    return read_task(folder / "lakes.toml")


def test_an_organizers_regression_task_is_read(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    assert task.is_regression
    assert task.classes == ()
    assert task.practice.y.dtype == np.float64
    assert task.public_json()["target"] == {"name": "Level", "unit": "m", "low": 0.0, "high": 10.0}


@pytest.mark.parametrize(
    ("old", "new", "remedy"),
    [
        ("floor = 0.5", 'floor = 0.5\nclasses = ["a", "b"]', "leave it out beside"),
        ("floor = 0.5", "floor = 0.5\ngrid = 17", "leave it out beside"),
        ("shape = [2]", "shape = [1, 8, 8]", "time, and which series"),
        ("high = 10.0", "high = -1.0", "must be more than low"),
        ('unit = "m"', 'unit = "m"\ncolour = "red"', "colour"),
    ],
)
def test_what_does_not_belong_to_it_is_refused(
    tmp_path: Path, old: str, new: str, remedy: str
) -> None:
    with pytest.raises(TaskError, match=remedy):
        task_in(tmp_path, TOML.replace(old, new))


@pytest.mark.parametrize(
    ("y", "remedy"),
    [
        (np.arange(20), "values are floats"),
        (np.linspace(0, 2, 20), "scale them"),
        (np.full(20, np.nan), "scale them"),
        (np.zeros(19), "one value for each"),
    ],
)
def test_values_that_are_none_are_refused(tmp_path: Path, y: np.ndarray, remedy: str) -> None:
    with pytest.raises(TaskError, match=remedy):
        _ = task_in(tmp_path, y_test=y).practice


def test_a_final_split_keeps_every_point_and_every_trend() -> None:
    task = tasks.load("ice-cover")
    final = task.final(b"secret" * 6)
    order, before = np.lexsort(final.x.T), np.lexsort(task.practice.x.T)
    assert np.array_equal(final.x[order], task.practice.x[before])
    moved = np.abs(final.y[order] - task.practice.y[before])
    assert 0 < moved.max() <= 0.005
    again = task.final(b"secret" * 6)
    assert np.array_equal(final.y, again.y)


def test_the_ice_is_synthetic_by_the_formula_that_it_names() -> None:
    task = tasks.load("ice-cover")
    assert "ynthetic" in task.title
    assert "no lake was measured" in task.description.lower()
    lakes = len(np.unique(task.practice.x[:, 1]))
    assert (lakes, len(task.practice)) == (
        ice_cover.PRACTICE_LAKES,
        ice_cover.PRACTICE_LAKES * ice_cover.YEARS,
    )
    days = task.practice.y * ice_cover.LONGEST
    assert np.allclose(days, np.rint(days))
    y = days.reshape(lakes, ice_cover.YEARS)
    years = np.arange(ice_cover.YEARS)
    slopes = np.polyfit(years, y.T, 1)[0]
    low, high = ice_cover.DECLINE
    assert (-high - 0.2 < slopes).all()
    assert slopes.mean() == pytest.approx(-(low + high) / 2, abs=0.03)
