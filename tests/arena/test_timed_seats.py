"""No player can have a match ended from outside, which nobody would lose."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from arena.errors import FaultCode, MatchUsedUp, PlayerError, Side
from arena.games.base import GameResult
from arena.players import EvasionChallenge
from arena.referee import LOG, MatchSpec, play_match, verdict_of
from arena.rounds import Norm
from arena.seats import Revealed
from arena.threat_model import ThreatModel
from arena.timed_seats import TimedSeats
from arena.verdict import Status, Verdict
from tests.arena.fakes import (
    SECRET,
    Array,
    Fakes,
    Linear,
    NoBackend,
    defense_package,
    package,
    spec,
    toy_task,
)

MATCH_SECONDS = 3600.0


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Sitting:
    """A seat whose player takes all the time that it is given."""

    clock: Clock
    takes: float
    seconds: float = 0.0

    def sit(self) -> None:
        self.clock.now += self.takes
        self.seconds += self.takes

    def close(self) -> str:
        return ""


@dataclass
class Room:
    clock: Clock
    attack_takes: float
    defense_takes: float
    round: Any = field(default_factory=spec)
    attack: Any = None
    defense: Any = None

    def open_attack(self, revealed: object) -> Any:
        return Sitting(self.clock, self.attack_takes)

    def open_defense(self, *, in_turn: bool = False) -> Any:
        self.clock.now += 30.0  # it loads as slowly as it may
        return Sitting(self.clock, self.defense_takes)


def until_refused(
    attack: float, defense: float, most: int = 60, ours: float = 0.0
) -> tuple[float, PlayerError | None]:
    """When the match ended, of one attack and many processes of the defense, after a while."""
    clock = Clock()
    seats = TimedSeats(Room(clock, attack, defense), MATCH_SECONDS, clock=clock)
    clock.now += ours
    try:
        seats.open_attack(Revealed()).sit()  # type: ignore[attr-defined]
        for _ in range(most):
            seats.open_defense().sit()  # type: ignore[attr-defined]
    except PlayerError as error:
        return clock.now, error
    except MatchUsedUp as error:
        return clock.now, error.fault
    return clock.now, None


def test_a_defense_that_lets_every_clock_run_nearly_out_is_at_fault_before_the_end() -> None:
    ended, fault = until_refused(attack=100.0, defense=119.0)
    assert fault is not None
    assert (fault.side, fault.code) == (Side.DEFENSE, FaultCode.WALL_TIME)
    assert ended < MATCH_SECONDS


def test_one_that_takes_less_than_half_is_not_blamed_for_the_other() -> None:
    _, fault = until_refused(attack=MATCH_SECONDS * 0.7, defense=1.0)
    assert fault is not None
    assert (fault.side, fault.code) == (Side.ATTACK, FaultCode.WALL_TIME)


@pytest.mark.parametrize(("attack", "loser"), [(1650.0, Side.ATTACK), (1500.0, Side.DEFENSE)])
def test_where_neither_takes_half_the_one_that_takes_more_is_at_fault(
    attack: float, loser: Side
) -> None:
    ours = 250.0
    ended, fault = until_refused(attack, defense=119.0, ours=ours)
    assert fault is not None
    assert (fault.side, fault.code) == (loser, FaultCode.WALL_TIME)
    assert max(attack, ended - ours - attack) < ended / 2
    assert ended < MATCH_SECONDS


def test_nobody_is_at_fault_for_the_time_that_we_take() -> None:
    clock = Clock()
    seats = TimedSeats(Room(clock, 1000.0, 1000.0), MATCH_SECONDS, clock=clock)
    seats.open_attack(Revealed()).sit()  # type: ignore[attr-defined]
    seats.open_defense().sit()  # type: ignore[attr-defined]
    clock.now += 1500.0  # a machine that is busy with something else
    seats.open_defense()


def test_a_short_match_is_left_alone_however_long_a_process_may_take() -> None:
    assert until_refused(attack=100.0, defense=119.0, most=20)[1] is None
    clock = Clock()
    limits = replace(spec().defense_limits, wall_seconds=10 * MATCH_SECONDS)
    room = Room(clock, 1.0, 1.0, round=replace(spec(), defense_limits=limits))
    TimedSeats(room, MATCH_SECONDS, clock=clock).open_defense()


def test_the_match_ends_with_the_fault_and_not_void(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer takes two minutes and then it crashes, in each fresh process again."""
    clock = Clock()

    class Stalls(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            clock.now += 119.0
            raise ValueError("oh")

    class Slow(Fakes):
        def __call__(self, **match: Any) -> Any:
            seats = super().__call__(**match)
            opened = seats.open_defense

            def open_defense(*, in_turn: bool = False) -> Any:
                seat = opened(in_turn=in_turn)
                predict = seat.predict

                def timed(x: Array, seeds: Array) -> Array:
                    before = clock.now
                    try:
                        return predict(x, seeds)
                    finally:
                        seat.seconds += clock.now - before

                seat.predict = timed
                return seat

            seats.open_defense = open_defense
            return seats

    def further(challenge: EvasionChallenge) -> Array:
        return challenge.clip(challenge.x + np.float32(challenge.epsilon or 0))

    def lasted(seconds: float | None) -> Verdict:
        clock.now = 0.0
        match = MatchSpec(round_, package("attack"), defense_package(), 1, SECRET, seconds=seconds)
        return play_match(
            match, backend=NoBackend(), task=toy_task(), seat_maker=Slow(further, Stalls)
        )

    round_ = spec(norm=Norm.LINF, epsilons=tuple(0.01 * n for n in range(1, 11)))
    monkeypatch.setattr("arena.referee.TimedSeats", lambda s, t: TimedSeats(s, t, clock=clock))
    lasted(None)
    assert clock.now > MATCH_SECONDS, "it would have been ended from outside"
    verdict = lasted(MATCH_SECONDS)
    assert verdict.status is Status.FORFEIT
    assert verdict.fault is not None
    assert verdict.fault.side is Side.DEFENSE
    assert clock.now < MATCH_SECONDS


@pytest.mark.parametrize("model", [ThreatModel.black(queries=100), ThreatModel.white()])
def test_an_attack_that_uses_the_match_up_makes_no_defense_wrong(
    monkeypatch: pytest.MonkeyPatch, model: ThreatModel
) -> None:
    """Its defense is asked no more: that it has no answer there says nothing of it."""
    clock = Clock()
    attacking: list[Any] = []

    class Watched(Fakes):
        def __call__(self, **match: Any) -> Any:
            seats = super().__call__(**match)
            opened = seats.open_attack

            def open_attack(revealed: Revealed) -> Any:
                attacking.append(opened(revealed))
                return attacking[-1]

            seats.open_attack = open_attack
            return seats

    def dawdling(challenge: EvasionChallenge) -> Array:
        clock.now += 0.24 * MATCH_SECONDS
        attacking[-1].seconds += 0.24 * MATCH_SECONDS
        return challenge.clip(challenge.x + np.float32(challenge.epsilon or 0))

    monkeypatch.setattr("arena.referee.TimedSeats", lambda s, t: TimedSeats(s, t, clock=clock))
    round_ = spec(model, norm=Norm.LINF, epsilons=(0.01, 0.02, 0.03, 0.04))
    match = MatchSpec(
        round_, package("attack"), defense_package(), 1, SECRET, seconds=MATCH_SECONDS
    )
    verdict = play_match(
        match, backend=NoBackend(), task=toy_task(), seat_maker=Watched(dawdling, Linear)
    )
    assert verdict.status is Status.FORFEIT
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.ATTACK, FaultCode.WALL_TIME)
    assert verdict.kills is None
    assert verdict.logs["attack"].startswith("attack was here\n")  # each for its own team
    assert verdict.logs["defense"].startswith("defense was here\n")


def test_what_many_processes_print_makes_no_verdict_too_large() -> None:
    verdict = verdict_of(GameResult({}, logs={"attack": "oh\n", "defense": "\0" * (3 * LOG)}))
    assert verdict.logs["attack"] == "oh\n"
    assert len(verdict.logs["defense"]) == LOG
