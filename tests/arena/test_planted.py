"""The planted example exists: the theorem, checked."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from safetensors.numpy import load

from arena import tasks
from arena.planted import CONFIDENCE, LOW, Planted, largest_change, plant
from arena.rounds import Norm

EPSILONS = {Norm.LINF: 0.2, Norm.L2: 1.5, Norm.L1: 9.0, Norm.L0: 6.0}


def planted(norm: Norm, *, by_probes: bool = False, seed: int = 1) -> Planted:
    return plant(
        tasks.load("digits"),
        norm=norm,
        epsilon=EPSILONS[norm],
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
    delta, left = np.zeros_like(w), epsilon if norm is Norm.L1 else epsilon * LOW
    for j in np.argsort(-np.abs(w)):
        step = min(LOW, left)
        delta[j], left = -step * np.sign(w[j]), left - step
    return delta


@pytest.mark.parametrize("norm", list(Norm))
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


@pytest.mark.parametrize("norm", list(Norm))
def test_the_largest_change_is_that_of_the_best_move(norm: Norm) -> None:
    w = np.random.default_rng(3).normal(size=64)
    best = -float(best_move(w, norm, EPSILONS[norm]) @ w)
    assert largest_change(w, norm=norm, epsilon=EPSILONS[norm]) == pytest.approx(best)


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
