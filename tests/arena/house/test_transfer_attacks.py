"""Mallory knows only labels, or only models of a kind: substitutes and ensembles."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from arena import house, tasks


def played(direct: ModuleType, name: str, task: tasks.Task, defense: Any, **fields: Any) -> Any:
    attack = direct.build(name, task)
    attack.options.update(fields.pop("options", {}))
    x, y = direct.right_examples(defense, task, 60)
    return direct.play(attack, defense, task, x=x, y=y, **fields)


def substitute(direct: ModuleType, digits: tasks.Task, defense: Any, **fields: Any) -> Any:
    view = direct.View(defense, 60, output="label", per_example=20, white=False)
    options = {"labels": 800, "seeds": 100, "rounds": 4, "epochs": 15}
    training = (digits.train.x[:100], digits.train.y[:100])
    settings = {"epsilon": 0.3, "view": view, "training": training, "options": options} | fields
    return played(direct, "jacobian-substitute", digits, defense, **settings)


def test_decay_keeps_a_linear_substitute_small_and_still_fools(
    direct: ModuleType, digits: tasks.Task
) -> None:
    defense, x, y = direct.build("logistic-regression", digits), digits.train.x, digits.train.y
    sizes, fooled = [], []
    for decay in (0.0, 100.0):
        attack = direct.build("jacobian-substitute", digits)
        attack.options.update(
            {"labels": 400, "seeds": 100, "rounds": 3, "epochs": 20, "turn": 1, "step": 0.3}
            | {"substitute": "linear", "decay": decay}
        )
        view = direct.View(defense, 60, output="label", per_example=20, white=False)
        fields = {"x": x[-60:], "y": y[-60:], "training": (x[:100], y[:100])}
        found = direct.play(attack, defense, digits, epsilon=0.3, view=view, **fields)
        sizes.append(float(attack._learned[1][1].weight.norm()))
        fooled.append(float(found.fooled.mean()))
    assert sizes[1] < sizes[0]
    assert min(fooled) > 0.9


def test_a_substitute_trained_on_labels_alone_fools_the_defense(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    ours = substitute(direct, digits, house_cnn)
    noise = played(
        direct,
        "random-noise",
        digits,
        house_cnn,
        epsilon=0.3,
        view=direct.View(house_cnn, 60, white=False),
    )
    assert ours.fooled.mean() > 0.7
    assert ours.fooled.mean() >= 2 * noise.fooled.mean() or noise.fooled.mean() > 0.5
    assert 0 < ours.view.asked.sum() <= 800
    assert ours.view.asked.max() <= 20


def test_a_substitute_spends_no_more_than_a_small_budget(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    view = direct.View(house_cnn, 60, output="probabilities", per_example=3, white=False)
    ours = substitute(direct, digits, house_cnn, view=view)
    assert view.asked.sum() == 180
    assert view.asked.max() == 3
    assert (ours.sizes("linf") <= 0.3 + 1e-6).all()


@pytest.mark.parametrize(("total", "labels"), [(30, True), (30, False), (700, False)])
def test_a_substitute_lives_on_probes_granted_in_total_alone(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any, total: int, *, labels: bool
) -> None:
    view = direct.View(house_cnn, 60, output="label", per_example=np.inf, total=total, white=False)
    attack = direct.build("jacobian-substitute", digits)
    attack.options.update({"seeds": 100, "rounds": 3})
    x, y = direct.right_examples(house_cnn, digits, 60)
    ours = direct.play(
        attack,
        house_cnn,
        digits,
        x=x,
        y=y if labels else None,
        epsilon=0.3,
        view=view,
        training=(digits.train.x[:100], digits.train.y[:100]),
    )
    assert view.asked.sum() == total
    assert (ours.sizes("linf") <= 0.3 + 1e-6).all()


def test_one_substitute_serves_every_radius_of_a_round(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    attack = direct.build("jacobian-substitute", digits)
    attack.options.update({"labels": 400, "seeds": 100, "rounds": 2})
    x, y = direct.right_examples(house_cnn, digits, 60)
    training = (digits.train.x[:100], digits.train.y[:100])
    broken, asked = [], []
    for epsilon in (0.05, 0.3):
        view = direct.View(house_cnn, 60, output="label", per_example=20, white=False)
        ours = direct.play(
            attack, house_cnn, digits, x=x, y=y, epsilon=epsilon, view=view, training=training
        )
        broken.append(ours.fooled.mean())
        asked.append(view.asked.sum())
    assert asked == [400, 0]
    assert broken[1] > broken[0]


def test_a_substitute_out_of_time_hands_in_what_it_has(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    handed: list[Any] = []
    for seconds in (1e-9, 600.0):
        view = direct.View(house_cnn, 60, output="label", per_example=20, white=False)
        options = {"labels": 800, "seeds": 100, "rounds": 3, "seconds": seconds}
        ours = substitute(
            direct,
            digits,
            house_cnn,
            view=view,
            options=options,
            submit_candidates=lambda x, _rows: handed.append(x),
        )
        assert (ours.sizes("linf") <= 0.3 + 1e-6).all()
        assert view.asked.sum() == (100 if seconds < 1 else 800)
        assert len(handed) == (0 if seconds < 1 else 3)
    assert all((np.abs(x - ours.x) <= 0.3 + 1e-6).all() for x in handed)


def test_a_substitute_finds_its_labels_out_where_they_are_withheld(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    attack = direct.build("jacobian-substitute", digits)
    attack.options.update({"labels": 400, "seeds": 100, "rounds": 3})
    x, y = direct.right_examples(house_cnn, digits, 40)
    view = direct.View(house_cnn, 40, output="label", per_example=20, white=False)
    ours = direct.play(
        attack,
        house_cnn,
        digits,
        x=x,
        y=None,
        epsilon=0.3,
        view=view,
        training=(digits.train.x[:100], digits.train.y[:100]),
    )
    assert (ours.answers != y).mean() > 0.5


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("targeted", [False, True])
def test_an_ensemble_transfers_without_a_single_probe(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any, norm: str, *, targeted: bool
) -> None:
    epsilon = {"linf": 0.25, "l2": 1.6}[norm]
    related = tuple(direct.unpack(p) for p in house.related("convolutional network", "digits"))
    x, y = direct.right_examples(house_cnn, digits, 60)
    view = direct.View(house_cnn, 60, white=False)
    ours = played(
        direct,
        "ensemble-transfer",
        digits,
        house_cnn,
        norm=norm,
        epsilon=epsilon,
        targets=(y + 1) % 10 if targeted else None,
        related=related,
        training=(digits.train.x, digits.train.y),
        view=view,
    )
    assert ours.fooled.mean() > (0.2 if targeted else 0.7)
    assert (ours.sizes(norm) <= epsilon + 1e-6).all()
    assert view.calls == 0
    assert len(x) == 60


def test_an_ensemble_without_sources_gives_x_back(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    view = direct.View(house_cnn, 60, white=False)
    ours = played(direct, "ensemble-transfer", digits, house_cnn, epsilon=0.3, view=view)
    assert np.array_equal(ours.candidates, ours.x)


def test_no_attack_disturbs_the_global_random_state(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    substitute(direct, digits, house_cnn, epsilon=0.1)
    assert torch.equal(before, torch.random.get_rng_state())
