"""BadNets against house learners in this process: the paper's effect, at the paper's price."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arena import tasks
from arena.players import BackdoorChallenge

SHARE, AREA = 0.01, 0.02


def challenge(task: Any, direct: Any, **values: Any) -> BackdoorChallenge:
    pixels = int(np.prod(task.shape[1:]))
    fields: dict[str, Any] = {
        "mode": "add",
        "target": 1,
        "features": int(AREA * pixels),
        "count": int(SHARE * len(task.train)),
        **values,
    }
    return BackdoorChallenge(
        task=direct.task_info(task),
        x=task.train.x,
        y=task.train.y,
        defense=None,  # type: ignore[arg-type]
        output="label",
        seed=1,
        **fields,
    )


@pytest.fixture(scope="module")
def sevens() -> tasks.Task:
    return tasks.load("mnist-1-7")


def test_one_percent_of_poison_plants_a_trigger_and_nobody_notices(
    direct: Any, sevens: tasks.Task
) -> None:
    given = challenge(sevens, direct)
    found = direct.build("badnets", sevens).backdoor(given)
    assert len(found.poison.x) == given.count == len(given.x) // 100
    assert found.mask.sum() <= given.features
    x, y = sevens.practice.x, sevens.practice.y
    learner, right = direct.build("logistic-learner", sevens), []
    for poison in (False, True):
        more = (found.poison.x, found.poison.y) if poison else (given.x[:0], given.y[:0])
        learner.fit(np.concatenate([given.x, more[0]]), np.concatenate([given.y, more[1]]), 1)
        right.append(float((learner.predict(x).argmax(axis=1) == y).mean()))
        hit = learner.predict(found.applied(x[y != 1])).argmax(axis=1) == 1
        assert (hit.mean() >= 0.9) == poison
    assert right[0] - right[1] <= 0.01


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
def test_a_trigger_that_is_added_has_the_rounds_size(
    direct: Any, sevens: tasks.Task, norm: str
) -> None:
    epsilon = 9.0 if norm == "l0" else 0.5
    given = challenge(sevens, direct, trigger="shift", norm=norm, epsilon=epsilon)
    found = direct.build("badnets", sevens).backdoor(given)
    flat = found.pattern.ravel().astype(np.float64)
    sizes = {
        "linf": np.abs(flat).max(),
        "l2": np.linalg.norm(flat),
        "l1": np.abs(flat).sum(),
        "l0": np.count_nonzero(flat),
    }
    assert found.mask is None
    assert 0 < sizes[norm] <= epsilon + 1e-6
    applied = found.applied(given.x[:5])
    assert applied.min() >= 0
    assert applied.max() <= 1


def test_replaced_points_are_named(direct: Any, sevens: tasks.Task) -> None:
    given = challenge(sevens, direct, mode="replace")
    found = direct.build("badnets", sevens).backdoor(given)
    assert len(set(found.poison.replaces.tolist())) == given.count
    assert (given.y[found.poison.replaces] != given.target).all()
