"""The seat of an attack, with the child in a process that no jail surrounds."""

from __future__ import annotations

import socket
import time
from typing import Any

import numpy as np
import pytest

from arena.errors import (
    FaultCode,
    NotDifferentiable,
    PlayerError,
    QueryBudgetExceeded,
    Side,
    Withheld,
)
from arena.wire import Op, Wire
from tests.arena.sandbox.players import (
    BRIEF,
    SHAPE,
    Actor,
    Service,
    Unjailed,
    images,
    seats,
)
from tests.arena.sandbox.seated import ANY, NOTHING, alice, blamed, evade

# --- an attack plays --------------------------------------------------------------------------


def test_an_attack_receives_its_challenge_and_hands_in_candidates(unjailed: Unjailed) -> None:
    seat = alice(
        unjailed,
        """
        c = challenge
        print(len(c), c.norm, c.epsilon, c.seed, c.output, c.game, c.targeted, c.y.tolist())
        print(c.training[0].shape, c.training[1].tolist(), c.rng().integers(10))
        return c.clip(c.x + 0.25)
        """,
    )
    x = images()
    training = {"training_x": images(2), "training_y": np.array([1, 2])}
    got = seat.evade(BRIEF, {"x": x, "y": np.arange(4), **training}, Service())
    np.testing.assert_array_equal(got, np.clip(x + np.float32(0.25), 0, 1))
    drawn = np.random.default_rng(3).integers(10)
    assert seat.close().splitlines() == [
        "4 linf 0.1 3 label evasion False [0, 1, 2, 3]",
        f"(2, 2, 3) [1, 2] {drawn}",
    ]


def test_one_seat_plays_several_challenges(unjailed: Unjailed) -> None:
    seat = alice(unjailed, "return challenge.x + challenge.epsilon")
    for epsilon in (0.25, 0.5):
        got = seat.evade({**BRIEF, "epsilon": epsilon}, {"x": images()}, Service())
        np.testing.assert_array_equal(got, images() + np.float32(epsilon))


def test_every_question_reaches_the_service_and_its_answer_the_attack(
    unjailed: Unjailed,
) -> None:
    seat = alice(
        unjailed,
        """
        d, x = challenge.defense, challenge.x
        some = np.array([1, 0])
        assert d.ask(x).tolist() == [2, 1, -1, 0]
        assert d.ask(x[:2], some).tolist() == [7, 7]
        assert d.logits(x[:1]).tolist() == [[1, 2, 3]]
        assert d.gradient(x[:1], np.array([2])).tolist() == x[:1].tolist()
        weights = np.array([[1.0, 0, -1]])
        logits, slope = d.logits_and_gradient(x[:1], weights)
        assert logits.tolist() == [[1, 2, 3]]
        assert d.check(x[:2], some).tolist() == [True, False]
        assert d.probes_left == 5
        assert d.probes_left_for(np.array([1, 1, 0])).tolist() == [3, 3, 2]
        challenge.submit(x)
        challenge.submit(x[:1], np.array([3]))
        return x
        """,
    )
    logits = np.array([[1, 2, 3]], np.float32)
    service = Service(
        {
            "ask": lambda x, e: np.array([2, 1, -1, 0]) if len(x) == 4 else np.array([7, 7]),
            "logits": logits,
            "gradient": lambda x, w: (logits, x),
            "check": np.array([True, False]),
        }
    )
    x = images()
    evade(seat, service, x)
    seat.close()
    names = [entry[0] for entry in service.asked]
    assert " ".join(names) == ("ask ask logits gradient gradient check probes probes submit submit")
    np.testing.assert_array_equal(service.asked[0][2], np.arange(4))
    np.testing.assert_array_equal(service.asked[1][1], x[:2])
    np.testing.assert_array_equal(service.asked[1][2], [1, 0])
    np.testing.assert_array_equal(service.asked[3][2], [2])
    assert service.asked[4][2].dtype == np.float32
    np.testing.assert_array_equal(service.asked[4][2], [[1, 0, -1]])
    np.testing.assert_array_equal(service.asked[9][2], [3])


