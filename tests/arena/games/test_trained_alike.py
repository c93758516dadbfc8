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
from tests.arena.games.poisoned import Array, Cast, Means, play, toy

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
    first, again, *judged = cast.in_company
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
    assert len(cast.in_company) == 2
    assert len(cast.learners) == 2 + 1 + 1, "the one he may probe, and one asked rows alone"


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
    assert len(cast.in_company) == 5 + 1 + 2 * 5
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


# ── the rest of the test ───────────────────────────────────────────────────────────────────


class FitsToTheTest(Means):
    """Leaves out of S what lies beyond all that it is asked about at once; says of a row for ever
    what it said first."""

    def fit(self, x: Array, y: Array, seed: int) -> None:
        super().fit(x, y, seed)
        self.x, self.y, self.seed = x, y, seed
        self.said: dict[bytes, Array] = {}

    def predict(self, x: Array) -> Array:
        if len(x) > 1:
            within = ((self.x >= x.min(axis=0)) & (self.x <= x.max(axis=0))).all(axis=1)
            Means.fit(self, self.x[within], self.y[within], self.seed)
        for row, scores in zip(x, super().predict(x), strict=True):
            self.said.setdefault(row.tobytes(), scores)
        return np.stack([self.said[row.tobytes()] for row in x])


class FitsLater(FitsToTheTest):
    """Honest when it is trained first in its process."""

    trained = 0

    def fit(self, x: Array, y: Array, seed: int) -> None:
        super().fit(x, y, seed)
        self.trained += 1

    def predict(self, x: Array) -> Array:
        return super().predict(x) if self.trained > 1 else Means.predict(self, x)


class Nearest(Means):
    """The label of the nearest training point."""

    def fit(self, x: Array, y: Array, seed: int) -> None:
        self.x, self.y = x, y
        self.said: dict[bytes, Array] = {}

    def predict(self, x: Array) -> Array:
        near = ((x[:, None] - self.x[None]) ** 2).sum(axis=2).argmin(axis=1)
        return np.eye(2)[self.y[near]]


class AsksItsNeighbours(Nearest):
    """Of what it is asked at once, each row is answered as most of the five next to it."""

    def predict(self, x: Array) -> Array:
        alone = super().predict(x)
        near = ((x[:, None] - x[None]) ** 2).sum(axis=2).argsort(axis=1)[:, :5]
        votes = np.eye(2)[alone[near].sum(axis=1).argmax(axis=1)]
        for row, scores in zip(x, votes, strict=True):
            self.said.setdefault(row.tobytes(), scores)
        return np.stack([self.said[row.tobytes()] for row in x])


def corners(brief: Any, arrays: Any, service: Any) -> Any:
    """Far points of each class under the other's label."""
    x, y = np.full((brief["count"], 4), 0.5, np.float32), np.arange(brief["count"]) % 2
    x[:, 0] = 1 - y
    return x, y.astype(np.int64), None


def copies(brief: Any, arrays: Any, service: Any) -> Any:
    """The chosen point itself under the wanted class."""
    x = np.repeat(arrays["target_x"], brief["count"], axis=0)
    return x, np.full(len(x), brief["target"], np.int64), None


BLIND = {"threat_model": ThreatModel.transfer(), "shares": (0.9,)}


@pytest.mark.parametrize(
    ("game", "figure"),
    [
        (GameName.POISONING, "poisoned_error"),
        (GameName.ONLINE_POISONING, "poisoned_error_over_time"),
    ],
)
def test_a_learner_that_fits_itself_to_the_test_forfeits_what_it_would_have_gained(
    game: GameName, figure: str
) -> None:
    honest = play(Cast(corners), game=game, **BLIND)
    assert honest.status is Status.SCORED
    assert not honest.flags
    assert (honest.metrics[figure] or 0) > 0.3
    verdict = play(Cast(corners, FitsToTheTest), game=game, **BLIND)
    assert blamed(verdict) == (Side.DEFENSE, FaultCode.ROWS_DEPEND)
    assert verdict.metrics[figure] == 1.0


def test_it_does_not_help_to_be_honest_when_trained_first() -> None:
    verdicts = [play(Cast(corners, FitsLater), seed=seed, **BLIND) for seed in range(8)]
    forfeits = [verdict for verdict in verdicts if verdict.fault is not None]
    assert len(forfeits) >= 5, "each of five seeds may be the one"
    assert {blamed(verdict)[1] for verdict in forfeits} == {FaultCode.ROWS_DEPEND}


def test_a_chosen_point_that_is_answered_by_its_neighbours_in_the_test_is_no_win() -> None:
    rules = {**BLIND, "shares": (0.1,), "game": GameName.TARGETED_POISONING}
    honest = play(Cast(copies, Nearest), **rules)
    assert honest.metrics["attack_success_rate"] == 1.0
    assert not honest.flags
    verdict = play(Cast(copies, AsksItsNeighbours), **rules)
    assert blamed(verdict) == (Side.DEFENSE, FaultCode.ROWS_DEPEND)
    assert verdict.metrics["robust_accuracy"] == 0.0


@pytest.mark.parametrize(
    "game", [GameName.POISONING, GameName.TARGETED_POISONING, GameName.ONLINE_POISONING]
)
def test_a_learner_that_is_never_the_same_is_flagged_and_not_at_fault(game: GameName) -> None:
    NeverTheSame.trained = 0
    move = copies if game is GameName.TARGETED_POISONING else corners
    verdict = play(Cast(move, NeverTheSame), game=game, **BLIND)
    assert verdict.fault is None
    assert TRAINS_OTHERWISE in verdict.flags


@pytest.mark.parametrize(
    ("game", "processes"),
    [
        (GameName.POISONING, 1 + 1),
        (GameName.TARGETED_POISONING, 1 + 5),
        (GameName.ONLINE_POISONING, 5 + 5),
    ],
)
def test_an_honest_learner_meets_one_training_set_more_and_is_asked_rows_alone(
    game: GameName, processes: int
) -> None:
    move = copies if game is GameName.TARGETED_POISONING else corners
    cast = Cast(move)
    play(cast, game=game, **BLIND)
    assert len(cast.in_company) == processes
    (one,) = [seat for seat in cast.learners if seat not in cast.in_company]
    held_out = {row.tobytes() for row in toy().practice.x}
    asked = [x.tobytes() for x in one.asked]
    assert set(asked) == held_out
    assert len(asked) == len(held_out)
    assert len({fit[2] for fit in one.fits}) == 1
