from __future__ import annotations

import numpy as np
import pytest

from arena.errors import TaskError
from arena.tasks import Split
from arena.tasks.seeds import frozen_stream, stratified_sample


def split(n: int = 4) -> Split:
    x = np.linspace(0, 1, 2 * n).reshape(n, 2)
    return Split("practice", x.astype(np.float32), np.arange(n) % 2)


def test_a_split_counts_its_examples() -> None:
    assert len(split(4)) == 4


def test_a_split_is_named_by_its_content() -> None:
    assert split().sha256 == split().sha256
    assert split().sha256 != split(5).sha256
    relabelled = Split("practice", split().x, 1 - split().y)
    assert split().sha256 != relabelled.sha256
    reshaped = Split("practice", split().x.reshape(4, 1, 2), split().y)
    assert split().sha256 != reshaped.sha256


def test_taking_examples_keeps_each_with_its_label() -> None:
    taken = split().take([3, 0])
    assert taken.y.tolist() == [1, 0]
    assert taken.x.tolist() == split().x[[3, 0]].tolist()
    assert taken.name == "practice"


def test_examples_are_taken_by_mask_as_well_and_none_at_all() -> None:
    assert len(split().take(split().y == 1)) == 2
    assert len(split().take([])) == 0


def test_a_match_cannot_change_the_examples_of_the_next() -> None:
    with pytest.raises(ValueError, match="read-only"):
        split().x[0] = 1.0


def test_whoever_made_a_split_may_still_write_to_their_own_array() -> None:
    mine = np.zeros((2, 2), dtype=np.float32)
    Split("practice", mine, np.zeros(2, dtype=np.int64))
    mine[0] = 1.0


def test_examples_without_labels_are_refused() -> None:
    with pytest.raises(TaskError, match="one label per example"):
        Split("practice", np.zeros((3, 2), dtype=np.float32), np.zeros(2, dtype=np.int64))


def test_a_stratified_sample_keeps_the_proportions() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    rows = stratified_sample(labels, size=50, stream=frozen_stream(b"test"))
    assert np.bincount(labels[rows]).tolist() == [30, 15, 5]
    assert len(set(rows.tolist())) == 50


def test_left_over_seats_go_to_the_largest_remainders() -> None:
    labels = np.repeat([0, 1, 2], [5, 3, 2])
    rows = stratified_sample(labels, size=4, stream=frozen_stream(b"test"))
    assert np.bincount(labels[rows]).tolist() == [2, 1, 1]


def test_seed_parts_do_not_run_into_each_other() -> None:
    first = frozen_stream(b"ab", b"c").randint(2**31)
    assert first == frozen_stream(b"ab", b"c").randint(2**31)
    assert first != frozen_stream(b"a", b"bc").randint(2**31)
