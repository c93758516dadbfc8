"""Candidates of the house lie inside the ball, the box and what may change."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arena.house.attacks import pgd as pgd_module
from arena.house.attacks.ball import Ball
from arena.house.attacks.boundary import Boundary
from arena.house.attacks.cw_l0 import CarliniWagnerL0
from arena.house.attacks.cw_l2 import CarliniWagner
from arena.house.attacks.cw_linf import CarliniWagnerLinf
from arena.house.attacks.fgsm import Fgsm
from arena.house.attacks.jsma import Jsma
from arena.house.attacks.pgd import Pgd
from arena.house.attacks.random_noise import RandomNoise
from arena.house.attacks.square import Square
from arena.players import TaskInfo
from tests.arena.house.problems import SIDE, TOLERANCE, linear_problem, made, small_task

BALLS = [
    (Fgsm, "linf"),
    (Fgsm, "l2"),
    (Pgd, "linf"),
    (Pgd, "l2"),
    (Pgd, "l1"),
    (CarliniWagner, "l2"),
    (CarliniWagnerLinf, "linf"),
    (CarliniWagnerL0, "l0"),
    (Square, "linf"),
    (Square, "l2"),
    (Boundary, "linf"),
    (Boundary, "l2"),
    (RandomNoise, "linf"),
    (RandomNoise, "l2"),
    (RandomNoise, "l1"),
]


@pytest.mark.parametrize(
    ("attack", "norm"), BALLS, ids=lambda value: getattr(value, "__name__", value)
)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 10_000), epsilon=st.floats(1e-4, 3.0), targeted=st.booleans())
def test_candidates_stay_inside_the_ball_and_the_box(
    direct: ModuleType,
    linear: Any,
    attack: Any,
    norm: str,
    seed: int,
    epsilon: float,
    targeted: bool,
) -> None:
    defense, x, y = linear_problem(linear, seed, classes=4)
    view = direct.View(defense, len(x), output="probabilities", per_example=30)
    options = {"steps": 10, "restarts": 2, "searches": 2, "queries": 30}
    played = direct.play(
        made(attack, **options),
        defense,
        small_task(4),
        x=x,
        y=y,
        norm=norm,
        epsilon=epsilon,
        targets=(y + 1) % 4 if targeted else None,
        view=view,
        seed=seed,
    )
    assert (played.sizes(norm) <= epsilon + TOLERANCE).all()
    assert played.candidates.dtype == np.float32


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 10_000), epsilon=st.integers(1, 12), targeted=st.booleans())
def test_sparse_candidates_change_at_most_so_many_pixels(
    direct: ModuleType, linear: Any, seed: int, epsilon: int, targeted: bool
) -> None:
    defense, x, y = linear_problem(linear, seed, classes=4)
    targets = (y + 1) % 4 if targeted else None
    for attack in (Jsma, RandomNoise):
        played = direct.play(
            made(attack),
            defense,
            small_task(4),
            x=x,
            y=y,
            norm="l0",
            epsilon=epsilon,
            targets=targets,
        )
        assert (played.sizes("l0") <= epsilon).all()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), epsilon=st.floats(0.01, 5.0))
def test_the_l1_projection_is_the_nearest_point_of_ball_and_box(seed: int, epsilon: float) -> None:
    rng = np.random.default_rng(seed)
    x, delta = rng.random((3, 12)), rng.normal(size=(3, 12))
    radius = np.full((3, 1), epsilon)
    nearest = pgd_module.project(delta, x, radius, "l1")
    assert (np.abs(nearest).sum(1) <= epsilon + 1e-6).all()
    assert ((x + nearest >= -1e-9) & (x + nearest <= 1 + 1e-9)).all()
    for _ in range(30):
        other = rng.normal(size=(3, 12)) * rng.choice([0.01, 0.3])
        other = np.clip(nearest + other, -x, 1 - x)
        other *= np.minimum(1, epsilon / np.maximum(np.abs(other).sum(1, keepdims=True), 1e-12))
        closer = np.linalg.norm(other - delta, axis=1) < np.linalg.norm(nearest - delta, axis=1)
        assert not (closer & (np.linalg.norm(other - nearest, axis=1) > 1e-3)).any()


@pytest.mark.parametrize(
    ("attack", "norm"),
    [
        (Pgd, "linf"),
        (Pgd, "l1"),
        (CarliniWagner, "l2"),
        (CarliniWagnerLinf, "linf"),
        (CarliniWagnerL0, "l0"),
        (Jsma, "l0"),
        (Square, "linf"),
    ],
)
def test_features_that_may_not_change_do_not(
    direct: ModuleType, linear: Any, attack: Any, norm: str
) -> None:
    defense, x, y = linear_problem(linear, 8, classes=3)
    mutable = np.zeros((1, SIDE, SIDE), bool)
    mutable[:, :3] = True
    task = small_task(3)
    view = direct.View(defense, len(x), output="probabilities", per_example=50)
    played = direct.play(
        made(attack),
        defense,
        task,
        x=x,
        y=y,
        norm=norm,
        epsilon={"l0": 8}.get(norm, 0.5),
        view=view,
        info=replace(direct.task_info(task), mutable=mutable),
    )
    assert (played.candidates == x)[:, ~mutable].all()
    assert (played.candidates != x).any()


@settings(max_examples=50, deadline=None)
@given(
    epsilon=st.floats(1e-4, 1, exclude_max=True),
    norm=st.sampled_from(["linf", "l2"]),
    seed=st.integers(0, 99),
)
def test_whatever_lies_in_a_ball_is_within_epsilon_in_double_precision(
    epsilon: float, norm: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.random((5, 1, 8, 8), np.float32)
    x[0] = x[0].round()
    far = (x + rng.normal(size=x.shape)).astype(np.float32).reshape(5, -1)
    challenge: Any = SimpleNamespace(x=x, norm=norm, task=TaskInfo("digits", (1, 8, 8), ()))
    points = Ball.of(challenge, np.full(5, epsilon)).project(far)
    size = pgd_module.norms(points - x.reshape(5, -1).astype(np.float64), norm)
    assert (size <= epsilon).all()
    assert points.min() >= 0
    assert points.max() <= 1
