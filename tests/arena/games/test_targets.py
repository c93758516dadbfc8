"""Targets are never the example's own class, and the same for every attack of a round."""

from __future__ import annotations

import numpy as np
import pytest

from arena.games.base import Examples, choose_examples
from arena.games.targets import deal, least_likely
from arena.rounds import Goal, TargetRule
from arena.verdict import Status
from tests.arena.fakes import SECRET, SIDE, Array, Fakes, Linear, package, play, spec, toy_task

Y = np.tile(np.arange(5), 40)
EXAMPLES = Examples(np.arange(200), np.zeros((200, SIDE), np.float32), Y)


def no_reference(x: Array) -> Array:
    raise AssertionError("no reference is needed")


def stream() -> np.random.RandomState:
    return np.random.RandomState(4)


def test_random_targets_cover_every_other_class() -> None:
    round_ = spec(goal=Goal.TARGETED)
    cases = deal(round_, EXAMPLES, classes=5, stream=stream(), reference=no_reference)
    targets = cases.target_or_none
    assert (targets != Y).all()
    assert set(targets[Y == 2]) == {0, 1, 3, 4}


def test_all_targets_are_all_the_other_classes() -> None:
    round_ = spec(goal=Goal.TARGETED, target_rule=TargetRule.ALL)
    cases = deal(round_, EXAMPLES, classes=5, stream=stream(), reference=no_reference)
    assert len(cases) == 200 * 4
    for example in range(5):
        mine = cases.target_or_none[cases.example == example]
        assert sorted(mine) == sorted(set(range(5)) - {Y[example]})


def test_the_least_likely_class_is_that_of_the_reference() -> None:
    scores = np.array([[0.1, 0.6, 0.3], [0.0, 0.5, 0.5]])
    assert least_likely(scores, np.array([1, 0])).tolist() == [0, 1]


def test_least_likely_targets_are_read_off_the_house_reference() -> None:
    round_ = spec(goal=Goal.TARGETED, target_rule=TargetRule.LEAST_LIKELY)

    def towards(challenge: object) -> Array:
        return challenge.x  # type: ignore[attr-defined,no-any-return]

    fakes = Fakes(towards, house={"reference": Linear})
    verdict = play(fakes, round_, reference=package("defense", name="reference"))
    columns = verdict.outcome.columns  # type: ignore[union-attr]
    task = toy_task()
    examples = choose_examples(task.practice, count=30, secret=SECRET, digest=task.digest)
    assert (columns["target"] == examples.x[:, :3].argmin(axis=1)).all()


def test_without_a_reference_the_match_is_void_and_nobody_is_blamed() -> None:
    round_ = spec(goal=Goal.TARGETED, target_rule=TargetRule.LEAST_LIKELY)
    verdict = play(Fakes(lambda challenge: challenge.x), round_)
    assert verdict.status is Status.VOID
    assert verdict.fault is not None
    assert verdict.fault.side is None
    assert "reference" in verdict.fault.sentence


@pytest.mark.parametrize(("count", "each"), [(30, 10), (6, 2)])
def test_examples_are_balanced_over_classes(count: int, each: int) -> None:
    split = toy_task(practice=300).practice
    examples = choose_examples(split, count=count, secret=SECRET, digest="d")
    assert np.bincount(examples.y).tolist() == [each] * 3
    assert len(set(examples.index.tolist())) == count
    assert (split.y[examples.index] == examples.y).all()


def test_examples_hang_on_the_rounds_secret() -> None:
    split = toy_task().practice
    mine = choose_examples(split, count=30, secret=SECRET, digest="d").index
    assert (choose_examples(split, count=30, secret=SECRET, digest="d").index == mine).all()
    assert (choose_examples(split, count=30, secret=b"other", digest="d").index != mine).any()


def test_a_small_split_gives_all_it_has() -> None:
    split = toy_task(practice=9).practice
    examples = choose_examples(split, count=500, secret=SECRET, digest="d")
    assert sorted(examples.index.tolist()) == list(range(9))
