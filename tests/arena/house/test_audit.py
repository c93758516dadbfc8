"""The audit: what its parts find together, and when it gives up."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from arena import tasks
from arena.house.attacks.audit_suite import AuditSuite
from arena.house.attacks.pgd import Pgd
from arena.house.attacks.square import hopeless
from tests.arena.house.problems import TOLERANCE, made


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
