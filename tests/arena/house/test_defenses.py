"""Dana's defenses: what each is supposed to show on the board."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from arena import house, tasks
from arena.house.attacks.fgsm import Fgsm
from arena.house.attacks.pgd import Pgd
from arena.house.attacks.square import Square

FOLDER: Any = None
NAMES = house.names("defense")


def scores(direct: ModuleType, defense: Any, x: Any, seed: int = 0) -> Any:
    if direct.stochastic(defense):
        return defense.predict(x, np.arange(len(x), dtype=np.uint64) + seed)
    return defense.predict(x)


@pytest.mark.parametrize("name", NAMES)
def test_every_defense_answers_every_row_by_itself(
    direct: ModuleType, digits: tasks.Task, name: str
) -> None:
    defense = direct.build(name, digits)
    x = digits.practice.x[:50]
    together = scores(direct, defense, x)
    assert together.shape == (50, 10 + house.manifest(name).abstains)
    assert np.isfinite(together).all()
    seeds = np.arange(50, dtype=np.uint64)
    for row in (0, 17, 49):
        one = (x[row : row + 1], *((seeds[row : row + 1],) if direct.stochastic(defense) else ()))
        np.testing.assert_allclose(defense.predict(*one)[0], together[row], atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_every_defense_is_as_accurate_as_its_weights_say(
    direct: ModuleType, digits: tasks.Task, name: str
) -> None:
    defense = direct.build(name, digits)
    right = scores(direct, defense, digits.practice.x).argmax(1) == digits.practice.y
    assert right.mean() > (0.84 if name == "decision-tree" else 0.9)


def test_smoothing_draws_from_the_rows_seed_alone(direct: ModuleType, digits: tasks.Task) -> None:
    defense = direct.build("randomized-smoothing", digits)
    x = digits.practice.x[:20]
    first, again, other = (scores(direct, defense, x, seed) for seed in (0, 0, 100))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_allclose(np.exp(first).sum(1), 1, atol=1e-5)


def test_discretisation_masks_its_gradients_and_falls_without_them(
    direct: ModuleType, digits: tasks.Task
) -> None:
    defense = direct.build("input-discretisation", digits)
    x, y = direct.right_examples(defense, digits, 60)
    _, slope = defense.gradient(x, y)
    assert not slope.any()
    view = direct.View(defense, 60, output="probabilities", per_example=300, white=False)
    black = direct.play(Square(FOLDER), defense, digits, x=x, y=y, epsilon=0.2, view=view)
    for attack in (Fgsm(FOLDER), Pgd(FOLDER, {"restarts": 2, "steps": 20})):
        white = direct.play(attack, defense, digits, x=x, y=y, epsilon=0.2)
        assert black.fooled.mean() > white.fooled.mean() + 0.2


def test_adversarial_training_stands_where_the_plain_net_falls(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    robust = {}
    for name in ("cnn", "adversarial-training"):
        defense = direct.build(name, digits)
        x, y = direct.right_examples(defense, digits, 60)
        attack = Pgd(FOLDER, {"restarts": 2})
        robust[name] = (
            1 - direct.play(attack, defense, digits, x=x, y=y, epsilon=0.15).fooled.mean()
        )
    assert robust["adversarial-training"] > robust["cnn"] + 0.3


@pytest.mark.parametrize("name", ["nearest-neighbour", "decision-tree"])
def test_models_without_gradients_fall_to_scores(
    direct: ModuleType, digits: tasks.Task, name: str
) -> None:
    defense = direct.build(name, digits)
    assert not house.manifest(name).differentiable
    x, y = direct.right_examples(defense, digits, 50)
    view = direct.View(defense, 50, output="probabilities", per_example=300, white=False)
    played = direct.play(Square(FOLDER), defense, digits, x=x, y=y, epsilon=0.3, view=view)
    assert played.fooled.mean() > 0.5
