"""What the house's attacks make of the probes and labels that a round grants."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from arena import tasks
from arena.house.attacks.boundary import Boundary
from arena.house.attacks.fgsm import Fgsm
from arena.house.attacks.pgd import Pgd
from arena.house.attacks.random_noise import RandomNoise
from arena.house.attacks.square import Square
from tests.arena.house.problems import SIDE, TOLERANCE, linear_problem, made, small_task

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
