"""What a defense says beside a gradient of when an example fell, and what it answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arena.oracle import Oracle
from arena.threat_model import ThreatModel
from tests.arena.fakes import SIDE, Array, DefenseSeatFake, Linear, differentiable

CLEAN = np.full((4, SIDE), 0.2, np.float32)
CLEAN[:, 0] = 0.6
FALLEN = CLEAN.copy()
FALLEN[:, 1] = 0.9
Y = np.zeros(4, np.int64)


class Says(Linear):
    """Beside a gradient always the logits of ``point``, wherever it is asked."""

    def __init__(self, point: Array) -> None:
        super().__init__()
        self.point = point

    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        _, slopes = super().gradient(x, weights, seeds)
        return self.predict(np.repeat(self.point[None], len(x), axis=0), seeds), slopes


def against(player: Any, **manifest: Any) -> Oracle:
    return Oracle(
        DefenseSeatFake(differentiable(**manifest).manifest, player),
        threat_model=ThreatModel.white(),
        shape=(SIDE,),
        classes=3,
        examples=4,
        seeds=lambda examples, asked: np.zeros(len(examples), np.uint64),
        success=lambda x, examples, labels: labels != Y[examples],
        owners=lambda x: np.rint(x[:, 2] * 10).astype(np.int64) % 4,
    )


def fell(oracle: Oracle) -> list[float]:
    found: list[float] = oracle.record.iterations_to_success.tolist()
    return found


def test_fallen_at_once_is_no_success_where_the_answer_says_otherwise() -> None:
    liar = against(Says(FALLEN[0]))
    for x in (CLEAN, CLEAN, FALLEN):
        liar.gradient(x, Y)
        liar.logits(x)
    assert fell(liar) == [3.0] * 4


def test_standing_for_ever_is_found_out_by_the_answer_to_what_is_left_behind() -> None:
    liar = against(Says(CLEAN[0]))
    for x in (CLEAN, FALLEN):
        liar.gradient(x, Y)
    assert fell(liar) == [-1.0] * 4
    liar.logits(FALLEN)
    assert fell(liar) == [2.0] * 4


def test_an_answer_about_another_point_takes_no_claim_back() -> None:
    honest = against(Linear())
    honest.gradient(FALLEN, Y)
    honest.logits(CLEAN)
    honest.logits(FALLEN)
    honest.logits(CLEAN)
    assert fell(honest) == [1.0] * 4


def test_what_falls_before_any_gradient_took_no_iteration() -> None:
    honest = against(Linear())
    honest.logits(FALLEN)
    assert fell(honest) == [-1.0] * 4


@pytest.mark.parametrize(("stochastic", "noted"), [(False, 1.0), (True, -1.0)])
def test_one_draw_of_a_vote_refutes_and_finds_nothing(stochastic: bool, noted: float) -> None:
    seat = against(Says(CLEAN[0]), stochastic=stochastic)
    seat.gradient(FALLEN, Y)
    seat.logits(FALLEN)
    assert fell(seat) == [noted] * 4


def test_rows_that_are_asked_for_alone_are_told_apart_by_what_they_lie_nearest_to() -> None:
    liar = against(Says(FALLEN[0]))
    one = CLEAN[:1].copy()
    one[:, 2] = 0.3
    liar.gradient(one, Y[:1])
    assert fell(liar) == [-1.0, -1.0, -1.0, 1.0]
    liar.logits(one)
    assert fell(liar) == [-1.0] * 4


def test_what_is_found_without_gradients_after_their_last_look_is_no_success_of_theirs() -> None:
    honest = against(Linear())
    honest.gradient(CLEAN, Y)
    honest.logits(CLEAN)
    honest.logits(FALLEN)
    assert fell(honest) == [-1.0] * 4
    honest.gradient(CLEAN, Y)
    honest.logits(FALLEN)
    assert fell(honest) == [2.0] * 4


def test_whose_an_answer_is_is_not_looked_for_where_it_changes_nothing() -> None:
    looked: list[int] = []
    honest = against(Linear())
    owners = honest._owners
    assert owners is not None

    def looking(x: Array) -> Array:
        looked.append(len(x))
        return owners(x)

    honest._owners = looking
    told_apart = CLEAN.copy()
    told_apart[:, 2] = np.arange(4) / 10
    honest.gradient(told_apart, Y)
    honest.logits(told_apart[:3])
    assert looked == [3]
    honest.logits(told_apart[3:])
    honest.logits(told_apart[:3])
    assert looked == [3, 1]
