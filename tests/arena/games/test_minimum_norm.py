"""Minimum-norm rounds: scored by distance, without a budget."""

from __future__ import annotations

import numpy as np
import pytest

from arena.games.base import choose_examples
from arena.players import EvasionChallenge
from arena.rounds import GameName, Norm
from arena.verdict import Verdict
from tests.arena.fakes import SECRET, Array, Fakes, Linear, leave_alone, play, spec, toy_task

ROUND = spec(game=GameName.MINIMUM_NORM, norm=Norm.L2)


def across_the_boundary(challenge: EvasionChallenge) -> Array:
    """The closed form for a linear model: half the margin along each of two features."""
    assert challenge.epsilon is None
    return towards_the_boundary(challenge)


def towards_the_boundary(challenge: EvasionChallenge, share: float = 1.0) -> Array:
    """The same, ``share`` times as far."""
    assert challenge.y is not None
    x = challenge.x.astype(np.float64)
    rows = np.arange(len(x))
    others = x[:, :3].copy()
    others[rows, challenge.y] = -1
    other = others.argmax(axis=1)
    half = (x[rows, challenge.y] - others.max(axis=1)) / 2 + 1e-4
    x[rows, challenge.y] -= share * half
    x[rows, other] += share * half
    return challenge.clip(x)


def judged() -> tuple[Array, Array]:
    task = toy_task()
    examples = choose_examples(task.practice, count=30, secret=SECRET, digest=task.digest)
    return examples.x.astype(np.float64), examples.y


def distances(verdict: Verdict) -> Array:
    assert verdict.kills is not None
    assert verdict.kills.distances is not None
    return verdict.kills.distances


def test_the_distances_are_those_of_the_closed_form() -> None:
    verdict = play(Fakes(across_the_boundary), ROUND)
    x, y = judged()
    logits = np.sort(x[:, :3], axis=1)
    exact = (logits[:, 2] - logits[:, 1]) / np.sqrt(2)
    assert distances(verdict) == pytest.approx(exact, abs=5e-4)
    assert verdict.metrics["median_distance"] == pytest.approx(np.median(exact), abs=5e-4)
    assert verdict.metrics["attack_success_rate"] == 1.0
    assert len(y) == 30


def test_a_miss_costs_the_farthest_point_of_the_cube() -> None:
    verdict = play(Fakes(leave_alone), ROUND)
    x, _ = judged()
    farthest = np.sqrt((np.maximum(x, 1 - x) ** 2).sum(axis=1))
    assert verdict.metrics["mean_distance"] == pytest.approx(farthest.mean())
    assert distances(verdict) == pytest.approx(farthest, rel=1e-6)  # boards rank by it
    assert verdict.kills is not None
    assert not verdict.kills.broken.any()


def test_a_clean_mistake_costs_nothing() -> None:
    class Wrong(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            return np.asarray(-super().predict(x, seeds))

    verdict = play(Fakes(leave_alone, Wrong), ROUND)
    assert verdict.metrics["mean_distance"] == 0.0
    assert (distances(verdict) == 0).all()


def test_the_curve_reads_robust_accuracy_off_the_distances() -> None:
    verdict = play(Fakes(across_the_boundary), ROUND)
    found = distances(verdict)
    for point in verdict.curve:
        assert point["epsilon"] is not None
        assert point["robust_accuracy"] == np.mean(found > point["epsilon"] + 1e-6)
    assert [point["epsilon"] for point in verdict.curve] == [0.1, 0.2, 0.4]


def test_any_size_is_admitted_within_the_range() -> None:
    def far_away(challenge: EvasionChallenge) -> Array:
        return np.asarray(1 - challenge.x.round(), np.float32)

    assert play(Fakes(far_away), ROUND).metrics["rejected"] == 0
    outside = play(Fakes(lambda challenge: challenge.x + 1), ROUND)
    assert outside.metrics["rejected"] == 30
