"""Rows that an attack asks about belong to the example that lies nearest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from arena import tasks
from arena.games.owners import FEW_EXAMPLES, FEW_FEATURES, Nearest

Array = NDArray[Any]


def _signs(rng: np.random.Generator, x: Array) -> Array:
    return np.asarray(rng.choice([-0.3, 0.3], x.shape))


def _dense(rng: np.random.Generator, x: Array) -> Array:
    return rng.normal(0, 0.1, x.shape)


def _sparse(rng: np.random.Generator, x: Array) -> Array:
    return np.asarray((rng.random(x.shape) < 0.03) * rng.choice([-1.0, 1.0], x.shape))


def _nothing(_rng: np.random.Generator, x: Array) -> Array:
    return np.zeros(x.shape)


def _by_definition(x: Array, clean: Array) -> Array:
    flat, far = x.reshape(len(x), -1).astype(float), clean.reshape(len(clean), -1).astype(float)
    return np.array([((far - row) ** 2).sum(axis=1).argmin() for row in flat])


@pytest.mark.parametrize("moved", [_signs, _dense, _sparse, _nothing])
def test_a_perturbed_picture_belongs_to_the_one_it_was_made_from(
    moved: Callable[[np.random.Generator, Array], Array],
) -> None:
    rng, clean = np.random.default_rng(0), tasks.load("mnist5k").practice.x[:600]
    of = rng.permutation(len(clean))[:300]
    x = np.clip(clean[of] + moved(rng, clean[of]), 0, 1).astype(np.float32)
    found = Nearest(clean)(x)
    assert (found == of).all()
    assert (found == _by_definition(x, clean)).all()
    assert (Nearest(clean).measured(x) == found).all()


@pytest.mark.parametrize(
    ("examples", "features"), [(1, 400), (FEW_EXAMPLES, 400), (600, FEW_FEATURES)]
)
def test_few_are_all_measured(examples: int, features: int) -> None:
    rng = np.random.default_rng(1)
    clean = rng.random((examples, features), np.float32)
    x = rng.random((50, features), np.float32)
    assert (Nearest(clean)(x) == _by_definition(x, clean)).all()


def test_between_two_that_look_alike_in_few_directions_the_nearer_one_is_taken() -> None:
    """Examples that differ by less than what is left out of the first look."""
    rng, clean = np.random.default_rng(2), tasks.load("mnist5k").practice.x[:600].copy()
    clean[1] = np.clip(clean[0] + rng.normal(0, 0.02, clean[0].shape), 0, 1)
    for twin in (0, 1):
        x = np.clip(clean[[twin]] + rng.normal(0, 0.005, (20, *clean[0].shape)), 0, 1)
        assert (Nearest(clean)(x) == twin).all()


def test_no_rows_belong_to_nobody() -> None:
    clean = np.random.default_rng(3).random((600, 1, 28, 28), np.float32)
    assert Nearest(clean)(clean[:0]).shape == (0,)