@pytest.mark.parametrize("error", [QueryBudgetExceeded, NotDifferentiable, Withheld])
def test_a_refusal_is_raised_where_the_attack_asked(
    unjailed: Unjailed, error: type[Exception]
) -> None:
    seat = alice(
        unjailed,
        f"""
        try:
            challenge.defense.logits(challenge.x)
        except arena.players.{error.__name__} as refused:
            print(refused)
        return challenge.x
        """,
    )
    evade(seat, Service({"logits": error("Asked 3 queries with 1 left.")}))
    assert seat.close() == "Asked 3 queries with 1 left.\n"


def test_a_refusal_that_is_not_handled_is_the_attack_s_fault(unjailed: Unjailed) -> None:
    seat = alice(unjailed, "challenge.defense.ask(challenge.x)")
    with pytest.raises(PlayerError) as error:
        evade(seat, Service({"ask": QueryBudgetExceeded("None left.")}))
    assert blamed(error) == (Side.ATTACK, FaultCode.QUERIES_EXCEEDED)


@pytest.mark.parametrize(
    "question",
    [
        "d.ask(x + 1)",
        "d.ask(x * np.nan)",
        "d.ask(x - np.inf)",
        "d.ask(x[:2])",
        "d.ask(x[:2], np.array([0, 4]))",
        "d.ask(x[:2], np.array([-1, 0]))",
        "d.ask(x[:2], np.array([0]))",
        "d.ask(x[0])",
        "d.ask(x.reshape(4, 6))",
        "d.gradient(x, np.array([0]))",
        "d.gradient(x, np.array([0, 1, 2, 3]))",
        "d.gradient(x, np.array([0, 1, 2, -1]))",
        "d.logits_and_gradient(x, np.zeros((4, 2)))",
        "d.logits_and_gradient(x, np.full((4, 3), np.nan))",
        "d.logits_and_gradient(x, np.full((4, 3), 1e30))",
    ],
)
def test_an_honest_mistake_is_a_value_error_where_it_was_made(
    unjailed: Unjailed, question: str
) -> None:
    seat = alice(
        unjailed,
        f"""
        d, x = challenge.defense, challenge.x
        try:
            {question}
        except ValueError:
            return x
        """,
    )
    service = Service()
    evade(seat, service)
    seat.close()
    assert not service.asked


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("raise ValueError", FaultCode.CRASHED),
        ("return challenge.x[:-1]", FaultCode.WRONG_SHAPE),
        ("return None", FaultCode.WRONG_SHAPE),
        ("import os; os._exit(3)", FaultCode.CRASHED),
        ("import sys; sys.exit()", FaultCode.CRASHED),
        ("raise MemoryError", FaultCode.OUT_OF_MEMORY),
    ],
)
def test_a_failing_attack_is_to_blame_and_what_it_submitted_stays(
    unjailed: Unjailed, line: str, code: FaultCode
) -> None:
    seat = alice(unjailed, f"challenge.submit(challenge.x)\n{line}")
    service = Service()
    with pytest.raises(PlayerError) as error:
        evade(seat, service)
    assert blamed(error) == (Side.ATTACK, code)
    assert [entry[0] for entry in service.asked] == ["submit"]


def test_candidates_that_are_not_finite_are_the_game_s_business(unjailed: Unjailed) -> None:
    seat = alice(unjailed, "return challenge.x * np.nan")
    assert np.isnan(evade(seat)).all()


def test_an_attack_that_never_ends_is_ended_and_what_it_submitted_stays(
    unjailed: Unjailed,
) -> None:
    body = "challenge.submit(challenge.x)\nwhile True: pass"
    seat = alice(unjailed, body, wall_seconds=3.0)
    service = Service()
    with pytest.raises(PlayerError) as error:
        evade(seat, service)
    assert blamed(error) == (Side.ATTACK, FaultCode.WALL_TIME)
    assert [entry[0] for entry in service.asked] == ["submit"]


