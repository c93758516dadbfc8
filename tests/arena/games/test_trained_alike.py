"""Learners that answer one otherwise than another, and honest ones that only look like it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from arena.errors import FaultCode, Side
from arena.games.trained_alike import TRAINS_OTHERWISE, Differing
from arena.rounds import GameName
from arena.threat_model import ThreatModel
from arena.verdict import Status, Verdict
from tests.arena.games.poisoned import Array, Cast, Means, play

BLACK = ThreatModel.black(queries=4)


def misled_by_answers(brief: Any, arrays: Any, service: Any) -> Any:
    """Asks what lies near points of S, a few at a time; adds far points under another label than
    the answers have there."""
    near = np.clip(arrays["x"][:30] + np.float32(0.01), 0, 1)
    labels = np.concatenate(
        [service.ask(near[i : i + 10], np.arange(i, i + 10)) for i in (0, 10, 20)]
    ).argmax(axis=1)
    high = labels[near[:, 0] > 0.5]
    count = brief["count"]
    x = np.full((count, 4), 0.5, np.float32)
    x[:, 0] = np.arange(count) % 2
    usual = np.where(x[:, 0] == 1, np.bincount(high).argmax(), 1 - np.bincount(high).argmax())
    return x, 1 - usual, None


class LiesToProbers(Means):
    """Takes whoever does not ask for the whole test at once for a poisoner."""

    asked: int | None = None

    def predict(self, x: Array) -> Array:
        self.asked = self.asked or len(x)
        scores = super().predict(x)
        return scores if self.asked == 40 else scores[:, ::-1]


class NeverTheSame(Means):
    """Honest, but no two trainings of it are alike, whatever the seed."""

    trained = 0

    def fit(self, x: Array, y: Array, seed: int) -> None:
        super().fit(x, y, seed)
        NeverTheSame.trained += 1
        self.name = str(self.trained).encode()

    def predict(self, x: Array) -> Array:
        scores = super().predict(x)
        moody = [hashlib.sha256(self.name + row.tobytes()).digest()[0] < 64 for row in x]
        return np.where(np.array(moody)[:, None], scores[:, ::-1], scores)


def probed(learner: Any, game: GameName = GameName.POISONING) -> tuple[Verdict, Cast]:
    cast = Cast(misled_by_answers, learner)
    return play(cast, game=game, threat_model=BLACK, shares=(0.9,), targets=2), cast


def blamed(verdict: Verdict) -> tuple[Side | None, FaultCode | None]:
    assert verdict.fault is not None
    return verdict.fault.side, verdict.fault.code


def test_a_learner_that_lies_to_a_poisoner_forfeits_what_it_would_have_gained() -> None:
    honest, _ = probed(Means)
    assert honest.metrics["poisoned_error"] == 1.0
    verdict, _ = probed(LiesToProbers)
    assert blamed(verdict) == (Side.DEFENSE, FaultCode.NOT_DETERMINISTIC)
    assert verdict.metrics["poisoned_error"] == 1.0


def test_so_it_does_where_points_were_chosen() -> None:
    verdict, _ = probed(LiesToProbers, GameName.TARGETED_POISONING)
    assert blamed(verdict) == (Side.DEFENSE, FaultCode.NOT_DETERMINISTIC)
    assert verdict.metrics["robust_accuracy"] == 0.0


def test_an_honest_learner_is_trained_once_more_and_takes_it_for_the_judgement() -> None:
    verdict, cast = probed(Means)
    assert verdict.status is Status.SCORED
    assert not verdict.flags
    first, again, *judged = cast.learners
    assert len(judged) == 2
    (x, y, seed), (x_again, y_again, seed_again) = first.fits[0], again.fits[0]
    assert np.array_equal(x, x_again)
    assert np.array_equal(y, y_again)
    assert seed == seed_again
    assert np.array_equal(first.fits[0][0], judged[0].fits[0][0]), "not even the order tells"
    assert [len(x) for x in again.asked] == [len(x) for x in judged[0].asked[: len(again.asked)]]


def test_who_asks_nothing_costs_no_training() -> None:
    def asks_nothing(brief: Any, arrays: Any, service: Any) -> Any:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.int64), None

    cast = Cast(asks_nothing)
    play(cast, threat_model=BLACK)
    assert len([seat for seat in cast.learners if len(seat.fits) == 1]) == 1


def test_a_learner_whose_training_is_not_repeatable_told_the_poisoner_no_lie() -> None:
    NeverTheSame.trained = 0
    verdict, _ = probed(NeverTheSame)
    assert verdict.fault is None
    assert TRAINS_OTHERWISE in verdict.flags


@pytest.mark.parametrize(
    ("doubt", "apart", "explained"),
    [
        (Differing(64, 2, 2), Differing(1000, 0, 0), False),  # the very same model: nothing does
        (Differing(64, 0, 2), Differing(1000, 0, 0), False),
        (Differing(64, 0, 40), Differing(1000, 0, 1), True),  # another model of the same labels
        (Differing(64, 20, 40), Differing(1000, 0, 1), False),
        (Differing(64, 20, 40), Differing(1000, 250, 900), True),
    ],
)
def test_only_trainings_that_differ_as_much_explain_a_difference(
    doubt: Differing, apart: Differing, *, explained: bool
) -> None:
    assert doubt.explained_by(apart) is explained


# ── streams ────────────────────────────────────────────────────────────────────────────────


class MisledInStreams:
    """Asks about the second batch; from there on adds far points as the answers mislead it to."""

    usual = 1

    def __call__(self, brief: Any, arrays: Any, service: Any) -> Any:
        x, y = np.full((brief["count"], 4), 0.5, np.float32), np.zeros(brief["count"], np.int64)
        x[:, 0] = np.arange(len(x)) % 2
        if not brief["batch"]:
            return x[:0], y[:0], None
        if brief["batch"] == 1:
            near = np.clip(arrays["x"] + np.float32(0.01), 0, 1)
            labels = service.ask(near, np.arange(len(near))).argmax(axis=1)
            self.usual = np.bincount(labels[near[:, 0] > 0.5], minlength=2).argmax()
        return x, np.where(x[:, 0] == 1, 1 - self.usual, self.usual), None


def probed_in_streams(learner: Any) -> tuple[Verdict, Cast]:
    cast = Cast(MisledInStreams(), learner)
    return play(
        cast, game=GameName.ONLINE_POISONING, threat_model=BLACK, shares=(0.9,), batches=6
    ), cast


def test_a_learner_of_streams_that_lies_to_a_poisoner_forfeits() -> None:
    honest, _ = probed_in_streams(Means)
    assert honest.status is Status.SCORED
    assert not honest.flags
    assert (honest.metrics["poisoned_error"] or 0) > 0.3
    verdict, _ = probed_in_streams(LiesToProbers)
    assert blamed(verdict) == (Side.DEFENSE, FaultCode.NOT_DETERMINISTIC)
    assert verdict.metrics["poisoned_error_over_time"] == 1.0


def test_one_of_the_probed_streams_is_met_again() -> None:
    _, cast = probed_in_streams(Means)
    assert len(cast.learners) == 5 + 1 + 2 * 5
    repeated = next(seat for seat in cast.learners if len(seat.asked[0]) == 40)
    probed_seats = [seat for seat in cast.learners if len(seat.asked[0]) < 40]
    alike = [seat for seat in probed_seats if seat.fits[0][2] == repeated.fits[0][2]]
    assert len(alike) == 1
    for one, other in zip(alike[0].fits, repeated.fits, strict=False):
        assert np.array_equal(one[0], other[0])


def test_a_learner_whose_streams_are_not_repeatable_told_the_poisoner_no_lie() -> None:
    NeverTheSame.trained = 0
    verdict, _ = probed_in_streams(NeverTheSame)
    assert verdict.fault is None
    assert TRAINS_OTHERWISE in verdict.flags
