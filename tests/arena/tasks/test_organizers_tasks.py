"""Every field of an organizer's task is checked, and every refusal names its remedy."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arena import tasks
from arena.errors import TaskError
from arena.tasks import TaskWarning

Organize = Callable[..., Path]


def test_oscars_task_is_loaded_from_its_path(organize: Organize) -> None:
    task = tasks.load(organize())
    assert (task.name, task.shape, task.floor) == ("oscars-task", (3,), 0.8)
    assert task.norms == {"linf": (0.1, 0.2)}
    assert (task.grid, task.cost, task.mutable, task.abstention_share) == (None, None, None, 0.2)
    assert (len(task.train), len(task.practice)) == (60, 40)
    assert not task.is_image


def test_a_path_may_be_a_text(organize: Organize) -> None:
    assert tasks.load(str(organize())).name == "oscars-task"


def test_a_task_in_the_data_directory_is_listed_and_loaded_by_name(
    organize: Organize, user_data: Path
) -> None:
    organize(folder=user_data)
    assert "oscars-task" in tasks.names()
    assert tasks.load("oscars-task").name == "oscars-task"


def test_a_file_must_be_named_as_its_task_is(
    organize: Organize, user_data: Path, toml: str
) -> None:
    organize(folder=user_data, toml=toml.replace("oscars-task", "other"))
    with pytest.raises(TaskError, match="let the file and `name` agree"):
        tasks.load("oscars-task")


def test_nobody_takes_a_house_tasks_name(organize: Organize, toml: str) -> None:
    path = organize(toml=toml.replace("oscars-task", "mnist5k"))
    with pytest.raises(TaskError, match="choose another name"):
        tasks.load(path)


def test_an_edited_task_is_read_anew(organize: Organize, toml: str) -> None:
    path = organize()
    assert tasks.load(path).floor == 0.8
    path.write_text(toml.replace("floor = 0.8", "floor = 0.85"))
    assert tasks.load(path).floor == 0.85


def test_the_digest_follows_the_data(organize: Organize, tmp_path: Path) -> None:
    same = [tasks.load(organize(folder=tmp_path / part)).digest for part in ("a", "b")]
    labels = np.zeros(60, dtype=int)
    labels[:20] = 1
    other = tasks.load(organize(folder=tmp_path / "c", y_train=labels)).digest
    assert same[0] == same[1] != other


def test_cost_mask_and_grid_are_kept(organize: Organize, toml: str) -> None:
    rules = "grid = 256\ncost = [[0, 1], [5, 0]]\nmutable = [true, false, true]\n[norms]"
    images = np.random.default_rng(0).integers(0, 256, size=(60, 3), dtype=np.uint8)
    task = tasks.load(
        organize(toml=toml.replace("[norms]", rules), x_train=images, x_test=images[:40])
    )
    assert task.cost is not None
    assert task.mutable is not None
    assert task.cost[1, 0] == 5
    assert task.mutable.tolist() == [True, False, True]
    assert task.grid == 256
    np.testing.assert_allclose(task.train.x, images / 255, rtol=1e-6)


def test_an_add_only_mask_names_and_an_attackers_class_are_kept(
    organize: Organize, toml: str
) -> None:
    rules = """add_only = [true, false, true]