def test_the_attack_s_clock_stands_still_while_the_defense_answers(unjailed: Unjailed) -> None:
    seat = alice(unjailed, "challenge.defense.ask(challenge.x)\nreturn challenge.x")

    def slow(x: Any, examples: Any) -> Any:
        time.sleep(1.0)
        return np.zeros(len(x), np.int64)

    started = time.monotonic()
    evade(seat, Service({"ask": slow}))
    assert seat.seconds <= time.monotonic() - started - 1.0


def test_the_attack_s_clock_runs_on_from_challenge_to_challenge(unjailed: Unjailed) -> None:
    seat = alice(unjailed, "return challenge.x")
    evade(seat)
    first = seat.seconds
    evade(seat)
    assert 0 < first < seat.seconds


def test_a_fault_of_the_defense_comes_through_the_attack_s_seat(unjailed: Unjailed) -> None:
    seat = alice(unjailed, "challenge.defense.ask(challenge.x)")
    fault = PlayerError(Side.DEFENSE, FaultCode.NOT_FINITE, "NaN.")
    with pytest.raises(PlayerError) as error:
        evade(seat, Service({"ask": fault}))
    assert error.value is fault


# --- an attack lies on the wire ---------------------------------------------------------------

X = np.zeros((4, *SHAPE), np.float32)

NUMBERS = np.arange(4)


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (lambda w, n: w.send(Op.ASK, request=2, arrays=(X, NUMBERS)), FaultCode.PROTOCOL),
        (lambda w, n: w.send(Op.ASK, request=1, arrays=(X, NUMBERS[:3])), FaultCode.WRONG_SHAPE),
        (lambda w, n: w.send(Op.ASK, request=1, arrays=(X,)), FaultCode.WRONG_SHAPE),
        (lambda w, n: w.send(Op.ASK, request=1, arrays=(NUMBERS, X)), FaultCode.WRONG_SHAPE),
        (lambda w, n: w.send(Op.PREDICT, request=n, arrays=(X, NUMBERS)), FaultCode.PROTOCOL),
        (lambda w, n: w.send(Op.ANSWER, request=1), FaultCode.PROTOCOL),
        (lambda w, n: w.send(Op.CANDIDATES, request=n + 1, arrays=(X,)), FaultCode.PROTOCOL),
        (lambda w, n: w.send(Op.CANDIDATES, request=n, arrays=(X[:3],)), FaultCode.WRONG_SHAPE),
        (lambda w, n: w.send(Op.POISONED, request=n, arrays=(X,)), FaultCode.PROTOCOL),
        (
            lambda w, n: w.send(
                Op.WEIGHTED_GRADIENT, request=1, arrays=(X, np.full((4, 3), 1e30, np.float32))
            ),
            FaultCode.OUT_OF_RANGE,
        ),
    ],
)
def test_a_cheating_attack_is_caught_before_anything_is_asked(lie: Any, code: FaultCode) -> None:
    def script(wire: Wire, stream: socket.socket) -> None:
        lie(wire, wire.receive(ANY).request)
        wire.receive(ANY)

    service = Service()
    seat = seats(backend=Actor(script)).open_attack(NOTHING)
    with seat, pytest.raises(PlayerError) as error:
        evade(seat, service)
    assert blamed(error) == (Side.ATTACK, code)
    assert not service.asked


def test_a_claim_of_more_rows_than_a_question_may_hold_is_refused() -> None:
    def script(wire: Wire, stream: socket.socket) -> None:
        wire.receive(ANY)
        rows = np.broadcast_to(np.float32(0), (6 * 10**6, *SHAPE))
        header = bytearray(160)
        header[:16] = b"ADV1" + bytes([Op.LOGITS, 1, 0, 0]) + (1).to_bytes(4, "little") + bytes(4)
        header[16:20] = bytes([1, 3, 0, 0])
        for at, length in enumerate(rows.shape):
            header[20 + 4 * at : 24 + 4 * at] = length.to_bytes(4, "little")
        stream.sendall(header)
        wire.receive(ANY)

    seat = seats(backend=Actor(script)).open_attack(NOTHING)
    with seat, pytest.raises(PlayerError) as error:
        evade(seat)
    assert blamed(error) == (Side.ATTACK, FaultCode.WRONG_SHAPE)
