"""The house's patch: within its rectangle, where it helps most, and by answers alone."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from arena import tasks
from arena.games.norms import distance
from arena.house.attacks.patch import Frame, Patch
from arena.planted import plant
from arena.players import EvasionChallenge, TaskInfo
from arena.rounds import Norm
from tests.arena.test_planted import logits

SHARE = 0.1


def made(**options: Any) -> Patch:
    attack = Patch(None)  # type: ignore[arg-type]
    attack.options = options
    return attack


@pytest.fixture
def net(direct: ModuleType, digits: tasks.Task) -> Any:
    return direct.build("logistic-regression", digits)


def challenge(direct: ModuleType, task: tasks.Task, net: Any, **given: Any) -> EvasionChallenge:
    x, y = direct.right_examples(net, task, 20)
    epsilon = given.pop("epsilon", SHARE)
    masks = {key: given.pop(key, None) for key in ("mutable", "add_only")}
    made = direct.View(net, len(x), **given)
    return EvasionChallenge(
        task=TaskInfo(task.name, task.shape, task.classes, **masks),
        x=x,
        y=y,
        targets=None,
        norm="patch",
        epsilon=epsilon,
        defense=made,
        output=made.output,
        seed=3,
    )


def broken(net: Any, given: EvasionChallenge, candidates: np.ndarray) -> float:
    assert candidates.dtype == np.float32
    assert 0 <= candidates.min() <= candidates.max() <= 1
    return float((net.predict(candidates).argmax(axis=1) != given.y).mean())


def area(given: EvasionChallenge, candidates: np.ndarray) -> np.ndarray:
    return distance(candidates.astype(np.float64) - given.x, Norm.PATCH)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 1.0])
def test_a_frame_is_within_its_share(share: float) -> None:
    frame = Frame.of((1, 28, 28), share)
    assert 0 < frame.rows * frame.columns <= share * 28 * 28
    mask = frame.masks(frame.random_places(5, np.random.default_rng(0)), (3, 28, 28))
    assert (mask.sum(axis=(1, 2, 3)) == 3 * frame.rows * frame.columns).all()


def test_sums_are_those_of_every_place() -> None:
    values = np.random.default_rng(1).random((2, 3, 6, 7))
    frame = Frame(6, 7, 2, 3)
    sums = frame.sums(values)
    assert sums.shape == (2, 5, 5)
    assert sums[1, 4, 2] == pytest.approx(values[1, :, 4:6, 2:5].sum())


def test_gradients_break_more_than_answers_and_answers_more_than_chance(
    direct: ModuleType, digits: tasks.Task, net: Any
) -> None:
    found = []
    for view in ({}, {"white": False, "per_example": 60}, {"white": False}):
        given = challenge(direct, digits, net, **view)
        candidates = made().attack(given)
        assert (area(given, candidates) <= SHARE).all()
        found.append(broken(net, given, candidates))
    assert found[0] > found[1] > found[2]


@pytest.mark.parametrize("output", ["label", "top_k", "probabilities"])
def test_no_more_probes_are_asked_than_there_are(
    direct: ModuleType, digits: tasks.Task, net: Any, output: str
) -> None:
    given = challenge(direct, digits, net, white=False, per_example=15, output=output)
    candidates = made().attack(given)
    assert (given.defense.asked <= 15).all()  # type: ignore[attr-defined]
    assert broken(net, given, candidates) > 0


def test_a_patch_on_a_linear_model_is_at_the_best_place(direct: ModuleType) -> None:
    """Every planted example falls by the best rectangle, and the first place tried is that one."""
    task = tasks.load("digits")
    case = plant(task, norm=Norm.PATCH, epsilon=SHARE, examples=10, rng=np.random.default_rng(5))

    class Net:
        def predict(self, x: np.ndarray) -> np.ndarray:
            return logits(case, x).astype(np.float32)

        def gradient(self, x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            w = load(case.defense.files["weights.safetensors"])["1.weight"]
            p = np.exp(self.predict(x) - self.predict(x).max(axis=1, keepdims=True))
            p = p / p.sum(axis=1, keepdims=True) - np.eye(p.shape[1])[weights]
            return self.predict(x), (p @ w).reshape(x.shape).astype(np.float32)

    split = case.task.practice
    given = EvasionChallenge(
        task=TaskInfo(task.name, task.shape, task.classes),
        x=split.x,
        y=split.y,
        targets=None,
        norm="patch",
        epsilon=SHARE,
        defense=direct.View(Net(), len(split)),
        output="logits",
        seed=1,
    )
    assert broken(Net(), given, made(places=1, steps=0).attack(given)) == 1.0


def test_one_patch_for_all_is_the_same_everywhere(
    direct: ModuleType, digits: tasks.Task, net: Any
) -> None:
    given = challenge(direct, digits, net, epsilon=0.2)
    candidates = made(universal=True).attack(given)
    assert (area(given, candidates) <= 0.2).all()
    blind = challenge(direct, digits, net, epsilon=0.2, white=False)
    assert broken(net, given, candidates) > broken(net, given, made().attack(blind))


def test_the_smallest_patch_that_does_is_handed_in(
    direct: ModuleType, digits: tasks.Task, net: Any
) -> None:
    given = challenge(direct, digits, net, epsilon=None)
    candidates = made().attack(given)
    fell = net.predict(candidates).argmax(axis=1) != given.y
    assert fell.all()
    wide = challenge(direct, digits, net, epsilon=0.32)
    assert area(given, candidates).mean() < area(wide, made().attack(wide)).mean()


def test_what_may_not_change_does_not(direct: ModuleType, digits: tasks.Task, net: Any) -> None:
    mutable = np.zeros(digits.shape, bool)
    mutable[..., :4] = True
    for view in ({}, {"white": False, "per_example": 10}, {"white": False}):
        given = challenge(direct, digits, net, mutable=mutable, **view)
        assert (made().attack(given) == given.x)[:, ~mutable].all()


def test_what_may_only_grow_does_not_shrink(
    direct: ModuleType, digits: tasks.Task, net: Any
) -> None:
    grows = np.zeros(digits.shape, bool)
    grows[..., ::2] = True
    for view in ({}, {"white": False, "per_example": 10}, {"white": False}):
        given = challenge(direct, digits, net, add_only=grows, **view)
        delta = made().attack(given) - given.x
        assert (delta[:, ~grows] < 0).any()
        for found in (delta, made(universal=True).attack(given) - given.x):
            assert (found[:, grows] >= 0).all()
            assert (found[:, grows] > 0).any()


def test_plain_noise_fills_a_patch_too(direct: ModuleType, digits: tasks.Task, net: Any) -> None:
    given = challenge(direct, digits, net, white=False)
    candidates = direct.build("random-noise", digits).attack(given)
    sizes = area(given, candidates)
    assert (sizes <= SHARE).all()
    assert (sizes > 0).all()
