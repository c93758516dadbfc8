"""Alice's attacks against theory: linear models have closed forms, balls have sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arena import house, tasks
from arena.house.attacks import fab
from arena.house.attacks import pgd as pgd_module
from arena.house.attacks.audit_suite import AuditSuite
from arena.house.attacks.ball import Ball
from arena.house.attacks.boundary import Boundary
from arena.house.attacks.cw_l0 import CarliniWagnerL0
from arena.house.attacks.cw_l2 import CarliniWagner
from arena.house.attacks.cw_linf import CarliniWagnerLinf
from arena.house.attacks.fgsm import Fgsm
from arena.house.attacks.jsma import Jsma
from arena.house.attacks.pgd import Pgd
from arena.house.attacks.random_noise import RandomNoise
from arena.house.attacks.square import Square, hopeless
from arena.players import TaskInfo
from arena.torch_players import expected_gradient, straight_through

TOLERANCE = 1e-6
FOLDER: Any = None
SIDE = 5


def made(attack: Any, **options: Any) -> Any:
    return attack(FOLDER, options)


def small_task(classes: int) -> Any:
    """A task of 5 x 5 images for linear models; only its schema is read."""
    digits = tasks.load("digits")
    return replace(digits, shape=(1, SIDE, SIDE), classes=tuple("abcdefgh"[:classes]))


def linear_problem(linear: Any, seed: int, *, classes: int = 2, interior: bool = False) -> Any:
    """A linear defense, and examples that it gets right by construction."""
    rng = np.random.default_rng(seed)
    defense = linear(rng.normal(size=(classes, SIDE * SIDE)), rng.normal(size=classes) / 10)
    low, high = (0.35, 0.65) if interior else (0.0, 1.0)
    x = rng.uniform(low, high, (40, 1, SIDE, SIDE)).astype(np.float32)
    if not interior:
        x = np.where(rng.random(x.shape) < 0.3, np.round(x), x).astype(np.float32)
    return defense, x, defense.predict(x).argmax(1)


def margins(defense: Any, x: Any, y: Any) -> Any:
    """z_y - z_other of a two-class model, in float64."""
    slope = defense.weight[1] - defense.weight[0]
    flat = x.reshape(len(x), -1).astype(np.float64) @ slope + defense.bias[1] - defense.bias[0]
    return np.where(y == 1, flat, -flat)


# ── closed forms ───────────────────────────────────────────────────────────────────────────────


def test_fgsm_on_a_linear_model_is_its_closed_form(direct: ModuleType, linear: Any) -> None:
    defense, x, y = linear_problem(linear, 1)
    played = direct.play(made(Fgsm), defense, small_task(2), x=x, y=y, epsilon=0.1)
    slope = (defense.weight[1] - defense.weight[0]).reshape(x.shape[1:])
    away = np.where(y == 1, -1.0, 1.0)[:, None, None, None] * np.sign(slope)
    expected = np.clip(x + np.float32(0.1) * away, 0, 1)
    np.testing.assert_allclose(played.candidates, expected, atol=1e-7)


@pytest.mark.parametrize("epsilon", [0.02, 0.05, 0.1, 0.2])
def test_pgd_breaks_exactly_what_can_be_broken_in_a_linear_model(
    direct: ModuleType, linear: Any, epsilon: float
) -> None:
    defense, x, y = linear_problem(linear, 2)
    played = direct.play(made(Pgd), defense, small_task(2), x=x, y=y, epsilon=epsilon)
    slope = (defense.weight[1] - defense.weight[0]).reshape(x.shape[1:])
    away = np.where(y == 1, -1.0, 1.0)[:, None, None, None] * np.sign(slope)
    optimum = margins(defense, np.clip(x + epsilon * away, 0, 1), y)
    sure = np.abs(optimum) > 1e-4
    assert (played.fooled == (optimum < 0))[sure].all()
    assert played.fooled.mean() > 0 or epsilon < 0.05


@pytest.mark.parametrize(("norm", "dual"), [("l2", 2), ("l1", np.inf)])
def test_pgd_reaches_the_dual_norm_of_a_linear_model_inside_the_box(
    direct: ModuleType, linear: Any, norm: str, dual: float
) -> None:
    defense, x, y = linear_problem(linear, 3, interior=True)
    epsilon = 0.2
    reach = epsilon * np.linalg.norm(defense.weight[1] - defense.weight[0], ord=dual)
    clean = margins(defense, x, y)
    played = direct.play(made(Pgd), defense, small_task(2), x=x, y=y, norm=norm, epsilon=epsilon)
    assert played.fooled[clean < 0.98 * reach].all()
    assert not played.fooled[clean > reach].any()
    assert 0 < played.fooled.mean() < 1


def test_pgd_finds_the_smallest_radius_of_a_linear_model(direct: ModuleType, linear: Any) -> None:
    defense, x, y = linear_problem(linear, 4, interior=True)
    exact = margins(defense, x, y) / np.abs(defense.weight[1] - defense.weight[0]).sum()
    played = direct.play(made(Pgd), defense, small_task(2), x=x, y=y, norm="linf")
    inside = exact < 0.3
    assert played.fooled[inside].all()
    np.testing.assert_allclose(played.sizes("linf")[inside], exact[inside], rtol=0.2, atol=2e-3)


def test_carlini_wagner_finds_the_distance_to_a_plane(direct: ModuleType, linear: Any) -> None:
    defense, x, y = linear_problem(linear, 5, interior=True)
    slope = defense.weight[1] - defense.weight[0]
    exact = margins(defense, x, y) / np.linalg.norm(slope)
    nearest = x.reshape(len(x), -1) - np.where(y == 1, exact, -exact)[:, None] * slope / (
        np.linalg.norm(slope)
    )
    inside = ((nearest >= 0.02) & (nearest <= 0.98)).all(1)
    assert inside.mean() > 0.5
    played = direct.play(made(CarliniWagner), defense, small_task(2), x=x, y=y, norm="l2")
    assert played.fooled.all()
    assert (played.sizes("l2")[inside] >= exact[inside] - 1e-6).all()
    np.testing.assert_allclose(played.sizes("l2")[inside], exact[inside], rtol=0.03, atol=3e-3)


def test_carlini_wagner_presses_the_largest_change_down_to_that_of_a_plane(
    direct: ModuleType, linear: Any
) -> None:
    defense, x, y = linear_problem(linear, 4, interior=True)
    exact = margins(defense, x, y) / np.abs(defense.weight[1] - defense.weight[0]).sum()
    played = direct.play(made(CarliniWagnerLinf), defense, small_task(2), x=x, y=y, norm="linf")
    inside = exact < 0.3
    assert played.fooled[inside].all()
    assert (played.sizes("linf") >= exact - 1e-6)[played.fooled].all()
    np.testing.assert_allclose(played.sizes("linf")[inside], exact[inside], rtol=0.2, atol=3e-3)


def test_carlini_wagner_changes_as_few_pixels_as_a_linear_model_needs(
    direct: ModuleType, linear: Any
) -> None:
    """The fewest: the pixels that the plane rewards most, each to the end of its range."""
    defense, x, y = linear_problem(linear, 7, interior=True)
    slope = np.where(y == 1, -1.0, 1.0)[:, None] * (defense.weight[1] - defense.weight[0])
    flat = x.reshape(len(x), -1)
    gain = np.sort(np.where(slope > 0, slope * (1 - flat), -slope * flat), axis=1)[:, ::-1]
    fewest = (np.cumsum(gain, axis=1) > margins(defense, x, y)[:, None]).argmax(1) + 1
    played = direct.play(made(CarliniWagnerL0), defense, small_task(2), x=x, y=y, norm="l0")
    assert played.fooled.all()
    assert (played.sizes("l0") >= fewest).all()
    assert (played.sizes("l0") <= fewest + 1).mean() > 0.9


def test_the_smallest_perturbations_are_no_larger_than_those_of_others(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 20)
    for ours, other, norm, most in (
        (CarliniWagnerLinf, Pgd, "linf", 1.1),
        (CarliniWagnerL0, Jsma, "l0", 1.0),
    ):
        mine, theirs = (
            direct.play(made(attack), house_cnn, digits, x=x, y=y, norm=norm)
            for attack in (ours, other)
        )
        assert mine.fooled.all()
        both = mine.fooled & theirs.fooled
        assert mine.sizes(norm)[both].mean() <= most * theirs.sizes(norm)[both].mean()


def test_boundary_walks_to_within_a_fifth_of_the_distance_to_a_plane(
    direct: ModuleType, linear: Any
) -> None:
    defense, x, y = linear_problem(linear, 6, interior=True)
    exact = margins(defense, x, y) / np.linalg.norm(defense.weight[1] - defense.weight[0])
    view = direct.View(defense, len(x), output="label", per_example=1500, white=False)
    attack = made(Boundary, queries=1500)
    played = direct.play(attack, defense, small_task(2), x=x, y=y, norm="l2", view=view)
    assert played.fooled.mean() > 0.9
    assert np.median((played.sizes("l2") / exact)[played.fooled]) < 1.2


def test_no_step_of_fgsm_finds_what_pgd_misses(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 100)
    for norm, epsilon in (("linf", 0.05), ("linf", 0.1), ("l2", 0.5)):
        one, many = (
            direct.play(made(attack), house_cnn, digits, x=x, y=y, norm=norm, epsilon=epsilon)
            for attack in (Fgsm, Pgd)
        )
        assert not (one.fooled & ~many.fooled).any()
        assert many.fooled.mean() > 0


# ── sizes ──────────────────────────────────────────────────────────────────────────────────────

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


# ── what the round grants ──────────────────────────────────────────────────────────────────────


METERED = [
    (attack, output)
    for attack in (Square, Boundary, RandomNoise)
    for output in ("label", "top_k", "probabilities")
    if attack is not Square or output == "probabilities"
]


@pytest.mark.parametrize(("attack", "output"), METERED)
def test_no_attack_asks_for_more_probes_than_each_example_has(
    direct: ModuleType, linear: Any, attack: Any, output: str
) -> None:
    defense, x, y = linear_problem(linear, 7, classes=4)
    for probes in (1, 2, 7, 60):
        view = direct.View(defense, len(x), output=output, per_example=probes, white=False)
        played = direct.play(
            made(attack), defense, small_task(4), x=x, y=y, epsilon=0.05, view=view
        )
        assert view.asked.max() <= probes
        assert (played.sizes("linf") <= 0.05 + TOLERANCE).all()


@pytest.mark.parametrize(("attack", "output"), METERED)
@pytest.mark.parametrize("labels", [True, False])
def test_probes_granted_in_total_alone_are_shared_out(
    direct: ModuleType, linear: Any, attack: Any, output: str, *, labels: bool
) -> None:
    defense, x, y = linear_problem(linear, 7, classes=4)
    for total in (3, len(x), 5 * len(x) + 7):
        view = direct.View(
            defense, len(x), output=output, per_example=np.inf, total=total, white=False
        )
        given = y if labels else None
        played = direct.play(
            made(attack), defense, small_task(4), x=x, y=given, epsilon=0.3, view=view
        )
        assert view.asked.sum() <= total
        assert view.asked.sum() > 0 or total < len(x)
        assert (played.sizes("linf") <= 0.3 + TOLERANCE).all()


@pytest.mark.parametrize("attack", [Square, Boundary])
def test_what_was_found_is_handed_in_when_the_defenses_time_is_up(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any, attack: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 40)
    found = {}
    for answered in (0, 2000, np.inf):
        view = direct.View(
            house_cnn, 40, output="probabilities", per_example=300, answered=answered, white=False
        )
        played = direct.play(made(attack), house_cnn, digits, x=x, y=y, epsilon=0.3, view=view)
        assert view.asked.sum() <= answered
        found[answered] = played.fooled.mean()
    assert found[0] == 0
    assert found[0] < found[2000] <= found[np.inf]


def test_square_draws_towards_other_classes_where_a_score_is_flat(
    direct: ModuleType, mnist: tasks.Task
) -> None:
    voters = direct.build("nearest-neighbour", mnist)
    x, y = direct.right_examples(voters, mnist, 100)
    training = (mnist.practice.x[1000:1150], mnist.practice.y[1000:1150])
    broken = {}
    for starts in (0, 40):
        view = direct.View(voters, 100, output="probabilities", per_example=200, white=False)
        played = direct.play(
            made(Square, starts=starts),
            voters,
            mnist,
            x=x,
            y=y,
            epsilon=0.3,
            view=view,
            training=training,
        )
        broken[starts] = played.fooled.mean()
    assert broken[40] > broken[0] + 0.05
    assert broken[40] > 0.6


def test_square_gets_far_with_few_probes(direct: ModuleType, mnist: tasks.Task) -> None:
    net = direct.build("cnn", mnist)
    x, y = direct.right_examples(net, mnist, 60)
    view = direct.View(net, 60, output="probabilities", per_example=200, white=False)
    played = direct.play(made(Square), net, mnist, x=x, y=y, epsilon=0.2, view=view)
    assert played.fooled.mean() > 0.8


def test_square_asks_about_nothing_that_it_has_already(direct: ModuleType, linear: Any) -> None:
    """On a black ground half of all squares, those of -ε, would change nothing."""
    net = linear(np.array([[-0.01] * SIDE**2, [0.01] * SIDE**2]), np.array([9.0, 0.0]))
    asked = []

    def predict(images: Any) -> Any:
        asked.append(images.copy())
        return net.predict(images)

    defense = SimpleNamespace(manifest=net.manifest, predict=predict)
    x, y = np.zeros((1, 1, SIDE, SIDE), np.float32), np.zeros(1, np.int64)
    view = direct.View(defense, 1, per_example=40, white=False)
    direct.play(made(Square), defense, small_task(2), x=x, y=y, epsilon=0.1, view=view)
    gaps = [np.subtract(*net.predict(images)[0]) for images in asked]
    best = 0
    for step in range(1, 40):
        assert (asked[step] != asked[best]).any()
        best = step if gaps[step] <= gaps[best] else best


def test_square_finds_more_with_more_probes(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 60)
    rates = []
    for probes in (2, 30, 300):
        view = direct.View(
            house_cnn, len(x), output="probabilities", per_example=probes, white=False
        )
        played = direct.play(made(Square), house_cnn, digits, x=x, y=y, epsilon=0.15, view=view)
        rates.append(played.fooled.mean())
    assert rates[0] < rates[1] < rates[2]
    assert rates[2] > 0.6


@pytest.mark.parametrize("attack", [Fgsm, Pgd, Square, Boundary])
def test_an_attack_finds_the_labels_out_where_they_are_withheld(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any, attack: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 40)
    view = direct.View(house_cnn, len(x), output="probabilities", per_example=200)
    with_labels = direct.play(made(attack), house_cnn, digits, x=x, y=y, epsilon=0.2, view=view)
    view = direct.View(house_cnn, len(x), output="probabilities", per_example=200)
    without = direct.play(made(attack), house_cnn, digits, x=x, y=None, epsilon=0.2, view=view)
    broken = (without.answers != y).mean()
    assert broken >= with_labels.fooled.mean() - 0.2
    assert broken > 0.3


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


def test_the_same_seed_makes_the_same_candidates(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 20)
    for attack in (Pgd, Square, Boundary, RandomNoise):
        plays = []
        for seed in (5, 5, 6):
            view = direct.View(house_cnn, len(x), output="probabilities", per_example=40)
            played = direct.play(
                made(attack), house_cnn, digits, x=x, y=y, epsilon=0.2, view=view, seed=seed
            )
            plays.append(played.candidates)
        assert np.array_equal(plays[0], plays[1]), attack.__name__
        if attack is not Pgd:  # what PGD finds, it mostly finds before it draws anything
            assert not np.array_equal(plays[0], plays[2]), attack.__name__


def test_the_gradient_goes_around_what_hides_it(direct: ModuleType, digits: tasks.Task) -> None:
    defense = direct.build("input-discretisation", digits)
    x, y = direct.right_examples(defense, digits, 60)
    package = direct.unpack(house.package("input-discretisation", "digits"))
    plain, around = (
        direct.play(attack, defense, digits, x=x, y=y, epsilon=0.2, package=package)
        for attack in (made(Pgd), direct.build("bpda", digits))
    )
    assert around.fooled.mean() >= plain.fooled.mean() + 0.2
    assert (around.sizes("linf") <= 0.2 + TOLERANCE).all()


def test_straight_through_shows_one_function_and_has_the_slope_of_another() -> None:
    x = torch.tensor([0.2, 0.7], requires_grad=True)
    y = straight_through(torch.round, x)
    y.sum().backward()
    assert y.tolist() == [0.0, 1.0]
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 1.0]
    z = straight_through(torch.round, x, like=torch.square)
    (slope,) = torch.autograd.grad(z.sum(), x)
    assert slope.tolist() == pytest.approx([0.4, 1.4])


def test_an_expected_gradient_is_nearer_to_the_mean_of_many_draws(
    direct: ModuleType, digits: tasks.Task
) -> None:
    defense = direct.build("noisy-input", digits)
    x, y = direct.right_examples(defense, digits, 20)
    view = direct.View(defense, len(x), stochastic=True)
    mean = expected_gradient(view, x, y, draws=200)[1]
    off = [
        np.linalg.norm(expected_gradient(view, x, y, draws=draws)[1] - mean) for draws in (1, 25)
    ]
    assert off[1] < off[0] / 2
    with pytest.raises(ValueError, match="at least one draw"):
        expected_gradient(view, x, y, draws=0)


def test_the_audit_finds_whatever_a_part_of_it_finds(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 40)
    options = {"steps": 20, "targets": 2, "queries": 100}
    found = {}
    for parts in (("apgd-ce",), ("apgd-t",), ("fab-t",), ("square",), AuditSuite.parts):
        attack = made(AuditSuite, parts=parts, **options)
        played = direct.play(attack, house_cnn, digits, x=x, y=y, epsilon=0.08)
        assert (played.sizes("linf") <= 0.08 + TOLERANCE).all()
        found[parts] = played.fooled.mean()
    whole = found.pop(AuditSuite.parts)
    assert whole >= max(found.values())
    assert all(rate > 0 for rate in found.values())


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.06), ("l2", 0.5)])
def test_the_audit_leaves_nothing_standing_that_pgd_breaks(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any, norm: str, epsilon: float
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 40)
    options = {"steps": 40, "targets": 3, "queries": 100}
    audit, other = (
        direct.play(attack, house_cnn, digits, x=x, y=y, norm=norm, epsilon=epsilon)
        for attack in (made(AuditSuite, **options), made(Pgd, restarts=2))
    )
    assert audit.fooled.mean() >= other.fooled.mean()


def test_the_audit_begins_a_larger_radius_with_what_fell_at_a_smaller_one(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 40)
    attack = made(AuditSuite, steps=20, targets=2, queries=50)
    rows = []
    for epsilon in (0.1, 0.101):
        view = direct.View(house_cnn, 40)
        played = direct.play(attack, house_cnn, digits, x=x, y=y, epsilon=epsilon, view=view)
        rows.append((played.fooled, view.gradient_rows))
    assert rows[1][0][rows[0][0]].all()
    assert rows[1][1] < rows[0][1] / 2 or rows[0][0].mean() < 0.5


def test_the_audit_loses_nothing_by_giving_up_what_is_hopeless(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 40)
    fooled, passes = {}, {}
    for slack in (1.0, np.inf):
        view = direct.View(house_cnn, 40)
        attack = made(AuditSuite, slack=slack, queries=1000)
        played = direct.play(attack, house_cnn, digits, x=x, y=y, epsilon=0.08, view=view)
        fooled[slack], passes[slack] = played.fooled, view.gradient_rows
    assert fooled[1.0].sum() >= fooled[np.inf].sum() - 1
    assert passes[1.0] < passes[np.inf] / 2


def test_a_search_is_hopeless_where_gains_kept_up_would_not_close_the_gap() -> None:
    gap, before = np.array([1.0, 1.0, 1.0, 0.0, 1.0]), np.array([1.6, 1.4, 1.0, 0.0, np.inf])
    kept = {"left": 2.0, "slack": 1.0}
    assert hopeless(gap, before, **kept).tolist() == [False, True, True, False, False]
    assert not hopeless(gap, before, left=2.0, slack=1.5)[1]
    assert not hopeless(gap, before, left=0.0, slack=np.inf).any()


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


def test_the_boundary_attack_comes_nearer_by_the_probes_it_is_given(direct: ModuleType) -> None:
    task = tasks.load("mnist5k")
    defense = direct.build("cnn", task)
    x, y = direct.right_examples(defense, task, 10)
    sizes = []
    for queries in (150, 1000):
        view = direct.View(defense, 10, output="label", per_example=queries, white=False)
        attack = made(Boundary, queries=queries)
        played = direct.play(attack, defense, task, x=x, y=y, norm="l2", view=view)
        assert played.fooled.all()
        sizes.append(played.sizes("l2"))
    assert (sizes[1] < 0.9 * sizes[0]).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_step_of_fab_lands_on_the_plane_or_in_the_corner(norm: str) -> None:
    rng = np.random.default_rng(3)
    point, normal = rng.random((50, 12)), rng.normal(size=(50, 12)).round(1)
    level = rng.normal(size=50)
    step = fab.to_plane(point, normal, level, norm)
    assert ((point + step >= -1e-9) & (point + step <= 1 + 1e-9)).all()
    most = np.where(normal * np.sign(level)[:, None] > 0, 1 - point, point) * np.abs(normal)
    reachable = most.sum(1) >= np.abs(level)
    np.testing.assert_allclose((step * normal).sum(1)[reachable], level[reachable], atol=1e-9)
    assert reachable.sum() > 20
    order = {"linf": np.inf, "l2": 2}[norm]
    for _ in range(20):
        other = np.clip(step + 0.05 * rng.normal(size=step.shape), -point, 1 - point)
        on = (other * normal).sum(1) * np.sign(level) >= np.abs(level)
        shorter = np.linalg.norm(other, ord=order, axis=1) < np.linalg.norm(step, ord=order, axis=1)
        assert not (on & shorter & reachable).any()


def test_asking_a_stochastic_defense_again_breaks_it_for_more_seeds(
    direct: ModuleType, digits: tasks.Task
) -> None:
    defense = direct.build("randomized-smoothing", digits)
    x, y = direct.right_examples(defense, digits, 60)
    seeds = [np.arange(len(x), dtype=np.uint64) + 1000 * j for j in range(9)]
    broken = {}
    for repeats in (1, 5):
        view = direct.View(defense, len(x), stochastic=True)
        attack = made(Pgd, restarts=2, steps=20, repeats=repeats)
        played = direct.play(attack, defense, digits, x=x, y=y, epsilon=0.15, view=view)
        answers = np.array([defense.predict(played.candidates, s).argmax(1) for s in seeds])
        broken[repeats] = ((answers != y).mean(0) > 0.5).mean()
    assert broken[5] > broken[1]


def test_the_jacobian_of_probabilities_leads_to_the_targets_within_the_budget(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 30)
    rates = []
    for outputs in ("logits", "probabilities"):
        attack = Jsma(Path(), {"outputs": outputs})
        found = direct.play(attack, house_cnn, digits, x=x, y=y, norm="l0", targets=(y + 1) % 10)
        rates.append(float(found.fooled.mean()))
        assert found.sizes("l0")[found.fooled].max() <= 0.145 * 64
    assert rates[1] > rates[0]
