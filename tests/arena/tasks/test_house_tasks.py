from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from arena import tasks
from arena.errors import TaskError
from arena.tasks import importing, library
from arena.tasks.make_vendored import VENDORED, vendored_arrays

FULL_SETS = Path(__file__).resolve().parents[4] / "shared" / "data"
SHIPPED = {
    "digits": ((1, 8, 8), 1_200, 597, 10),
    "mnist5k": ((1, 28, 28), 5_000, 2_000, 10),
    "fashion5k": ((1, 28, 28), 5_000, 2_000, 10),
    "mnist-1-7": ((1, 28, 28), 1_084, 433, 2),
}

needs_full_sets = pytest.mark.skipif(
    not FULL_SETS.is_dir(), reason="the full MNIST and Fashion-MNIST are not on this machine"
)


def test_the_house_offers_its_tasks_by_name() -> None:
    assert set(tasks.names()) == {*SHIPPED, "mnist", "fashion-mnist"}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_task_has_the_shape_sizes_and_classes_it_states(name: str) -> None:
    shape, train, practice, classes = SHIPPED[name]
    task = tasks.load(name)
    assert task.shape == shape
    assert task.is_image
    assert (len(task.train), len(task.practice)) == (train, practice)
    assert len(task.classes) == classes
    for split in (task.train, task.practice):
        assert split.x.shape == (len(split), *shape)
        assert split.x.dtype == np.float32
        assert split.y.dtype == np.int64
        assert split.x.min() >= 0
        assert split.x.max() == 1
        assert set(split.y.tolist()) == set(range(classes))


@pytest.mark.parametrize("name", SHIPPED)
def test_no_practice_image_is_also_a_train_image(name: str) -> None:
    task = tasks.load(name)
    seen = {image.tobytes() for image in task.train.x}
    assert not any(image.tobytes() in seen for image in task.practice.x)


def test_ones_and_sevens_are_those_of_mnist5k() -> None:
    whole, pair = tasks.load("mnist5k").train, tasks.load("mnist-1-7").train
    ones = whole.x[whole.y == 1]
    assert pair.take(pair.y == 0).x.tobytes() == ones.tobytes()
    assert len(pair) == len(ones) + int((whole.y == 7).sum())


@pytest.mark.parametrize(
    ("name", "floor"), [("digits", 0.85), ("fashion5k", 0.70), ("mnist-1-7", 0.95)]
)
def test_a_floor_lets_even_a_linear_model_pass(name: str, floor: float) -> None:
    from sklearn.linear_model import RidgeClassifier

    task = tasks.load(name)
    assert task.floor == floor
    model = RidgeClassifier(alpha=100.0 if task.shape[-1] == 28 else 1.0)
    model.fit(task.train.x.reshape(len(task.train), -1), task.train.y)
    assert model.score(task.practice.x.reshape(len(task.practice), -1), task.practice.y) > floor


def test_the_floor_of_mnist5k_is_nine_tenths() -> None:
    assert tasks.load("mnist5k").floor == 0.90


def test_a_task_can_be_sent_to_another_process() -> None:
    task = tasks.load("mnist-1-7")
    assert pickle.loads(pickle.dumps(task)).digest == task.digest


def test_a_task_is_loaded_once_and_shared() -> None:
    assert tasks.load("mnist5k").train.x is tasks.load("mnist5k").train.x


def test_loading_a_shipped_task_is_quick_and_imports_no_heavy_library() -> None:
    program = (
        "import sys; from arena import tasks; "
        "[tasks.load(n).practice for n in ('digits', 'mnist5k', 'fashion5k')]; "
        "heavy = {'django', 'torch', 'sklearn', 'scipy'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    started = time.monotonic()
    root = Path(tasks.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 5  # generous: the machine is shared


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_a_full_set_names_the_command_that_imports_it(name: str) -> None:
    with pytest.raises(TaskError, match=f"arena tasks import {name} --from DIR"):
        tasks.load(name)


def test_what_the_library_says_can_be_imported_is_what_can_be() -> None:
    assert set(library.IMPORTABLE) == set(importing.CANONICAL)
    assert set(library.IMPORTABLE) == set(VENDORED.values())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_task_page_gets_plain_json(name: str) -> None:
    task = tasks.load(name)
    page = task.public_json()
    assert json.loads(json.dumps(page)) == page
    assert page["floor"] == task.floor
    assert page["splits"]["practice"] == {  # type: ignore[index]
        "size": len(task.practice),
        "sha256": task.practice.sha256,
    }


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(TaskError, match="did you mean 'mnist5k'"):
        tasks.load("mnist5")


@needs_full_sets
@pytest.mark.parametrize("name", VENDORED)
def test_the_shipped_arrays_are_made_again_byte_for_byte(name: str) -> None:
    made = vendored_arrays(name, FULL_SETS / VENDORED[name])
    with np.load(library.HOUSE_DIRECTORY / "data" / f"{name}.npz") as shipped:
        assert set(shipped.files) == set(made)
        for key, array in made.items():
            assert shipped[key].dtype == array.dtype == np.uint8
            assert shipped[key].shape == array.shape
            assert shipped[key].tobytes() == array.tobytes()


@needs_full_sets
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_an_imported_full_set_is_found_by_its_name(name: str, user_data: Path) -> None:
    path = importing.import_idx(name, FULL_SETS / name)
    assert path == user_data / f"{name}.toml"
    task = tasks.load(name)
    assert (len(task.train), len(task.practice)) == (60_000, 10_000)
    assert sorted(file.name for file in user_data.iterdir()) == [f"{name}.npz", f"{name}.toml"]
