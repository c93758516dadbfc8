"""Oscar brings data of his own: what becomes of them, and what he hears when they make no task."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arena import tasks
from arena.errors import TaskError
from arena.rounds import BEYOND_BALLS, GameName, Norm
from arena.tasks.own_data import Wishes, import_own
from arena.tasks.task import Scaling, Target
from arena.tasks.usual import usual_epsilons

HEADER = ["age", "income", "married", "paid"]


def people(rows: int, seed: int = 0) -> list[list[Any]]:
    """Who earns more pays; nobody is there twice."""
    stream = np.random.default_rng(seed)
    age, income = stream.uniform(18, 80, rows), stream.permutation(np.linspace(100, 900, rows))
    married = stream.integers(0, 2, rows)
    return [
        [f"{a:.3f}", f"{i:.3f}", m, "yes" if i > 400 else "no"]
        for a, i, m in zip(age, income, married, strict=True)
    ]


def table(
    path: Path, rows: Iterable[Iterable[Any]], header: list[str] = HEADER, *, between: str = ","
) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=between).writerows([header, *rows])
    return path


@pytest.fixture
def loans(tmp_path: Path) -> Path:
    return table(tmp_path / "loans.csv", people(100))


def arrays(tmp_path: Path, **given: Any) -> Path:
    path = tmp_path / "own.npz"
    np.savez(path, **given)
    return path


PAID = Wishes(label="paid")


def test_a_table_becomes_a_task_of_scaled_columns(loans: Path, user_data: Path) -> None:
    found = import_own("loans", loans, PAID)
    assert found.path == user_data / "loans.toml"
    assert found.notes[0].startswith("70 examples to train on, 30 to test; 2 classes")
    task = tasks.load("loans")
    assert (task.classes, task.features) == (("no", "yes"), ("age", "income", "married"))
    assert task.scaling is not None
    assert task.scaling.high[1] == 900.0
    assert task.scaling.low[2:] == (0.0,)
    x = np.concatenate([task.train.x, task.practice.x])
    assert (x.min(axis=0) == 0).all()
    assert (x.max(axis=0) == 1).all()


def test_a_round_in_any_norm_has_usual_sizes(loans: Path, user_data: Path) -> None:
    import_own("loans", loans, PAID)
    task = tasks.load("loans")
    for norm in Norm:
        if norm not in BEYOND_BALLS:
            assert usual_epsilons(GameName.EVASION, norm, task), norm


def test_what_was_measured_comes_back_from_the_scaling(loans: Path, user_data: Path) -> None:
    import_own("loans", loans, PAID)
    task = tasks.load("loans")
    assert task.scaling is not None
    low, high = (np.array(bound) for bound in (task.scaling.low, task.scaling.high))
    told = low + task.practice.x * (high - low)
    given = np.array([[float(cell) for cell in row[:3]] for row in people(100)])
    apart = np.abs(told[:, None] - given[None]).max(axis=2)
    assert apart.min(axis=1).max() < 1e-3


def test_each_class_gives_its_share_to_the_test_split(loans: Path, user_data: Path) -> None:
    import_own("loans", loans, Wishes(label="paid", share=0.2))
    task = tasks.load("loans")
    every = np.concatenate([task.train.y, task.practice.y])
    assert np.bincount(task.practice.y).tolist() == np.round(0.2 * np.bincount(every)).tolist()


def test_the_same_seed_draws_the_same_split(loans: Path, tmp_path: Path) -> None:
    one, same, other = (
        tasks.load(import_own(name, loans, Wishes(label="paid", seed=seed), tmp_path / "to").path)
        for name, seed in (("one", 1), ("same", 1), ("other", 2))
    )
    assert one.practice.sha256 == same.practice.sha256 != other.practice.sha256


def test_equal_rows_stay_on_one_side(tmp_path: Path, user_data: Path) -> None:
    import_own("twice", table(tmp_path / "twice.csv", people(40) * 2), PAID)
    task = tasks.load("twice")
    train, practice = ({row.tobytes() for row in split.x} for split in (task.train, task.practice))
    assert not train & practice
    assert len(task.train) + len(task.practice) == 80


def test_columns_are_chosen_and_ordered_by_name(loans: Path, user_data: Path) -> None:
    import_own("loans", loans, Wishes(label="paid", features=("married", "age")))
    assert tasks.load("loans").features == ("married", "age")


@pytest.mark.parametrize("between", [";", "\t"])
def test_semicolons_and_tabs_serve_as_well(tmp_path: Path, user_data: Path, between: str) -> None:
    path = table(tmp_path / "loans.csv", people(30), between=between)
    import_own("loans", path, PAID)
    assert len(tasks.load("loans").train) > 0


def test_a_test_table_of_ones_own_is_the_test_split(
    loans: Path, tmp_path: Path, user_data: Path
) -> None:
    test = table(tmp_path / "test.csv", people(20, seed=9))
    import_own("loans", loans, Wishes(label="paid", test=test))
    task = tasks.load("loans")
    assert (len(task.train), len(task.practice)) == (100, 20)


def test_numbers_as_labels_are_ordered_by_size(tmp_path: Path, user_data: Path) -> None:
    rows = [[i, i * i, 1, label] for i, label in enumerate([10, 9, 2] * 10)]
    import_own("numbers", table(tmp_path / "n.csv", [[*r[:2], r[0] % 2, r[3]] for r in rows]), PAID)
    assert tasks.load("numbers").classes == ("2", "9", "10")


def test_the_floor_lies_between_guessing_and_what_class_means_reach(
    tmp_path: Path, user_data: Path
) -> None:
    x = np.r_[np.zeros((20, 2)), np.ones((20, 2))] + np.linspace(0, 0.1, 40)[:, None]
    own = arrays(tmp_path, x=x, y=np.repeat([0, 1], 20))
    import_own("apart", own, Wishes())
    assert tasks.load("apart").floor == 0.75
    import_own("told", own, Wishes(floor=0.6))
    assert tasks.load("told").floor == 0.6


# ── arrays ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("shape", "stored"),
    [((6, 5), (1, 6, 5)), ((6, 5, 3), (3, 6, 5)), ((3, 6, 5), (3, 6, 5)), ((1, 6, 5), (1, 6, 5))],
)
def test_images_come_with_their_channels_first(
    tmp_path: Path, user_data: Path, shape: tuple[int, ...], stored: tuple[int, ...]
) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, *shape), dtype=np.uint8)
    import_own("images", arrays(tmp_path, x=x, y=np.arange(40) % 4), Wishes())
    task = tasks.load("images")
    assert task.shape == stored
    assert task.scaling is None
    first = x[0] if stored[1:] == shape[-2:] else np.moveaxis(x[0], -1, 0)
    every = np.concatenate([task.train.x, task.practice.x])
    assert (np.abs(every - first.reshape(stored) / np.float32(255)).max(axis=(1, 2, 3)) == 0).any()


def test_a_table_in_the_unit_cube_stays_as_it_is(tmp_path: Path, user_data: Path) -> None:
    x = np.random.default_rng(0).uniform(0.2, 0.8, (30, 3)).astype(np.float32)
    own = arrays(tmp_path, x=x, y=np.array(["ham", "spam"] * 15), features=np.array(list("abc")))
    import_own("mails", own, Wishes())
    task = tasks.load("mails")
    assert (task.scaling, task.classes, task.features) == (None, ("ham", "spam"), ("a", "b", "c"))
    assert {row.tobytes() for row in task.train.x} < {row.tobytes() for row in x}


def test_test_and_final_splits_are_kept(tmp_path: Path, user_data: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    parts = {f"x{k}": x[i::3] for i, k in enumerate(("_train", "_test", "_final"))}
    labels = {f"y{k}": np.arange(20) % 2 for k in ("_train", "_test", "_final")}
    import_own("three", arrays(tmp_path, **parts, **labels), Wishes())
    task = tasks.load("three")
    assert len(task.final(b"")) == 20
    assert task.scaling is not None
    assert task.scaling.low == tuple(x.min(axis=0))


# ── values ─────────────────────────────────────────────────────────────────────────────────


def lakes(count: int, winters: int = 12) -> list[list[float]]:
    return [
        [1950 + t, lake, 120 - t * (1 + lake / 10)] for lake in range(count) for t in range(winters)
    ]


ICE = Wishes(label="days", features=("winter", "lake"), regression=True, unit="days", licence="CC0")


def test_series_become_a_regression_task_and_stay_whole(tmp_path: Path, user_data: Path) -> None:
    path = table(tmp_path / "ice.csv", lakes(10), ["winter", "lake", "days"])
    import_own("ice", path, ICE)
    task = tasks.load("ice")
    assert task.target == Target("days", "days", 120 - 11 * 1.9, 120.0)
    assert task.scaling == Scaling((1950.0, 0.0), (1961.0, 9.0))
    assert not set(task.train.x[:, 1]) & set(task.practice.x[:, 1])
    assert (len(task.train), len(task.practice)) == (7 * 12, 3 * 12)


def test_a_single_series_needs_a_second_for_the_test(tmp_path: Path, user_data: Path) -> None:
    header = ["winter", "days"]
    one = table(tmp_path / "one.csv", [[t, 9.0 - t] for t in range(9)], header)
    two = table(tmp_path / "two.csv", [[t, 1.0 + t] for t in range(9)], header)
    wishes = Wishes(label="days", regression=True)
    with pytest.raises(TaskError, match="cannot be divided"):
        import_own("trend", one, wishes)
    import_own("trend", one, Wishes(label="days", regression=True, test=two))
    assert tasks.load("trend").shape == (1,)


# ── what is no task ────────────────────────────────────────────────────────────────────────


def rows_with(column: int, value: Any, row: int = 3) -> list[list[Any]]:
    rows = people(30)
    rows[row][column] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "wishes", "sentence"),
    [
        (people(30), Wishes(), "Name the column of labels"),
        (people(30), Wishes(label="owed"), "no column 'owed'.* age, income"),
        (people(30), Wishes(label="paid", features=("age", "age")), "each column once"),
        (people(30), Wishes(label="paid", share=1.0), "between 0 and 1"),
        (people(30), Wishes(label="income"), "holds 'yes', which is no number"),
        (rows_with(0, "old"), PAID, r"row 5: column 'age' holds 'old'"),
        (rows_with(0, ""), PAID, "row 5: column 'age' holds ''"),
        (rows_with(1, "nan"), PAID, "row 5: column 'income' holds 'nan'"),
        (rows_with(1, "1e999"), PAID, "which is no number"),
        (rows_with(3, " "), PAID, "row 5 has no paid"),
        ([*people(30), [1, 2]], PAID, "row 32 has 2 cells"),
        ([], PAID, "no row below"),
        ([[a, b, 7, d] for a, b, _, d in people(30)], PAID, "married is 7 in every row"),
        ([[a, b, c, "no"] for a, b, c, _ in people(30)], PAID, "name 1 classes"),
        (rows_with(3, "perhaps"), PAID, "'perhaps' has 1 examples in the data"),
        ([[*row[:3], i] for i, row in enumerate(people(300))], PAID, "give --regression"),
        (
            people(30),
            Wishes(label="paid", regression=True),
            "values to learn are no numbers: 'yes'",
        ),
        (
            people(30),
            Wishes(label="income", features=("age", "married", "paid"), regression=True),
            "holds 'yes', which is no number",
        ),
        (
            [[a, b, c, a] for a, b, c, _ in people(30)],
            Wishes(label="paid", regression=True),
            "one feature, time, or two",
        ),
    ],
)
def test_a_table_that_is_no_task_is_told_what_to_do(
    tmp_path: Path, user_data: Path, rows: list[list[Any]], wishes: Wishes, sentence: str
) -> None:
    with pytest.raises(TaskError, match=sentence):
        import_own("own", table(tmp_path / "own.csv", rows), wishes)
    assert not user_data.exists() or not list(user_data.iterdir())


GOOD = {"x": np.random.default_rng(1).uniform(size=(20, 3)), "y": np.arange(20) % 2}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"y": GOOD["y"][:-1]}, "one label for each example"),
        ({"y": None}, "both x and y"),
        ({"x": GOOD["x"] * np.nan}, "NaN or infinity"),
        ({"x": GOOD["x"].astype(object)}, "no Python objects"),
        ({"x": GOOD["x"].astype(str)}, "x holds numbers"),
        ({"y": GOOD["y"] + 0.5}, "give --regression"),
        ({"x": np.zeros((20, 2, 2, 2, 2))}, "images are"),
        ({"x": np.full((20, 4, 4), 7.0) * np.arange(20)[:, None, None]}, "divide them"),
        ({"z": GOOD["x"]}, "give x and y"),
        ({"x_train": GOOD["x"], "y_train": GOOD["y"]}, "keep one"),
        ({"features": np.array(["a"])}, "one for each of the 3"),
        ({"x_test": GOOD["x"][:, :2], "y_test": GOOD["y"]}, "different shapes"),
        ({"x_test": GOOD["x"][:9] / 2, "y_test": np.zeros(9, int)}, "'1' has 0 examples in the te"),
        ({"x_test": GOOD["x"][:9], "y_test": GOOD["y"][:9]}, "9 of 20 examples of the train split"),
    ],
)
def test_arrays_that_are_no_task_are_told_what_to_do(
    tmp_path: Path, user_data: Path, changed: dict[str, Any], sentence: str
) -> None:
    given = {key: value for key, value in {**GOOD, **changed}.items() if value is not None}
    with pytest.raises(TaskError, match=sentence):
        import_own("own", arrays(tmp_path, **given), Wishes())
    assert not user_data.exists() or not list(user_data.iterdir())


def test_what_the_test_split_holds_too_is_left_out_when_asked(
    tmp_path: Path, user_data: Path
) -> None:
    own = arrays(tmp_path, **GOOD, x_test=GOOD["x"][:9], y_test=GOOD["y"][:9])
    import_own("own", own, Wishes(drop_duplicates=True))
    task = tasks.load("own")
    assert (len(task.train), len(task.practice)) == (11, 9)


def test_a_rare_class_is_told(tmp_path: Path, user_data: Path) -> None:
    x = np.random.default_rng(0).uniform(size=(200, 2))
    found = import_own("rare", arrays(tmp_path, x=x, y=(np.arange(200) < 8).astype(int)), Wishes())
    assert any("class 1 has" in note for note in found.notes)


@pytest.mark.parametrize("name", ["digits", "mnist", "Own", "a/b", ""])
def test_a_name_that_is_taken_or_none_is_refused(loans: Path, user_data: Path, name: str) -> None:
    with pytest.raises(TaskError, match="cannot be the name"):
        import_own(name, loans, PAID)


def test_a_task_gives_way_only_when_asked_and_its_version_tells(
    loans: Path, user_data: Path, tmp_path: Path
) -> None:
    import_own("loans", loans, PAID)
    with pytest.raises(TaskError, match="--replace"):
        import_own("loans", loans, PAID)
    first = tasks.load("loans")
    more = table(tmp_path / "more.csv", people(150))
    import_own("loans", more, Wishes(label="paid", replace=True))
    second = tasks.load("loans")
    assert (first.version, second.version) == (1, 2)
    assert len(first.train) + len(first.practice) == 100
    assert len(second.train) + len(second.practice) == 150
