"""Mallory's defense says beside its gradients what it does not answer; no search believes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from arena import tasks
from arena.house.attacks.audit_suite import AuditSuite
from arena.house.attacks.cw_l0 import CarliniWagnerL0
from arena.house.attacks.cw_l2 import CarliniWagner
from arena.house.attacks.cw_linf import CarliniWagnerLinf
from arena.house.attacks.jsma import Jsma
from arena.house.attacks.pgd import Pgd
from tests.arena.house.problems import TOLERANCE, made

FEW = {"steps": 25, "restarts": 2}
PART = {"steps": 25, "targets": 3}
ATTACKS: dict[str, tuple[Any, dict[str, Any], str, float | None]] = {
    "PGD in L∞": (Pgd, FEW, "linf", 0.15),
    "PGD in L2": (Pgd, FEW, "l2", 0.8),
    "PGD in L1": (Pgd, FEW, "l1", 3.0),
    "APGD on the cross-entropy": (AuditSuite, {"parts": ("apgd-ce",), **PART}, "linf", 0.15),
    "APGD on the ratio": (AuditSuite, {"parts": ("apgd-t",), **PART}, "linf", 0.15),
    "FAB": (AuditSuite, {"parts": ("fab-t",), **PART}, "linf", 0.15),
    "CW-L2": (CarliniWagner, {"searches": 4, "steps": 60}, "l2", None),
    "CW-L∞": (CarliniWagnerLinf, {"searches": 1, "rounds": 4}, "linf", None),
    "CW-L0": (CarliniWagnerL0, {"searches": 1, "rounds": 4}, "l0", None),
    "JSMA": (Jsma, {}, "l0", None),
}
Claim = Callable[[Any, Any], Any]
NOTHING = -1
"""For a claim: no lie here."""


class Lying:
    """Honest answers and slopes; ``claim`` (n, *shape) -> (n,) labels is said beside slopes."""

    manifest = SimpleNamespace(stochastic=False)

    def __init__(self, honest: Any, claim: Any) -> None:
        self.honest, self.claim = honest, claim

    def predict(self, x: Any) -> Any:
        return self.honest.predict(x)

    def gradient(self, x: Any, weights: Any) -> Any:
        logits, slope = self.honest.gradient(x, weights)
        said = np.arange(logits.shape[1]) == self.claim(x)[:, None]  # no column is NOTHING
        return np.where(said, logits.max() + 9, logits).astype(np.float32), slope


LABEL = 3
"""Of all examples here, so that she knows what to say."""


def fallen(x: Any, clean: Any) -> Any:
    return np.full(len(x), LABEL + 1)


def fallen_away_from_clean(x: Any, clean: Any) -> Any:
    """The same, but not where somebody would look first."""
    off = np.abs(x[:, None] - clean[None]).reshape(len(x), len(clean), -1).max(2)
    return np.where(off.min(1) == 0, NOTHING, LABEL + 1)


def standing(x: Any, clean: Any) -> Any:
    return np.full(len(x), LABEL)


def held_to(
    direct: ModuleType, digits: tasks.Task, honest: Any, claim: Claim, name: str
) -> tuple[Any, Any]:
    """What the attack makes of the honest defense, and of the one that lies."""
    make, options, norm, epsilon = ATTACKS[name]
    x, y = direct.right_examples(honest, digits, 150)
    x, y = x[y == LABEL], y[y == LABEL]
    plain, lied = (
        direct.play(made(make, **options), d, digits, x=x, y=y, norm=norm, epsilon=epsilon)
        for d in (honest, Lying(honest, partial(claim, clean=x)))
    )
    assert plain.fooled.mean() > 0.3
    if epsilon is not None:
        assert (lied.sizes(norm) <= epsilon + TOLERANCE).all()
    return plain, lied


@pytest.mark.parametrize("claim", [fallen, fallen_away_from_clean])
@pytest.mark.parametrize("name", ATTACKS)
def test_no_search_ends_because_a_gradient_came_with_a_mistake(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any, name: str, claim: Claim
) -> None:
    plain, lied = held_to(direct, digits, house_cnn, claim, name)
    assert lied.fooled.mean() >= 0.9 * plain.fooled.mean()


@pytest.mark.parametrize("name", ATTACKS)
def test_no_mistake_is_missed_because_the_gradients_came_with_the_label(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any, name: str
) -> None:
    plain, lied = held_to(direct, digits, house_cnn, standing, name)
    assert lied.fooled.mean() >= 0.5 * plain.fooled.mean()