features = ["one", "two", "three"]
attacker_class = "right"
[norms]"""
    task = tasks.load(organize(toml=toml.replace("[norms]", rules)))
    assert task.add_only is not None
    assert task.add_only.tolist() == [True, False, True]
    assert task.features == ("one", "two", "three")
    assert task.attacker_class == 1


def test_one_true_stands_for_every_feature(organize: Organize, toml: str) -> None:
    task = tasks.load(organize(toml=toml.replace("[norms]", "add_only = true\n[norms]")))
    assert task.add_only is not None
    assert task.add_only.tolist() == [True, True, True]


def test_packed_features_are_one_bit_each(organize: Organize, toml: str) -> None:
    x = np.random.default_rng(0).integers(0, 2, size=(60, 3), dtype=np.uint8)
    bits = np.packbits(x, axis=-1)
    text = toml.replace('file = "points.npz"', 'file = "points.npz"\npacked = true')
    task = tasks.load(organize(toml=text, x_train=bits, x_test=bits[:40]))
    assert (task.train.x == x).all()
    assert task.train.x.dtype == np.float32


def test_what_is_not_packed_is_told_how_to_be(organize: Organize, toml: str) -> None:
    text = toml.replace('file = "points.npz"', 'file = "points.npz"\npacked = true')
    with pytest.raises(TaskError, match=r"store numpy\.packbits"):
        _ = tasks.load(organize(toml=text)).train


BAD_TOML = [
    ("floor = 0.8", "floor = 0.8\nadd_only = false", "`add_only` must be a nested list"),
    ("floor = 0.8", "floor = 0.8\nadd_only = [0, 1, 0]", "`add_only` must hold true and false"),
    ("floor = 0.8", 'floor = 0.8\nfeatures = ["a", "b"]', "names 2 features"),
    ("floor = 0.8", 'floor = 0.8\nattacker_class = "up"', "must be one of the classes"),
    ('file = "points.npz"', 'file = "points.npz"\npacked = 1', "`packed` must be true or false"),
    ("floor = 0.8", "", "`floor` is missing"),
    ("floor = 0.8", "floor = 80", "`floor` must be a number from 0 to 1"),
    ("floor = 0.8", "floor = nan", "`floor` must be a number from 0 to 1"),
    ("floor = 0.8", "floor = 0.8\nflor = 0.9", "`flor` is not a key of a task"),
    ("floor = 0.8", "floor = 0.8\nabstention_share = 2", "`abstention_share` must be"),
    ("floor = 0.8", "floor = 0.8\ngrid = 1", "`grid` must be a whole number from 2"),
    ("floor = 0.8", "floor = 0.8\ncost = [[0, 1]]", r"`cost` must be a nested list of shape"),
    ("floor = 0.8", "floor = 0.8\ncost = [[0, 1], [2]]", r"`cost` must be a nested list of shape"),
    ("floor = 0.8", "floor = 0.8\ncost = [[1, 1], [1, 0]]", "must be 0 on the diagonal"),
    ("floor = 0.8", "floor = 0.8\ncost = [[0, -1], [1, 0]]", "not negative"),
    ("floor = 0.8", "floor = 0.8\nmutable = [false, false, false]", "true at least once"),
    ("floor = 0.8", "floor = 0.8\nmutable = [1, 0, 1]", "true and false"),
    ("schema_version = 1", "schema_version = 2", "`schema_version` must be"),
    ("version = 1\ntitle", "version = 0\ntitle", "`version` must be"),
    ('"oscars-task"', '"Oscar\'s task"', "lower-case letters, digits and hyphens"),
    ('title = "Oscar\'s task"', "title = 3", "`title` must be a text"),
    ("shape = [3]", "shape = []", "`shape` must be a list of whole numbers"),
    ("shape = [3]", "shape = [0]", "`shape` must be a list of whole numbers"),
    ("shape = [3]", "shape = [3, 1, 1, 1, 1]", "at most 4 dimensions"),
    ('["left", "right"]', '["left", "left"]', "different texts"),
    ('["left", "right"]', '["left"]', "at least 2"),
    ("linf = [0.1, 0.2]", "linf = [0.2, 0.1]", "`linf` must ascend"),
    ("linf = [0.1, 0.2]", "linf = [0.1, 2]", "`linf` must ascend, above 0 and at most 1"),
    ("linf = [0.1, 0.2]", "linf = [true]", "`linf` must be a list of finite numbers"),
    ("linf = [0.1, 0.2]", "l0 = [1.5]", "`l0` counts features"),
    ("linf = [0.1, 0.2]", "l7 = [0.1]", "`l7` is not a key"),
    ("linf = [0.1, 0.2]", "", "another norm must be given"),
    ('file = "points.npz"', "", "`file` or `loader` must be given"),
    ('file = "points.npz"', 'loader = "cifar"', "`loader` must be one of digits"),
    ('file = "points.npz"', 'file = "../points.npz"', "must lie beside the task's TOML"),
    ('file = "points.npz"', 'file = "/etc/passwd"', "must lie beside the task's TOML"),
    ('"points.npz"', '"points.npz"\nkeep = [1, 1]', "names a label twice"),
    ('"points.npz"', '"points.npz"\ntrain_sha256 = "beef"', "64 lower-case hexadecimal"),
    ("[data]", "[data", "not readable as TOML"),
]


@pytest.mark.parametrize(("old", "new", "complaint"), BAD_TOML)
def test_a_bad_field_is_refused_by_name(
    organize: Organize, toml: str, old: str, new: str, complaint: str
) -> None:
    assert old in toml
    with pytest.raises(TaskError, match=complaint):
        tasks.load(organize(toml=toml.replace(old, new, 1)))


def test_a_link_out_of_the_folder_is_not_followed(organize: Organize, tmp_path: Path) -> None:
    path = organize(folder=tmp_path / "task")
    (tmp_path / "task" / "points.npz").rename(tmp_path / "outside.npz")
    (tmp_path / "task" / "points.npz").symlink_to(tmp_path / "outside.npz")
    with pytest.raises(TaskError, match="must lie beside the task's TOML"):
        tasks.load(path)


GOOD = np.full((60, 3), 0.5)
BAD_ARRAYS: list[tuple[dict[str, Any], str]] = [
    ({"y_test": None}, "lacks y_test"),
    ({"x_final": GOOD}, "lacks y_final"),
    ({"x_extra": GOOD}, "holds x_extra, which no task knows"),
    ({"x_train": GOOD.reshape(60, 1, 3)}, "has shape"),
    ({"x_train": np.float64(0.5)}, "has shape"),
    ({"x_train": GOOD[:0], "y_train": np.arange(0)}, "at least one example per class"),
    ({"x_train": np.where(np.eye(60, 3) > 0, np.nan, GOOD)}, "NaN or infinity"),
    ({"x_train": np.where(np.eye(60, 3) > 0, np.inf, GOOD)}, "NaN or infinity"),
    ({"x_train": GOOD * 255}, r"ranges over \[127.5, 127.5\]: scale every feature"),
    ({"x_train": GOOD - 1}, "scale every feature"),
    ({"x_train": np.ones((60, 3), dtype=np.int64)}, "has dtype int64"),
    ({"y_train": np.arange(59) % 2}, "one label for each of 60"),
    ({"y_train": (np.arange(60) % 2).astype(float)}, "store labels as integers"),
    ({"y_train": np.arange(60) % 3}, "labels from 0 to 2, but the task names 2 classes"),
    ({"y_train": np.arange(60) % 2 - 1}, "labels from -1"),
    ({"x_train": np.array([object()] * 60, dtype=object)}, "no Python objects"),
]


@pytest.mark.parametrize(("arrays", "complaint"), BAD_ARRAYS)
def test_a_bad_array_is_refused_with_the_remedy(
    organize: Organize, arrays: dict[str, Any], complaint: str
) -> None:
    task = tasks.load(organize(**arrays))
    with pytest.raises(TaskError, match=complaint):
        _ = task.train


def test_a_pickle_in_the_archive_is_never_run(organize: Organize, tmp_path: Path) -> None:
    class Mallory:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "mallory-was-here"),)

    task = tasks.load(organize(x_train=np.array([Mallory()] * 60, dtype=object)))
    with pytest.raises(TaskError, match="no Python objects"):
        _ = task.train
    assert not (tmp_path / "mallory-was-here").exists()


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(
    organize: Organize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arena.tasks.npz.LARGEST_ARCHIVE_BYTES", 1_000)
    task = tasks.load(organize())
    with pytest.raises(TaskError, match="give fewer examples"):
        _ = task.train


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_archive_is_refused(
    organize: Organize, tmp_path: Path, content: bytes
) -> None:
    task = tasks.load(organize())
    (tmp_path / "points.npz").write_bytes(content)
    with pytest.raises(TaskError, match="cannot be read as a numpy archive"):
        _ = task.train


def test_an_archive_with_a_damaged_member_is_refused(organize: Organize, tmp_path: Path) -> None:
    task = tasks.load(organize())
    with zipfile.ZipFile(tmp_path / "points.npz", "w") as archive:
        for key in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{key}.npy", b"\x93NUMPY\x01\x00 nonsense")
    with pytest.raises(TaskError, match="cannot be read as a numpy archive"):
        _ = task.train


def test_a_missing_archive_is_named(organize: Organize, tmp_path: Path) -> None:
    task = tasks.load(organize())
    (tmp_path / "points.npz").unlink()
    with pytest.raises(TaskError, match=r"no data file points\.npz"):
        _ = task.train


def test_a_missing_task_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="There is no task file"):
        tasks.load(tmp_path / "nothing.toml")


def test_a_rare_class_is_warned_of(organize: Organize) -> None:
    labels = np.zeros(60, dtype=int)
    labels[0] = 1
    task = tasks.load(organize(y_train=labels))
    with pytest.warns(TaskWarning, match="class 1 has 1 of 60 examples"):
        _ = task.train


def test_data_that_do_not_match_the_pinned_hash_are_refused(organize: Organize, toml: str) -> None:
    pinned = toml + f'train_sha256 = "{"0" * 64}"\n'
    task = tasks.load(organize(toml=pinned))
    with pytest.raises(TaskError, match="get the data file that belongs to it"):
        _ = task.train


def test_data_off_the_grid_are_refused(organize: Organize, toml: str) -> None:
    task = tasks.load(organize(toml=toml.replace("[norms]", "grid = 256\n[norms]")))
    with pytest.raises(TaskError, match="off the task's grid of 256 levels"):
        _ = task.train


def test_a_task_may_let_its_players_use_a_gpu(organize: Organize, toml: str) -> None:
    assert tasks.load(organize()).device == "cpu"
    on_gpu = tasks.load(organize(toml=toml.replace("floor =", 'device = "cuda"\nfloor =', 1)))
    assert on_gpu.device is tasks.Device.CUDA
    assert on_gpu.public_json()["device"] == "cuda"
    with pytest.raises(TaskError, match="must be one of cpu, cuda"):
        tasks.load(organize(toml=toml.replace("floor =", 'device = "tpu"\nfloor =', 1)))


def test_tasks_on_a_gpu_are_told_from_the_rest(
    organize: Organize, user_data: Path, toml: str
) -> None:
    organize(folder=user_data, toml=toml.replace("floor =", 'device = "cuda"\nfloor =', 1))
    assert tasks.on_a_gpu(["digits", "oscars-task", "never-heard-of"]) == ["oscars-task"]
