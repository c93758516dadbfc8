"""The attacks of the house against what theory says of linear models."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from arena import tasks
from arena.house.attacks import fab
from arena.house.attacks.boundary import Boundary
from arena.house.attacks.cw_l0 import CarliniWagnerL0
from arena.house.attacks.cw_l2 import CarliniWagner
from arena.house.attacks.cw_linf import CarliniWagnerLinf
from arena.house.attacks.fgsm import Fgsm
from arena.house.attacks.jsma import Jsma
from arena.house.attacks.pgd import Pgd
from tests.arena.house.problems import linear_problem, made, small_task


def margins(defense: Any, x: Any, y: Any) -> Any:
    """z_y - z_other of a two-class model, in float64."""
    slope = defense.weight[1] - defense.weight[0]
    flat = x.reshape(len(x), -1).astype(np.float64) @ slope + defense.bias[1] - defense.bias[0]
    return np.where(y == 1, flat, -flat)


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
