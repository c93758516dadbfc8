"""House attacks on a table keep to its masks: fixed features stay, words are only added."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from arena import tasks
from arena.players import TaskInfo

MASKED = [
    ("fgsm", "linf"),
    ("pgd", "linf"),
    ("pgd", "l2"),
    ("pgd", "l1"),
    ("cw-l2", "l2"),
    ("jsma", "l0"),
    ("square", "linf"),
    ("boundary", "l2"),
    ("ensemble-transfer", "linf"),
    ("jacobian-substitute", "linf"),
    ("audit-suite", "linf"),
    ("random-noise", "l0"),
    ("random-noise", "linf"),
    ("random-noise", "patch"),
    ("patch", "patch"),
]


@pytest.fixture(scope="module")
def spambase() -> tasks.Task:
    return tasks.load("spambase")


@pytest.mark.parametrize(("attack", "norm"), MASKED)
def test_what_a_house_attack_hands_in_keeps_to_the_masks(
    direct: ModuleType, spambase: tasks.Task, attack: str, norm: str
) -> None:
    defense = direct.build("logistic-regression", spambase)
    x, y = direct.right_examples(defense, spambase, 12)
    view = direct.View(defense, len(x), output="probabilities", per_example=60)
    played = direct.play(
        direct.build(attack, spambase),
        defense,
        spambase,
        x=x,
        y=y,
        norm=norm,
        epsilon={"l0": 6, "l1": 4.0, "l2": 0.8}.get(norm, 0.2),
        view=view,
        training=(spambase.train.x[:150], spambase.train.y[:150]),
    )
    delta = played.candidates.astype(np.float64) - x
    assert spambase.mutable is not None
    assert spambase.add_only is not None
    assert (abs(delta)[:, ~spambase.mutable] <= 1e-6).all()
    assert (delta[:, spambase.add_only] >= -1e-6).all()
    assert (delta != 0).any()
    assert played.fooled.any() or attack == "random-noise"


def test_what_a_task_forbids_is_taken_out_of_a_step() -> None:
    fixed, grows = np.array([False, True, True, True]), np.array([False, False, True, True])
    info = TaskInfo("table", (4,), ("a", "b"), mutable=fixed, add_only=grows)
    step = np.array([[1.0, -1.0, -1.0, 1.0]], np.float32)
    assert info.allowed(step).tolist() == [[0.0, -1.0, 0.0, 1.0]]
    assert info.allowed(step).dtype == np.float32


def test_a_task_without_masks_hands_the_step_back_as_it_is() -> None:
    step: Any = np.ones((2, 4))
    assert TaskInfo("table", (4,), ("a", "b")).allowed(step) is step


def test_masks_of_an_image_apply_to_flat_steps_too() -> None:
    mutable = np.arange(4).reshape(1, 2, 2) > 1
    info = TaskInfo("image", (1, 2, 2), ("a", "b"), mutable=mutable)
    assert info.allowed(np.ones((1, 4))).tolist() == [[0, 0, 1, 1]]
    assert info.allowed(np.ones((1, 1, 2, 2))).shape == (1, 1, 2, 2)
