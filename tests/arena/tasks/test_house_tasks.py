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
from arena.tasks.make_mails import commonest, spamassassin_arrays, spambase_arrays
from arena.tasks.make_vendored import VENDORED, vendored_arrays

FULL_SETS = Path(__file__).resolve().parents[4] / "shared" / "data"
SHIPPED = {
    "digits": ((1, 8, 8), 1_200, 597, 10),
    "mnist5k": ((1, 28, 28), 5_000, 2_000, 10),
    "fashion5k": ((1, 28, 28), 5_000, 2_000, 10),
    "mnist-1-7": ((1, 28, 28), 1_084, 433, 2),
    "spambase": ((57,), 2_741, 1_371, 2),
    "spamassassin-words": ((1_500,), 3_811, 1_897, 2),
}
IMAGES = ("digits", "mnist5k", "fashion5k", "mnist-1-7")

needs_full_sets = pytest.mark.skipif(
    not FULL_SETS.is_dir(), reason="the full MNIST and Fashion-MNIST are not on this machine"
)


def test_the_house_offers_its_tasks_by_name() -> None:
    assert set(tasks.names()) == {*SHIPPED, "ice-cover", "mnist", "fashion-mnist"}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_task_has_the_shape_sizes_and_classes_it_states(name: str) -> None:
    shape, train, practice, classes = SHIPPED[name]
    task = tasks.load(name)
    assert task.shape == shape
    assert task.is_image == (name in IMAGES)
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
def test_no_practice_example_is_also_a_train_example(name: str) -> None:
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


@pytest.mark.parametrize("name", ["spambase", "spamassassin-words"])
def test_a_spam_task_names_its_features_and_the_class_of_its_attackers(name: str) -> None:
    task = tasks.load(name)
    assert (len(task.features),) == task.shape
    assert task.attacker_class is not None
    assert task.classes[task.attacker_class] == "spam"
    assert task.public_json()["features"] == list(task.features)
    assert task.public_json()["attacker_class"] == 1


def test_words_are_there_or_not_and_may_only_be_added() -> None:
    task = tasks.load("spamassassin-words")
    assert set(np.unique(task.practice.x)) == {0.0, 1.0}
    assert task.grid == 2
    assert task.add_only is not None
    assert task.add_only.all()
    assert task.mutable is None


def test_spambase_fixes_runs_of_capitals_and_lets_words_only_grow() -> None:
    task = tasks.load("spambase")
    assert task.mutable is not None
    assert task.add_only is not None
    assert task.cost is not None
    fixed = {name for name, free in zip(task.features, task.mutable, strict=True) if not free}
    free = {
        name
        for name, may, grows in zip(task.features, task.mutable, task.add_only, strict=True)
        if may and not grows
    }
    assert fixed == {"capitalAve", "capitalLong", "capitalTotal"}
    assert len(free) == 6
    assert all(name.startswith("char") for name in free)
    assert task.cost.tolist() == [[0.0, 5.0], [1.0, 0.0]]


def test_the_commonest_words_are_counted_once_a_mail_and_ties_go_by_the_alphabet() -> None:
    mails = [frozenset({"b", "c"}), frozenset({"c", "a"}), frozenset({"b", "d"})]
    assert commonest(mails, count=3) == ("b", "c", "a")


@pytest.mark.skipif(not FULL_SETS.is_dir(), reason="the mail corpora are not on this machine")
def test_the_shipped_mails_are_made_from_their_corpora() -> None:
    stored = {name: shipped_arrays(name) for name in ("spambase", "spamassassin-words")}
    measured = spambase_arrays(FULL_SETS / "spambase" / "spambase.csv.gz")
    mails, words = spamassassin_arrays(FULL_SETS / "spamassassin" / "mails.jsonl.gz")
    assert words == tasks.load("spamassassin-words").features
    for made, name in ((measured, "spambase"), (mails, "spamassassin-words")):
        for key, array in made.items():
            assert np.array_equal(array, stored[name][key]), (name, key)


def shipped_arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(library.HOUSE_DIRECTORY / "data" / f"{name}.npz") as archive:
        return dict(archive)


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
