"""Numbers from a stranger: one pass must find what two slow ones find."""

from __future__ import annotations

import numpy as np
import pytest

from arena.ranges import FEW, all_finite, in_order, in_unit_interval

ODD = (np.nan, np.inf, -np.inf, -1e-45, -1.0, 1.0000001, 3e38, -3e38)


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("shape", [(1, 4), (3, 2, 5), (200, 1, 28, 28)])
def test_one_number_outside_is_found_wherever_it_stands(
    value: float, shape: tuple[int, ...]
) -> None:
    for place in (0, -1):
        x = np.full(shape, 0.5, np.float32)
        x.reshape(-1)[place] = value
        assert not in_unit_interval(x)


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, 1e-45, np.nextafter(np.float32(1), 0)])
def test_the_edges_are_inside(value: float) -> None:
    assert in_unit_interval(np.array([[0.25, value]], np.float32))


def test_views_and_nothing_at_all() -> None:
    x = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    assert in_unit_interval(x[:, ::2, ::-1])
    x[1, 2, 3] = 2
    assert not in_unit_interval(x[:, ::2, ::-1])
    assert in_unit_interval(np.zeros((0, 4), np.float32))


@pytest.mark.parametrize("size", [1, FEW, FEW + 1, 5000])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_that_is_not_finite_is_found_among_few_and_many(value: float, size: int) -> None:
    x = np.full((1, size), 3e38, np.float32)
    assert all_finite(x)
    for place in (0, -1):
        bad = x.copy()
        bad[0, place] = value
        assert not all_finite(bad)


@pytest.mark.parametrize(
    ("numbers", "fits"),
    [([], True), ([0], True), ([4], True), ([5], False), ([-1], False), ([0, 4], True)],
)
def test_numbers_of_examples(numbers: list[int], fits: bool) -> None:
    assert in_order(np.array(numbers, np.int64), 5) is fits


def test_numbers_of_examples_among_many() -> None:
    assert not in_order(np.array([0, 5, 1]), 5)
    assert not in_order(np.array([0, -1, 1]), 5)
    assert not in_order(np.array([2**63 + 1], np.uint64), 5)
