"""Data-dependent sanitisation, the spectral filter and the certified bound, held to theory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arena import house, tasks
from arena.calibrate import poisoning
from arena.house.learners.data_dependent import least_hinge, sizes_of
from arena.house.learners.spectral_filter import filtered, filtered_mean
from arena.house.poisoners.certified_bound import Feasible, play
from arena.players import PoisoningChallenge

Array = Any


def blobs(m: int = 200, d: int = 6, seed: int = 0) -> tuple[Array, Array]:
    """Two classes that overlap."""
    draw = np.random.default_rng(seed)
    y = np.arange(m) % 2
    return np.clip(draw.normal(0.4 + 0.2 * y[:, None], 0.12, (m, d)), 0, 1), y


# ── the feasible set and the bound ─────────────────────────────────────────────────────────


def test_the_farthest_point_lies_in_sphere_slab_and_box_and_nothing_sampled_lies_farther() -> None:
    x, y = blobs()
    feasible = Feasible.of(x, y, 3.0)
    draw = np.random.default_rng(1)
    for label, rival in ((0, 1), (1, 0)):
        for _ in range(5):
            slope = draw.standard_normal(x.shape[1])
            point = feasible.farthest(slope, label, rival)
            mean, axis = feasible.means[label], feasible.means[label] - feasible.means[rival]
            assert np.linalg.norm(point - mean) <= feasible.radii[label]
            assert abs((point - mean) @ axis) <= feasible.slabs[label, rival]
            assert point.min() >= 0
            assert point.max() <= 1
            others = np.clip(mean + draw.normal(0, 0.2, (20_000, x.shape[1])), 0, 1)
            inside = np.linalg.norm(others - mean, axis=1) <= 0.98 * feasible.radii[label]
            inside &= np.abs((others - mean) @ axis) <= 0.98 * feasible.slabs[label, rival]
            assert inside.any()
            assert (others[inside] @ slope).max() <= point @ slope + 1e-6


@pytest.mark.parametrize("share", [0.03, 0.3])
def test_no_attack_in_the_set_leaves_the_best_model_more_loss_than_the_bound(share: float) -> None:
    x, y = blobs()
    feasible = Feasible.of(x, y, 3.0)
    found = play(x, y, feasible, share=share, rounds=60)
    count = int(share * len(x))
    points = np.stack(found.points)[np.resize(np.arange(30, 60), count)]
    labels = np.array(found.labels)[np.resize(np.arange(30, 60), count)]
    features = np.concatenate([np.concatenate([x, points]), np.ones((len(x) + count, 1))], axis=1)
    targets = np.concatenate([y, labels])
    weights = least_hinge(features, targets, 2, steps=2000, decay=1e-6)
    margins = features @ weights + 1.0 - np.eye(2)[targets]
    losses = margins.max(axis=1) - (features @ weights)[np.arange(len(targets)), targets]
    assert losses.sum() / len(x) <= found.bound + 0.02  # of clean and poison, per clean point
    assert losses[: len(x)].mean() <= found.bound + 1e-6
    assert 0.01 < found.bound < 1 + share


# ── data-dependent sanitisation ────────────────────────────────────────────────────────────


def test_the_oracle_keeps_its_means_whatever_the_classes_are_called(direct: Any) -> None:
    task = tasks.load("mnist-1-7")
    package = poisoning.oracle()
    assert sum(map(len, package.files.values())) <= 256 * 1024
    x, y = task.train.x, task.train.y
    flat = x.reshape(len(x), -1).astype(np.float64)
    build = direct.entry(folder := direct.unpack(package), package)
    learner = build(folder, direct.task_info(task))
    one, other = learner.kept(flat, y), learner.kept(flat, 1 - y)
    assert np.array_equal(one, other)
    assert one.mean() > 0.9
    flipped = np.where(np.arange(len(y)) % 4 == 0, 1 - y, y)
    assert learner.kept(flat, flipped)[::4].mean() < 0.1
    assert learner.kept(flat, flipped)[1::4].mean() > 0.9


def test_the_poison_moves_the_means_that_judge_it(direct: Any) -> None:
    task = tasks.load("mnist-1-7")
    x, y = task.train.x, task.train.y
    learner = direct.build("data-dependent", task)
    sevens = np.flatnonzero(y == 1)
    flat = x.reshape(len(x), -1).astype(np.float64)
    kept = []
    for share in (0.03, 0.5):
        rows = sevens[: int(share * len(x))]
        flips = np.concatenate([flat, flat[rows]]), np.concatenate([y, np.zeros(len(rows), int)])
        kept.append(learner.kept(*flips)[len(x) :].mean())
    assert kept[0] < 0.2
    assert kept[1] > 0.8


def test_a_learner_that_moves_second_draws_the_sphere_closer(direct: Any) -> None:
    task = tasks.load("mnist-1-7")
    x, y = task.train.x, task.train.y
    flat = x.reshape(len(x), -1).astype(np.float64)
    learner = direct.build("data-dependent", task)
    before = learner.kept(flat, y).mean()
    learner.choose(x, y, share=0.3, mode="add")
    assert learner.kept(flat, y).mean() < before


def test_sizes_are_not_set_by_less_than_half_of_a_class() -> None:
    x, y = blobs(m=400)
    means = {k: x[y == k].mean(axis=0) for k in (0, 1)}
    clean = sizes_of(x, y, means, 5.0)[0][0]
    far = (
        np.concatenate([x, np.full((80, x.shape[1]), 1e3)]),
        np.concatenate([y, np.zeros(80, int)]),
    )
    assert sizes_of(*far, means, 5.0)[0][0] < 2 * clean


# ── the spectral filter ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("d", [20, 50])
def test_the_filtered_mean_is_flat_in_the_dimension_where_the_mean_moves(d: int) -> None:
    plain, kept = poisoning.moved(d, 0.4)
    assert plain > 0.3
    assert kept <= 0.06


def test_the_filter_leaves_clean_gaussian_points_alone() -> None:
    x = np.random.default_rng(0).standard_normal((4000, 20))
    assert filtered(x, most=0.3).mean() > 0.99
    assert np.linalg.norm(filtered_mean(x, most=0.2) - x.mean(axis=0)) < 0.05


def test_the_filter_drops_far_outliers_of_a_class_and_no_more_than_it_may() -> None:
    x = np.random.default_rng(0).standard_normal((1000, 20))
    x[:100] += 10.0
    kept = filtered(x, most=0.3)
    assert not kept[:100].any()
    assert kept[100:].mean() > 0.97
    x[:400] += 10.0
    assert filtered(x, most=0.3).sum() >= 700


@pytest.mark.parametrize("name", ["data-dependent", "spectral-filter"])
def test_far_outliers_hurt_these_less_than_the_plain_learner(direct: Any, name: str) -> None:
    task = tasks.load("mnist-1-7")
    x, y = task.train.x, task.train.y
    challenge = PoisoningChallenge(
        task=direct.task_info(task), x=x, y=y, count=len(x) // 10, mode="add", output="label",
        defense=None, seed=1,  # type: ignore[arg-type]
    )  # fmt: skip
    poison = direct.build("far-outliers", task).poison(challenge)
    errors = []
    for learner in ("logistic-learner", name):
        player = direct.build(learner, task)
        player.fit(np.concatenate([x, poison.x]), np.concatenate([y, poison.y]), 1)
        answers = player.predict(task.practice.x).argmax(axis=1)
        errors.append(float((answers != task.practice.y).mean()))
    assert errors[0] > 0.03
    assert errors[1] < 0.5 * errors[0]
    assert house.manifest(name).role == "learner"
