"""Dana's defenses: what each is supposed to show on the board."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from arena import house, tasks
from arena.house import recipes, registry
from arena.house.attacks.boundary import Boundary
from arena.house.attacks.cw_l2 import CarliniWagner
from arena.house.attacks.fgsm import Fgsm
from arena.house.attacks.pgd import Pgd
from arena.house.attacks.square import Square
from arena.house.objectives import Step, robust_surrogate

FOLDER: Any = None
NAMES = [name for name in house.names("defense") if "digits" in registry.tasks_of(name)]
"""Those for spam have tests of their own."""


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
    assert together.shape == (50, 10 + int(house.manifest(name).abstains))
    assert np.isfinite(together).all()
    seeds = np.arange(50, dtype=np.uint64)
    for row in (0, 17, 49):
        one = (x[row : row + 1], *((seeds[row : row + 1],) if direct.stochastic(defense) else ()))
        alone = defense.predict(*one)[0]
        # Distilled logits reach a thousand, where one rounding of float32 is more than 1e-4.
        np.testing.assert_allclose(alone, together[row], rtol=1e-5, atol=1e-4)


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


ONCE_BEST = ["label-smoothing", "logit-squeezing", "clean-logit-pairing"]


def confidence(direct: ModuleType, defense: Any, played: Any) -> Any:
    """The largest probability of each answer that is a mistake."""
    z = scores(direct, defense, played.candidates).astype(np.float64)
    odds = np.exp(z - z.max(1, keepdims=True))
    return (odds.max(1) / odds.sum(1))[played.fooled]


@pytest.mark.parametrize("name", [*ONCE_BEST, "adversarial-logit-pairing"])
def test_what_was_once_best_is_unsure_of_its_mistakes_and_falls_to_more_steps(
    direct: ModuleType, digits: tasks.Task, name: str
) -> None:
    defense = direct.build(name, digits)
    x, y = direct.right_examples(defense, digits, 100)
    weak, strong = (
        direct.play(Pgd(FOLDER, options), defense, digits, x=x, y=y, epsilon=0.15)
        for options in ({"steps": 5, "restarts": 1}, {})
    )
    assert 0 < weak.fooled.mean() <= strong.fooled.mean()
    assert confidence(direct, defense, strong).mean() <= 0.6


def test_distillation_hides_its_slopes_from_one_step_and_falls_to_the_margin(
    direct: ModuleType, digits: tasks.Task
) -> None:
    defense = direct.build("defensive-distillation", digits)
    x, y = direct.right_examples(defense, digits, 100)
    _, slope = defense.gradient(x, y)
    assert (np.abs(slope).reshape(100, -1).max(1) < 1e-6).mean() > 0.5
    one, many = (
        direct.play(attack, defense, digits, x=x, y=y, epsilon=0.15)
        for attack in (Fgsm(FOLDER), Pgd(FOLDER))
    )
    assert many.fooled.mean() > one.fooled.mean() + 0.2
    carlini = direct.play(CarliniWagner(FOLDER), defense, digits, x=x, y=y, norm="l2")
    assert carlini.fooled.all()


def test_what_interval_bounds_certify_no_attack_breaks(
    direct: ModuleType, digits: tasks.Task
) -> None:
    defense = direct.build("interval-bounds", digits)
    x, y = direct.right_examples(defense, digits, 150)
    shares = []
    for epsilon in (0.02, 0.05, 0.1, 0.15):
        certified = defense.certified(x, epsilon)
        shares.append(certified.mean())
        played = direct.play(Pgd(FOLDER), defense, digits, x=x, y=y, epsilon=epsilon)
        assert not (certified & played.fooled).any()
    assert shares == sorted(shares, reverse=True)
    assert shares[1] > 0.7
    assert shares[-1] < shares[0]


@pytest.mark.parametrize("name", ["abstaining", "calibrated-confidence"])
def test_an_abstaining_net_abstains_exactly_where_it_is_unsure(
    direct: ModuleType, digits: tasks.Task, name: str
) -> None:
    defense = direct.build(name, digits)
    rng = np.random.default_rng(0)
    x = np.concatenate([digits.practice.x[:100], rng.random((100, *digits.shape))]).astype("f")
    z = defense.predict(x)
    odds = np.exp(z[:, :10] - z[:, :10].max(1, keepdims=True))
    surest = odds.max(1) / odds.sum(1)
    threshold = {"abstaining": 0.9, "calibrated-confidence": 0.5}[name]
    clear = np.abs(surest - threshold) > 1e-4
    assert ((z.argmax(1) == 10) == (surest < threshold))[clear].all()
    assert (z.argmax(1) == 10)[:100].mean() <= digits.abstention_share
    assert (z.argmax(1) == 10)[100:].any()


def test_pgd_makes_an_abstaining_net_sure_of_a_mistake(
    direct: ModuleType, digits: tasks.Task
) -> None:
    defense = direct.build("abstaining", digits)
    x, y = direct.right_examples(defense, digits, 60)
    for targets in (None, (y + 1) % 10):
        played = direct.play(Pgd(FOLDER), defense, digits, x=x, y=y, epsilon=0.3, targets=targets)
        moved = (played.candidates != x).any((1, 2, 3))
        assert moved.mean() > 0.5
        assert (played.answers[moved] < 10).all()


def test_noise_makes_a_mistake_uncertain_to_come_again(
    direct: ModuleType, digits: tasks.Task
) -> None:
    defense = direct.build("noisy-input", digits)
    x, y = direct.right_examples(defense, digits, 60)
    view = direct.View(defense, len(x), stochastic=True)
    played = direct.play(Pgd(FOLDER), defense, digits, x=x, y=y, epsilon=0.15, view=view)
    wrong = np.array(
        [scores(direct, defense, played.candidates, 1000 * j).argmax(1) != y for j in range(10)]
    )
    repeated = (wrong[1:] & wrong[0]).sum() / (9 * wrong[0].sum())
    assert 0.5 < repeated < 1.0
    assert wrong.any(0).mean() > wrong.mean()


def test_no_attack_breaks_a_nearest_neighbour_within_half_of_what_parts_the_classes(
    direct: ModuleType, digits: tasks.Task
) -> None:
    defense = direct.build("robust-nearest-neighbour", digits)
    x, y = direct.right_examples(defense, digits, 40)
    stored, labels = defense.estimator._fit_X, defense.estimator.classes_[defense.estimator._y]
    far = np.linalg.norm(x.reshape(40, 1, -1) - stored, axis=2)
    own = np.where(labels == y[:, None], far, np.inf).min(1)
    other = np.where(labels != y[:, None], far, np.inf).min(1)
    radius = (other - own) / 2
    view = direct.View(defense, 40, output="label", per_example=400, white=False)
    played = direct.play(
        Boundary(FOLDER, {"queries": 400}), defense, digits, x=x, y=y, norm="l2", view=view
    )
    assert played.fooled.any()
    assert (played.sizes("l2") >= radius - 1e-4)[played.fooled].all()
    between = labels[:, None] != labels
    assert np.linalg.norm(stored[:, None] - stored, axis=2)[between].min() >= 1.5 - 1e-6


def test_the_certificate_of_wrm_holds_on_every_attack_played(
    direct: ModuleType, digits: tasks.Task
) -> None:
    defense, recipe = direct.build("wrm", digits), recipes.find("wrm-digits")
    x, y = direct.right_examples(defense, digits, 100)
    step = Step(
        defense.module,
        torch.tensor(x),
        torch.tensor(y),
        replace(recipe, steps=200),
        1.0,
        torch.Generator(),
    )
    worst = robust_surrogate(step).numpy()
    gamma = recipe.weight
    penalty = gamma * ((worst - x) ** 2).sum((1, 2, 3))
    surrogate = (losses(defense, worst, y) - penalty).mean()
    for epsilon in (0.25, 0.5, 1.0):
        played = direct.play(Pgd(FOLDER), defense, digits, x=x, y=y, norm="l2", epsilon=epsilon)
        cost = (played.sizes("l2") ** 2).mean()
        loss = losses(defense, played.candidates, y).mean()
        assert loss <= gamma * cost + surrogate
    assert surrogate >= losses(defense, x, y).mean()


def losses(defense: Any, x: Any, y: Any) -> Any:
    """(n,) cross-entropy."""
    z = defense.predict(x.astype(np.float32)).astype(np.float64)
    z -= z.max(1, keepdims=True)
    return np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]


@pytest.mark.parametrize("name", ["virtual-adversarial", "wrm", "interval-bounds"])
def test_training_on_neighbourhoods_stands_a_little_better_than_the_plain_net(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any, name: str
) -> None:
    robust = []
    for defense in (direct.build(name, digits), house_cnn):
        x, y = direct.right_examples(defense, digits, 80)
        attack = Pgd(FOLDER, {"restarts": 2})
        played = direct.play(attack, defense, digits, x=x, y=y, epsilon=0.1)
        robust.append(1 - played.fooled.mean())
    assert robust[0] > robust[1]


@pytest.mark.parametrize(
    "name",
    ["nearest-neighbour", "decision-tree", "support-vector-machine", "robust-nearest-neighbour"],
)
def test_models_without_gradients_fall_to_scores(
    direct: ModuleType, digits: tasks.Task, name: str
) -> None:
    defense = direct.build(name, digits)
    assert not house.manifest(name).differentiable
    x, y = direct.right_examples(defense, digits, 50)
    view = direct.View(defense, 50, output="probabilities", per_example=300, white=False)
    played = direct.play(Square(FOLDER), defense, digits, x=x, y=y, epsilon=0.3, view=view)
    assert played.fooled.mean() > 0.5
