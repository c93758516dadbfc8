"""A defense whose time is up in the middle of an attack: what was found by then is handed in."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from arena import tasks
from arena.errors import QueryBudgetExceeded
from arena.house.attacks.pgd import Pgd
from tests.arena.house.problems import made
from tests.arena.house.test_claims import ATTACKS, FEW

PLAYED = {**ATTACKS, "PGD, the smallest radius": (Pgd, FEW, "linf", None)}


def slow(view: Any, after: int) -> Any:
    """The view, which answers ``after`` requests and no more."""
    for name in ("logits", "logits_and_gradient"):
        setattr(view, name, counted(view, getattr(view, name), after))
    view.requests = 0
    return view


def counted(view: Any, ask: Any, after: int) -> Any:
    def asked(*arrays: Any) -> Any:
        view.requests += 1
        if view.requests > after:
            raise QueryBudgetExceeded("the defense's time is up")
        return ask(*arrays)

    return asked


@pytest.mark.parametrize("after", [3, 40, 400])
@pytest.mark.parametrize("name", PLAYED)
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
