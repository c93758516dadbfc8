"""The planted example exists: the theorem, checked."""

from __future__ import annotations

import io
import itertools
import sys

import numpy as np
import pytest
from safetensors.numpy import load

from arena import tasks
from arena.changes.corruptions import CERTAIN, KINDS, corrupted
from arena.changes.warp import warped
from arena.planted import CONFIDENCE, LOW, Planted, largest_change, plant
from arena.rounds import Norm

EPSILONS = {Norm.LINF: 0.2, Norm.L2: 1.5, Norm.L1: 9.0, Norm.L0: 6.0, Norm.PATCH: 0.1}
MOVES = {Norm.SPATIAL: 30.0, Norm.CORRUPTION: 3.0}


def planted(norm: Norm, *, by_probes: bool = False, seed: int = 1) -> Planted:
    return plant(
        tasks.load("digits"),
        norm=norm,
        epsilon=(EPSILONS | MOVES)[norm],
        examples=10,
        rng=np.random.default_rng(seed),
        by_probes=by_probes,
    )


def logits(case: Planted, x: np.ndarray) -> np.ndarray:
    weights = load(io.BytesIO(case.defense.files["weights.safetensors"]).getvalue())
    return x.reshape(len(x), -1) @ weights["1.weight"].T + weights["1.bias"]


def best_move(w: np.ndarray, norm: Norm, epsilon: float) -> np.ndarray:
    """The perturbation that lowers <w, .> most, with |delta_j| <= LOW."""
    if norm is Norm.LINF:
        return -min(epsilon, LOW) * np.sign(w)
    if norm is Norm.L2:
        return -np.clip(epsilon * w / np.linalg.norm(w), -LOW, LOW)
    if norm is Norm.PATCH:
        return best_patch(w.reshape(8, 8), int(epsilon * 64)).ravel()
    delta, left = np.zeros_like(w), epsilon if norm is Norm.L1 else epsilon * LOW
    for j in np.argsort(-np.abs(w)):
        step = min(LOW, left)
        delta[j], left = -step * np.sign(w[j]), left - step
    return delta


def best_patch(w: np.ndarray, pixels: int) -> np.ndarray:
    """By looking at every rectangle."""
    best = np.zeros_like(w)
    for rows, columns in itertools.product(range(1, 9), range(1, 9)):
        if rows * columns > pixels:
            continue
        for r, c in itertools.product(range(9 - rows), range(9 - columns)):
            delta = np.zeros_like(w)
            part = slice(r, r + rows), slice(c, c + columns)
            delta[part] = -LOW * np.sign(w[part])
            if (delta * w).sum() < (best * w).sum():
                best = delta
    return best


@pytest.mark.parametrize("norm", list(EPSILONS))
@pytest.mark.parametrize("by_probes", [False, True])
def test_a_perturbation_within_the_budget_breaks_every_planted_example(
    norm: Norm, by_probes: bool
) -> None:
    case = planted(norm, by_probes=by_probes)
    split = case.task.practice
    x = split.x.reshape(len(split), -1).astype(np.float64)
    before = logits(case, x)
    assert np.array_equal(before.argmax(axis=1), split.y)
    weights = load(case.defense.files["weights.safetensors"])["1.weight"].astype(np.float64)
    for row, y in zip(x, split.y, strict=True):
        delta = best_move(weights[y] - weights[1 - y], norm, EPSILONS[norm])
        moved = row + delta
        assert moved.min() >= 0
        assert moved.max() <= 1
        assert logits(case, moved[None]).argmax() == 1 - y


@pytest.mark.parametrize("norm", list(EPSILONS))
def test_the_largest_change_is_that_of_the_best_move(norm: Norm) -> None:
    w = np.random.default_rng(3).normal(size=64)
    best = -float(best_move(w, norm, EPSILONS[norm]) @ w)
    change = largest_change(w, norm=norm, epsilon=EPSILONS[norm], shape=(1, 8, 8))
    assert change == pytest.approx(best)


@pytest.mark.parametrize("task", ["digits", "mnist5k"])
def test_a_planted_turn_breaks_what_was_right(task: str) -> None:
    """Some turn and shift of a fine grid breaks every example, none of which was wrong before."""
    case = plant(
        tasks.load(task),
        norm=Norm.SPATIAL,
        epsilon=30.0,
        examples=10,
        rng=np.random.default_rng(2),
    )
    split = case.task.practice
    assert (logits(case, split.x).argmax(axis=1) == split.y).all()
    standing = np.ones(len(split), bool)
    for move in itertools.product(np.linspace(-30, 30, 13), *[np.linspace(-3, 3, 7)] * 2):
        moved = warped(split.x, np.repeat(np.array([move]), len(split), axis=0))
        standing &= logits(case, moved).argmax(axis=1) == split.y
    assert not standing.any()


@pytest.mark.parametrize("task", ["digits", "mnist5k"])
def test_one_certain_corruption_breaks_every_planted_example(task: str) -> None:
    case = plant(
        tasks.load(task),
        norm=Norm.CORRUPTION,
        epsilon=3.0,
        examples=10,
        rng=np.random.default_rng(2),
    )
    split, seeds = case.task.practice, np.zeros(10, np.uint64)
    assert (logits(case, split.x).argmax(axis=1) == split.y).all()
    kinds = [np.array([[KINDS.index(kind), 3]] * 10) for kind in CERTAIN]
    broken = [logits(case, corrupted(split.x, k, seeds)).argmax(axis=1) != split.y for k in kinds]
    assert any(row.all() for row in broken)


def test_planted_answers_are_sure_but_leave_gradients_to_follow() -> None:
    case = planted(Norm.LINF)
    found = logits(case, case.task.practice.x)
    gap = np.abs(found[:, 0] - found[:, 1])
    assert gap == pytest.approx(CONFIDENCE, rel=1e-3)


def test_the_plant_is_placed_afresh() -> None:
    one, other = planted(Norm.LINF, seed=1), planted(Norm.LINF, seed=2)
    assert one.defense.sha256 != other.defense.sha256
    assert one.task.digest != other.task.digest


def test_planting_needs_no_library_that_the_referee_s_jail_does_not_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = load  # imported before it is taken away
    for name in ("safetensors", "safetensors.numpy", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    case = planted(Norm.LINF)
    weights = library(case.defense.files["weights.safetensors"])
    assert {name: tensor.dtype for name, tensor in weights.items()} == {
        "1.weight": np.float32,
        "1.bias": np.float32,
    }
    assert weights["1.weight"].shape == (10, 64)
