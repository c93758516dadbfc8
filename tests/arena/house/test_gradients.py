"""Gradients that go around what hides them, and those of stochastic defenses."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from arena import house, tasks
from arena.house.attacks.jsma import Jsma
from arena.house.attacks.pgd import Pgd
from arena.torch_players import expected_gradient, straight_through
from tests.arena.house.problems import TOLERANCE, made


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
