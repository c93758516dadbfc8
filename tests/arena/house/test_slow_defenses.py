"""A defense whose time is up in the middle of an attack: what was found by then is handed in."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from arena import house, tasks
from arena.errors import QueryBudgetExceeded
from arena.house.attacks.audit_suite import AuditSuite
from arena.house.attacks.bpda import Bpda
from arena.house.attacks.fgsm import Fgsm
from arena.house.attacks.pgd import Pgd
from arena.players import EvasionChallenge
from tests.arena.house.problems import made
from tests.arena.house.test_claims import ATTACKS, FEW

SQUARE = {"parts": ("square",), "queries": 200}
PLAYED = {
    **ATTACKS,
    "PGD, the smallest radius": (Pgd, FEW, "linf", None),
    "Square in the audit": (AuditSuite, SQUARE, "linf", 0.25),
}


def slow(view: Any, after: float) -> Any:
    """The view, which answers ``after`` requests and no more."""
    for name in ("logits", "logits_and_gradient"):
        setattr(view, name, counted(view, getattr(view, name), after))
    view.requests = 0
    return view


def counted(view: Any, ask: Any, after: float) -> Any:
    def asked(*arrays: Any) -> Any:
        view.requests += 1
        if view.requests > after:
            raise QueryBudgetExceeded("the defense's time is up")
        return ask(*arrays)

    return asked


@pytest.mark.parametrize("after", [3, 40, 400])
@pytest.mark.parametrize("name", [name for name in PLAYED if "Square" not in name])
def test_an_attack_hands_in_what_it_found_when_the_defense_has_no_more_time(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any, name: str, after: int
) -> None:
    make, options, norm, epsilon = PLAYED[name]
    x, y = direct.right_examples(house_cnn, digits, 10)
    view = slow(direct.View(house_cnn, len(x)), after)
    played = direct.play(
        made(make, **options), house_cnn, digits, x=x, y=y, norm=norm, epsilon=epsilon, view=view
    )
    assert played.fooled[played.sizes(norm) > 0].all()


@pytest.mark.parametrize("name", PLAYED)
def test_the_first_success_is_handed_in_though_the_time_is_up_right_after_it(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any, name: str
) -> None:
    make, options, norm, epsilon = PLAYED[name]
    x, y = direct.right_examples(house_cnn, digits, 10)

    def played(after: float) -> tuple[Any, list[int]]:
        view = slow(direct.View(house_cnn, len(x)), after)
        fell: list[int] = []
        answers = view.logits

        def logits(points: Any) -> Any:
            found = answers(points)
            near = np.abs(points[:, None] - x[None]).reshape(len(points), len(x), -1).sum(2)
            if (found.argmax(1) != y[near.argmin(1)]).any():
                fell.append(view.requests)
            return found

        view.logits = logits
        attack = made(make, **options)
        found = direct.play(
            attack, house_cnn, digits, x=x, y=y, norm=norm, epsilon=epsilon, view=view
        )
        return found, fell

    _, fell = played(float("inf"))
    assert played(fell[0])[0].fooled.any()


@pytest.mark.parametrize("name", [*PLAYED, "FGSM"])
def test_an_attack_whose_defense_has_no_time_at_all_hands_in_what_it_was_given(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any, name: str
) -> None:
    make, options, norm, epsilon = {**PLAYED, "FGSM": (Fgsm, {}, "linf", 0.1)}[name]
    x, y = direct.right_examples(house_cnn, digits, 10)
    view = slow(direct.View(house_cnn, len(x)), 0)
    played = direct.play(
        made(make, **options), house_cnn, digits, x=x, y=y, norm=norm, epsilon=epsilon, view=view
    )
    assert (played.candidates == x).all()


def test_bpda_hands_in_what_it_was_given_where_the_labels_are_withheld_too(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    class Unlabelled:
        def attack(self, challenge: EvasionChallenge) -> Any:
            return made(Bpda).attack(replace(challenge, y=None))

    x, y = direct.right_examples(house_cnn, digits, 10)
    view = slow(direct.View(house_cnn, len(x)), 0)
    package = direct.unpack(house.package("cnn", digits.name))
    played = direct.play(
        Unlabelled(), house_cnn, digits, x=x, y=y, epsilon=0.1, view=view, package=package
    )
    assert (played.candidates == x).all()


def test_what_fell_at_a_smaller_budget_is_handed_in_where_there_is_no_time_at_a_larger_one(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    attack = made(AuditSuite, parts=("apgd-ce",), steps=25)
    x, y = direct.right_examples(house_cnn, digits, 10)
    small, large = (
        direct.play(
            attack, house_cnn, digits, x=x, y=y, epsilon=epsilon,
            view=slow(direct.View(house_cnn, len(x)), after),
        )
        for epsilon, after in ((0.15, float("inf")), (0.3, 0))
    )  # fmt: skip
    assert small.fooled.any()
    assert (large.candidates[small.fooled] == small.candidates[small.fooled]).all()
