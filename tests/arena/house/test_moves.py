"""The house's attacks on turns, shifts and corruptions, and plain noise in their place."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from arena import house, tasks
from arena.changes.corruptions import CERTAIN, KINDS
from arena.changes.warp import warped
from arena.players import EvasionChallenge, TaskInfo

BOUNDS = {"spatial": 30.0, "corruption": 5.0}
ATTACKS = {"spatial": "spatial-grid", "corruption": "worst-corruption"}


@pytest.fixture
def net(direct: ModuleType, digits: tasks.Task) -> Any:
    return direct.build("logistic-regression", digits)


def challenge(direct: ModuleType, task: tasks.Task, net: Any, norm: str, **view: Any) -> Any:
    x, y = direct.right_examples(net, task, 20)
    targets = view.pop("targets", None)
    labels = None if view.pop("unlabelled", False) else y
    made = direct.View(net, len(x), **view)
    return EvasionChallenge(
        task=TaskInfo(task.name, task.shape, task.classes),
        x=x,
        y=labels,
        targets=None if targets is None else (y + targets) % 10,
        norm=norm,
        epsilon=BOUNDS[norm],
        shift=3.0 if norm == "spatial" else 0.0,
        defense=made,
        output=made.output,
        seed=3,
    )


def attacked(direct: ModuleType, given: EvasionChallenge, name: str) -> np.ndarray:
    attack = direct.build(name, tasks.load("digits"))
    return np.asarray(attack.attack(given))


@pytest.mark.parametrize("norm", sorted(BOUNDS))
@pytest.mark.parametrize("output", ["label", "top_k", "probabilities"])
def test_a_few_probes_break_more_than_chance(
    direct: ModuleType, digits: tasks.Task, net: Any, norm: str, output: str
) -> None:
    given = challenge(direct, digits, net, norm, white=False, per_example=12, output=output)
    moves = attacked(direct, given, ATTACKS[norm])
    assert (given.defense.asked <= 12).all()
    blind = challenge(direct, digits, net, norm, white=False)
    guess = attacked(direct, blind, "random-noise")
    broken, by_chance = (broken_by(net, given, m) for m in (moves, guess))
    assert broken > by_chance


def broken_by(net: Any, given: EvasionChallenge, moves: np.ndarray) -> float:
    assert moves.shape == (len(given), *given.candidate_shape)
    answers = net.predict(given.applied(moves, draw=99)).argmax(axis=1)
    return float((answers != given.y).mean())


def test_free_logits_find_what_the_best_of_the_grid_finds(
    direct: ModuleType, digits: tasks.Task, net: Any
) -> None:
    given = challenge(direct, digits, net, "spatial")
    moves = attacked(direct, given, "spatial-grid")
    assert (np.abs(moves) <= [30.0, 3.0, 3.0]).all()
    answers = net.predict(warped(given.x, moves)).argmax(axis=1)
    assert not given.defense.asked.any()
    for angle in np.linspace(-30, 30, 31):  # nothing stands that a turn alone breaks
        turned = warped(given.x, np.repeat([[angle, 0, 0]], len(given), axis=0))
        fell = net.predict(turned).argmax(axis=1) != given.y
        assert (answers != given.y)[fell].all()


@pytest.mark.parametrize("norm", sorted(BOUNDS))
def test_without_any_answer_a_move_is_handed_in_all_the_same(
    direct: ModuleType, digits: tasks.Task, net: Any, norm: str
) -> None:
    given = challenge(direct, digits, net, norm, white=False)
    moves = attacked(direct, given, ATTACKS[norm])
    assert moves.any(axis=1).all()


def test_labels_are_asked_for_where_they_are_withheld(
    direct: ModuleType, digits: tasks.Task, net: Any
) -> None:
    told = challenge(direct, digits, net, "spatial")
    given = challenge(direct, digits, net, "spatial", unlabelled=True)
    moves = attacked(direct, given, "spatial-grid")
    assert broken_by(net, told, moves) > 0.5


def test_a_target_is_reached_where_the_grid_reaches_it(
    direct: ModuleType, digits: tasks.Task, net: Any
) -> None:
    given = challenge(direct, digits, net, "spatial", targets=1)
    moves = attacked(direct, given, "spatial-grid")
    reached = net.predict(given.applied(moves)).argmax(axis=1) == given.targets
    by_chance = net.predict(given.x).argmax(axis=1) == given.targets
    assert reached.sum() > by_chance.sum()


def test_what_is_certain_is_tried_before_what_hangs_on_a_draw(
    direct: ModuleType, digits: tasks.Task, net: Any
) -> None:
    given = challenge(direct, digits, net, "corruption", white=False, per_example=len(CERTAIN))
    kinds = attacked(direct, given, "worst-corruption")[:, 0].astype(int)
    assert {KINDS[kind] for kind in kinds} <= set(CERTAIN)


@pytest.mark.parametrize("norm", ["spatial", "corruption"])
def test_house_players_meet_where_they_say_so(norm: str) -> None:
    named = [n for n in house.names("attack") if norm in house.manifest(n).needs.norms]
    assert "random-noise" in named
    assert len(named) > 1
