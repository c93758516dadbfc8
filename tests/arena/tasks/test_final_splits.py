from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arena import tasks
from arena.errors import TaskError
from arena.tasks import Split, Task, TaskWarning
from arena.tasks.task import Splits

SECRET = b"Oscar's secret, thirty-two bytes"
PINNED_FINAL_DIGITS = "22191809b64ec8b7f77f1b73cc3f267d15ee13a386d40cec32c1170eb41a10b6"
ANOTHER = b"another secret of the same size!"


def flat(split: Split) -> np.ndarray:
    return split.x.reshape(len(split), -1)


def tabular(x: np.ndarray, y: np.ndarray, **rules: Any) -> Task:
    split = Split("practice", x.astype(np.float32), y)
    settings: dict[str, Any] = {
        "name": "table",
        "title": "Table",
        "description": "",
        "shape": x.shape[1:],
        "classes": ("no", "yes"),
        "floor": 0.8,
        "norms": {"linf": (0.1,)},
        "licence": "CC0",
        "version": 1,
        "read": lambda: Splits(train=split, practice=split),
    }
    return Task(**(settings | rules))


@pytest.mark.parametrize("name", ["digits", "mnist-1-7"])
def test_a_final_split_differs_with_the_secret_and_not_otherwise(name: str) -> None:
    task = tasks.load(name)
    assert task.final(SECRET).sha256 == task.final(SECRET).sha256
    assert task.final(SECRET).sha256 != task.final(ANOTHER).sha256


def test_a_final_split_is_the_same_on_every_machine() -> None:
    """The hash is pinned: a library that moves a pixel must be noticed, not published."""
    assert tasks.load("digits").final(SECRET).sha256 == PINNED_FINAL_DIGITS


@pytest.mark.parametrize("name", ["digits", "mnist-1-7"])
def test_a_final_split_keeps_labels_range_and_precision_but_no_image(name: str) -> None:
    task = tasks.load(name)
    final = task.final(SECRET)
    assert final.name == "final"
    assert final.x.shape == task.practice.x.shape
    assert final.x.dtype == np.float32
    assert np.bincount(final.y).tolist() == np.bincount(task.practice.y).tolist()
    assert final.x.min() >= 0
    assert final.x.max() <= 1
    steps = final.x.astype(np.float64) * (task.splits.levels - 1)
    assert np.abs(steps - np.rint(steps)).max() < 1e-4
    published = {image.tobytes() for image in task.practice.x}
    kept = sum(image.tobytes() in published for image in final.x)
    assert kept < 0.01 * len(final)


def test_a_final_image_shows_what_its_practice_image_shows() -> None:
    """The nearest practice image has the same label nearly always: labels moved with images."""
    task = tasks.load("mnist-1-7")
    final = task.final(SECRET).take(range(100))
    distance = ((flat(final)[:, None] - flat(task.practice)[None]) ** 2).sum(axis=2)
    assert np.mean(task.practice.y[distance.argmin(axis=1)] == final.y) == 1


@pytest.mark.parametrize("name", ["digits", "mnist5k", "fashion5k"])
def test_a_final_split_keeps_the_reference_within_two_points(name: str) -> None:
    from sklearn.svm import SVC

    task = tasks.load(name)
    train = task.train.take(range(min(2_000, len(task.train))))
    reference = SVC(C=10.0).fit(flat(train), train.y)
    practice = reference.score(flat(task.practice), task.practice.y)
    final = task.final(SECRET)
    assert abs(reference.score(flat(final), final.y) - practice) < 0.02


def test_a_table_is_jittered_inside_its_own_precision() -> None:
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression

    data = load_breast_cancer()
    low, high = data.data.min(axis=0), data.data.max(axis=0)
    task = tabular((data.data - low) / (high - low), data.target)
    final = task.final(SECRET)
    assert final.sha256 != task.final(ANOTHER).sha256
    nearest = np.abs(final.x[:, None] - task.practice.x[None]).max(axis=2).min(axis=1)
    assert np.median(nearest) > 0
    assert nearest.max() <= 0.005 + 1e-6
    model = LogisticRegression(max_iter=1_000).fit(task.practice.x, task.practice.y)
    kept = model.score(final.x, final.y) - model.score(task.practice.x, task.practice.y)
    assert abs(kept) < 0.02


def test_codes_absent_values_and_features_that_may_not_change_stay() -> None:
    generator = np.random.default_rng(0)
    x = generator.random((200, 4))
    x[:, 0] = generator.integers(0, 2, 200)  # a code
    x[:100, 1] = 0.0  # absent in half of the rows
    task = tabular(x, np.arange(200) % 2, mutable=np.array([True, True, True, False]))
    final = task.final(SECRET)
    for feature in (0, 3):
        assert sorted(final.x[:, feature]) == sorted(task.practice.x[:, feature])
    assert (final.x[:, 1] == 0).sum() == 100
    assert not set(final.x[:, 2].tolist()) <= set(task.practice.x[:, 2].tolist())


def test_a_table_without_room_for_change_is_reordered_and_says_so() -> None:
    codes = (np.arange(80).reshape(40, 2) % 2).astype(float)
    task = tabular(codes, np.arange(40) % 2)
    with pytest.warns(TaskWarning, match="add x_final and y_final"):
        task.final(SECRET)


def test_of_words_that_are_there_a_few_are_lost_and_none_appears() -> None:
    task = tasks.load("spamassassin-words")
    final, practice = task.final(SECRET), task.practice
    kept = final.x.sum() / practice.x.sum()
    assert 0.94 < kept < 0.96
    assert set(np.unique(final.x)) == {0.0, 1.0}
    assert np.bincount(final.y).tolist() == np.bincount(practice.y).tolist()
    assert final.x.sum(0).max() <= practice.x.sum(0).max()
    assert (final.x.sum(0) <= practice.x.sum(0)).all()
    assert task.final(ANOTHER).sha256 != final.sha256


def test_an_image_task_with_a_grid_keeps_to_it() -> None:
    images = np.random.default_rng(0).integers(0, 3, size=(20, 1, 8, 8)) / 2
    task = tabular(images, np.arange(20) % 2, grid=3)
    assert set(np.unique(task.final(SECRET).x)) <= {0.0, 0.5, 1.0}


def test_an_organizers_own_final_split_is_used_whatever_the_secret(
    organize: Callable[..., Path],
) -> None:
    x = np.full((4, 3), 0.25)
    task = tasks.load(organize(x_final=x, y_final=np.array([0, 1, 0, 1])))
    assert task.final(SECRET) is task.final(ANOTHER)
    assert task.final(b"").x.tolist() == x.tolist()
    assert task.public_json()["splits"]["final"] == {  # type: ignore[index]
        "size": 4,
        "origin": "organizer",
    }


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(TaskError, match=r"secrets\.token_bytes\(32\)"):
        tasks.load("digits").final(b"")


def test_nothing_on_a_task_page_depends_on_the_secret() -> None:
    task = tasks.load("digits")
    before = task.public_json()
    hidden = task.final(SECRET).sha256
    assert task.public_json() == before
    assert hidden not in str(before)
