"""Collision, gradient matching and the greedy poisoner of streams, against house learners."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arena import tasks
from arena.players import OnlineChallenge, TargetedChallenge

Array = Any


def chosen(task: tasks.Task, direct: Any, **values: Any) -> TargetedChallenge:
    x, y = task.practice.x, task.practice.y
    row = int(np.flatnonzero(y == 0)[3])
    fields: dict[str, Any] = {"mode": "add", "epsilon": 0.3, "norm": "linf", "count": 40, **values}
    return TargetedChallenge(
        task=direct.task_info(task), x=task.train.x, y=task.train.y, defense=None,  # type: ignore[arg-type]
        output="label", seed=1, target_x=x[row], target=1, label=0, **fields,
    )  # fmt: skip


def nearest_bases(x: Array, y: Array, c: TargetedChallenge, norm: float) -> Array:
    bases = c.x[c.y == c.target].reshape(-1, x[0].size).astype(np.float64)
    gaps = [np.linalg.norm(bases - p.ravel(), ord=norm, axis=1).min() for p in x]
    assert (y == c.target).all()
    return np.array(gaps)


@pytest.mark.parametrize("name", ["collision", "gradient-matching"])
def test_clean_label_poison_keeps_to_the_round_and_to_the_label(direct: Any, name: str) -> None:
    task = tasks.load("digits")
    poisoner = direct.build(name, task)
    poisoner.epochs, poisoner.steps, poisoner.nets = 1, 5, 1
    for mode in ("add", "replace"):
        c = chosen(task, direct, mode=mode)
        poison = poisoner.poison_target(c)
        assert len(poison.x) == c.count
        assert nearest_bases(poison.x, poison.y, c, np.inf).max() <= 0.3 + 1e-6
        assert poison.x.min() >= 0
        assert poison.x.max() <= 1
        if mode == "replace":
            assert len(np.unique(poison.replaces)) == c.count
            assert np.abs(poison.x - c.x[poison.replaces]).max() <= 0.3 + 1e-6


@pytest.mark.parametrize(("norm", "order", "size"), [("l2", 2, 1.0), ("l1", 1, 3.0), ("l0", 0, 5)])
def test_collision_keeps_to_every_norm(direct: Any, norm: str, order: float, size: float) -> None:
    task = tasks.load("digits")
    c = chosen(task, direct, norm=norm, epsilon=size)
    poison = direct.build("collision", task).poison_target(c)
    assert nearest_bases(poison.x, poison.y, c, order).max() <= size + 1e-4


def test_a_free_collision_wins_the_point_from_softmax_regression(direct: Any) -> None:
    task = tasks.load("mnist-1-7")
    c = chosen(task, direct, epsilon=None, count=32)
    poison = direct.build("collision", task).poison_target(c)
    learner = direct.build("logistic-learner", task)
    answers = []
    for more in (0, c.count):
        x, y = np.concatenate([c.x, poison.x[:more]]), np.concatenate([c.y, poison.y[:more]])
        learner.fit(x, y, 1)
        answers.append(int(learner.predict(c.target_x[None]).argmax()))
        right = float((learner.predict(task.practice.x).argmax(1) == task.practice.y).mean())
    assert answers == [0, 1]
    assert right > 0.95


def test_gradient_matching_turns_its_gradient_towards_the_mistake(direct: Any) -> None:
    task = tasks.load("digits")
    poisoner = direct.build("gradient-matching", task)
    poisoner.epochs, poisoner.steps, poisoner.nets = 2, 25, 1
    c = chosen(task, direct, count=20)
    poison = poisoner.poison_target(c)
    module = __import__(type(poisoner).__module__, fromlist=["_gradient"])
    import torch

    (net,) = poisoner.trained
    wanted = module._gradient(
        net, torch.tensor(c.target_x)[None], torch.tensor([c.target]), create=False
    )

    def misalignment(x: Array) -> float:
        labels = torch.full((len(x),), c.target)
        given = module._gradient(net, torch.tensor(x), labels, create=False)
        return float(module._misalignment(wanted, given))

    honest = c.x[c.y == c.target][: c.count]
    assert misalignment(poison.x) < 0.5 * misalignment(honest)


# ── streams ────────────────────────────────────────────────────────────────────────────────


def streamed(direct: Any, name: str, *, share: float) -> float:
    """Mean error over eight batches of a stream."""
    task = tasks.load("mnist-1-7")
    order = np.random.default_rng(2).permutation(len(task.train))
    learner, poisoner = direct.build(name, task), direct.build("online-greedy", task)
    learner.start(3)
    errors = []
    for batch, rows in enumerate(np.array_split(order, 8)):
        x, y = task.train.x[rows], task.train.y[rows]
        c = OnlineChallenge(
            task=direct.task_info(task), x=x, y=y, count=int(share * len(x)), mode="add",
            defense=None, output="label", seed=batch, batch=batch, batches=8,  # type: ignore[arg-type]
        )  # fmt: skip
        poison = poisoner.poison_batch(c)
        assert len(poison.x) == c.count
        assert poison.x.min(initial=0) >= 0
        assert poison.x.max(initial=1) <= 1
        learner.update(np.concatenate([x, poison.x]), np.concatenate([y, poison.y]))
        answers = learner.predict(task.practice.x).argmax(axis=1)
        errors.append(float((answers != task.practice.y).mean()))
    return float(np.mean(errors))


def test_a_greedy_stream_hurts_the_plain_learner_and_the_sanitising_one_less(
    direct: Any,
) -> None:
    plain, sane = (
        [streamed(direct, name, share=share) for share in (0.0, 0.2)]
        for name in ("online-logistic", "online-sanitising")
    )
    assert plain[0] < 0.06
    assert sane[0] < 0.06
    assert plain[1] - plain[0] > 0.02
    assert sane[1] - sane[0] < 0.5 * (plain[1] - plain[0])
