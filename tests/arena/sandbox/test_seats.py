"""Two players in their processes: what they may do, what they cannot, and who is blamed."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from arena.errors import (
    FaultCode,
    NotDifferentiable,
    PlayerError,
    QueryBudgetExceeded,
    RefereeError,
    Side,
    Withheld,
)
from arena.rounds import Limits
from arena.sandbox.attack_seat import JailedAttack
from arena.sandbox.backend import JailSpec
from arena.sandbox.defense_seat import JailedDefense
from arena.sandbox.seats import QUANTUM
from arena.seats import Revealed
from arena.threat_model import OracleOutput, OutputKind, TaskKnowledge, ThreatModel
from arena.wire import Op, Trusting, Wire
from tests.arena.sandbox.players import (
    ADD_ONLY,
    BRIEF,
    CLASSES,
    COST,
    IDLE,
    LINEAR,
    MUTABLE,
    SHAPE,
    Acted,
    Actor,
    Service,
    Unjailed,
    attack,
    defense,
    images,
    no_seeds,
    seats,
)

PATIENT = Limits()
NOTHING = Revealed()


@pytest.fixture
def unjailed() -> Iterator[Unjailed]:
    backend = Unjailed()
    yield backend
    for jail in backend.jails:
        jail.kill()
        jail.socket.close()


def dana(unjailed: Unjailed, body: str, manifest: str = "", **options: Any) -> JailedDefense:
    limits = Limits(**options)
    player = defense(body, manifest)
    return seats(defense=player, backend=unjailed, defense_limits=limits).open_defense()


def alice(unjailed: Unjailed, body: str, **options: Any) -> JailedAttack:
    limits = Limits(**{k: options.pop(k) for k in list(options) if k.endswith("_seconds")})
    revealed = options.pop("revealed", NOTHING)
    table = seats(attack=attack(body), backend=unjailed, attack_limits=limits, **options)
    return table.open_attack(revealed)


def blamed(error: pytest.ExceptionInfo[PlayerError]) -> tuple[Side, FaultCode]:
    assert str(error.value).endswith(".")
    return error.value.side, error.value.code


def evade(seat: JailedAttack, service: Service | None = None, x: Any = None) -> Any:
    x = images() if x is None else x
    arrays = {"x": x, "y": np.arange(len(x)) % 3}
    return seat.evade(BRIEF, arrays, service or Service())


# --- a defense answers ------------------------------------------------------------------------


def test_a_defense_answers_as_it_would_in_process(unjailed: Unjailed) -> None:
    x = images(7)
    weights = np.arange(18, dtype=np.float32).reshape(6, 3) / 10
    with seats(backend=unjailed).open_defense() as seat:
        scores = seat.predict(x, no_seeds(7))
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, x.reshape(7, -1) @ weights)
    assert 0 < seat.seconds < 60


def test_many_rows_are_asked_in_requests_of_at_most_256(unjailed: Unjailed) -> None:
    body = "def predict(self, x):\n    return np.full((len(x), 3), len(x), np.float32)"
    with dana(unjailed, body) as seat:
        sizes = seat.predict(images(600), no_seeds(600))[:, 0]
        assert seat.predict(images(0), no_seeds(0)).shape == (0, 3)
    assert sorted(set(sizes)) == [600 - 512, 256]


def test_a_stochastic_defense_receives_the_row_s_own_seeds(unjailed: Unjailed) -> None:
    body = """
    def predict(self, x, seeds):
        return seeds[:, None] % np.array([2**31, 5, 7], np.uint64)
    """
    seeds = np.array([2**64 - 1, 11], np.uint64)
    with dana(unjailed, body, "stochastic = true\n") as seat:
        scores = seat.predict(images(2), seeds)
    np.testing.assert_array_equal(scores[:, 1:], np.array([[0, 1], [1, 4]], np.float32))


def test_an_abstaining_defense_has_one_more_column(unjailed: Unjailed) -> None:
    body = "def predict(self, x):\n    return np.ones((len(x), 4), np.float32)"
    with dana(unjailed, body, "abstains = true\n") as seat:
        assert seat.predict(images(2), no_seeds(2)).shape == (2, 4)


def test_logits_of_probabilities_are_their_logarithm(unjailed: Unjailed) -> None:
    body = "def predict(self, x):\n    return np.tile(np.float32([0.5, 0.5, 0]), (len(x), 1))"
    with dana(unjailed, body, 'output = "probabilities"\n') as seat:
        np.testing.assert_allclose(
            seat.logits(images(1), no_seeds(1)), np.log([[0.5, 0.5, 1e-12]]), rtol=1e-5
        )


def test_what_is_not_differentiable_gives_no_gradient(unjailed: Unjailed) -> None:
    with seats(backend=unjailed).open_defense() as seat, pytest.raises(NotDifferentiable):
        seat.gradient(images(), np.zeros(4, np.int64), no_seeds(4))


def test_a_defense_sees_the_whole_task_and_its_own_files(unjailed: Unjailed) -> None:
    body = """
    def predict(self, x):
        t = self.task
        print(t.name, t.shape, t.classes, t.cost.tolist(), t.mutable.tolist())
        print(t.add_only.tolist())
        print(sorted(p.name for p in self.package.iterdir()))
        print(sorted(p.name for p in self.package.parent.iterdir()))
        return np.zeros((len(x), 3))
    """
    seat = dana(unjailed, body)
    seat.predict(images(1), no_seeds(1))
    lines = seat.close().splitlines()
    assert lines[0] == f"tiny {SHAPE} {CLASSES} {COST.tolist()} {MUTABLE.tolist()}"
    assert lines[1] == f"{ADD_ONLY.tolist()}"
    assert lines[2:] == ["['manifest.toml', 'player.py']", "['package']"]


def test_prints_go_to_the_log_and_the_game_goes_on(unjailed: Unjailed) -> None:
    body = """
    def predict(self, x):
        print("caf\\u00e9 \\x1b[31m", flush=True)
        return np.zeros((len(x), 3))
    """
    seat = dana(unjailed, body)
    assert seat.predict(images(1), no_seeds(1)).shape == (1, 3)
    assert "café" in seat.close()


# --- a defense fails --------------------------------------------------------------------------

PREDICT = "def predict(self, x):\n    {}"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("raise ValueError('secret of Dana')", FaultCode.CRASHED),
        ("raise SystemExit(0)", FaultCode.CRASHED),
        ("raise KeyboardInterrupt", FaultCode.CRASHED),
        ("import os; os._exit(0)", FaultCode.CRASHED),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", FaultCode.CRASHED),
        ("return self.predict(x)", FaultCode.CRASHED),
        ("raise MemoryError", FaultCode.OUT_OF_MEMORY),
        ('raise RuntimeError("DefaultCPUAllocator: can\'t allocate")', FaultCode.OUT_OF_MEMORY),
        ("return np.full((len(x), 3), np.nan)", FaultCode.NOT_FINITE),
        ("return np.full((len(x), 3), np.inf)", FaultCode.NOT_FINITE),
        ("return np.full((len(x), 3), 1e300)", FaultCode.NOT_FINITE),
        ("return np.zeros((len(x), 4))", FaultCode.WRONG_SHAPE),
        ("return np.zeros(len(x))", FaultCode.WRONG_SHAPE),
        ("return np.zeros((len(x) + 1, 3))", FaultCode.WRONG_SHAPE),
        ("return [['a', 'b', 'c']] * len(x)", FaultCode.WRONG_SHAPE),
        ("return None", FaultCode.WRONG_SHAPE),
        ("import os; os.write(3, b'x' * 500); return x", FaultCode.PROTOCOL),
    ],
)
def test_a_failing_answer_is_the_defense_s_fault(
    unjailed: Unjailed, line: str, code: FaultCode
) -> None:
    seat = dana(unjailed, PREDICT.format(line))
    with pytest.raises(PlayerError) as error:
        seat.predict(images(), no_seeds(4))
    assert blamed(error) == (Side.DEFENSE, code)
    assert "secret" not in str(error.value)
    with pytest.raises(PlayerError) as again:
        seat.predict(images(), no_seeds(4))
    assert again.value is error.value
    seat.close()


def test_the_traceback_goes_into_the_player_s_own_log(unjailed: Unjailed) -> None:
    seat = dana(unjailed, PREDICT.format("raise ValueError('what Dana said \\x1b[2J')"))
    with pytest.raises(PlayerError):
        seat.predict(images(), no_seeds(4))
    log = seat.close()
    assert "ValueError: what Dana said" in log
    assert "\x1b" not in log


def test_an_exception_as_long_as_a_book_is_cut(unjailed: Unjailed) -> None:
    seat = dana(unjailed, PREDICT.format("raise ValueError(chr(0) * 10**7 + '\\ud800')"))
    with pytest.raises(PlayerError) as error:
        seat.predict(images(), no_seeds(4))
    assert error.value.code is FaultCode.CRASHED
    assert len(seat.close()) < 50_000


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("def load(self):\n    raise ValueError('no')", FaultCode.LOAD_FAILED),
        ("def load(self):\n    import os; os._exit(1)", FaultCode.LOAD_FAILED),
        ("def load(self):\n    raise MemoryError", FaultCode.OUT_OF_MEMORY),
        ("raise ValueError('in the class')", FaultCode.LOAD_FAILED),
        ("def load(self):\n    open(self.package / 'weights')", FaultCode.LOAD_FAILED),
    ],
)
def test_a_player_that_cannot_be_loaded_is_to_blame(
    unjailed: Unjailed, body: str, code: FaultCode
) -> None:
    with pytest.raises(PlayerError) as error:
        dana(unjailed, body)
    assert blamed(error) == (Side.DEFENSE, code)
    assert unjailed.jails[0].process.poll() is not None


def test_a_player_that_takes_too_long_to_load_is_to_blame(unjailed: Unjailed) -> None:
    with pytest.raises(PlayerError) as error:
        dana(unjailed, "def load(self):\n    import time; time.sleep(60)", load_seconds=0.3)
    assert blamed(error) == (Side.DEFENSE, FaultCode.LOAD_FAILED)
    assert "It did not load in 0.3 s." in error.value.log
    assert unjailed.jails[0].process.poll() is not None


def test_a_defense_that_takes_too_long_for_one_request_is_ended(unjailed: Unjailed) -> None:
    body = PREDICT.format("import time; time.sleep(60)")
    seat = dana(unjailed, body, query_seconds=0.2)
    with pytest.raises(PlayerError) as error:
        seat.predict(images(), no_seeds(4))
    assert blamed(error) == (Side.DEFENSE, FaultCode.QUERY_LATENCY)
    assert str(error.value).endswith("took too long to answer one request; it had 0.2 s.")
    assert unjailed.jails[0].process.poll() is not None


def test_a_defense_whose_clock_has_run_out_is_not_asked_again(unjailed: Unjailed) -> None:
    seat = dana(unjailed, PREDICT.format("return np.zeros((len(x), 3))"), wall_seconds=5.0)
    seat.session.seconds = 1000.0
    with pytest.raises(PlayerError) as error:
        seat.predict(images(), no_seeds(4))
    assert blamed(error) == (Side.DEFENSE, FaultCode.WALL_TIME)


# --- a defense lies on the wire ---------------------------------------------------------------

ANY = {op: Trusting() for op in Op}


def lied_to(script: Any, **options: Any) -> tuple[Side, FaultCode]:
    seat = seats(backend=Actor(script), defense_limits=Limits(**options)).open_defense()
    with pytest.raises(PlayerError) as error:
        seat.predict(images(), no_seeds(4))
    seat.close()
    return blamed(error)


SCORES = np.zeros((4, 3), np.float32)


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (lambda w, n: w.send(Op.SCORES, request=n + 1, arrays=(SCORES,)), FaultCode.PROTOCOL),
        (lambda w, n: w.send(Op.GRADIENTS, request=n, arrays=(SCORES,)), FaultCode.PROTOCOL),
        (lambda w, n: w.send(Op.ASK, request=1, arrays=(SCORES,)), FaultCode.PROTOCOL),
        (lambda w, n: w.send(Op.SCORES, request=n), FaultCode.WRONG_SHAPE),
        (lambda w, n: w.send(Op.SCORES, request=n, arrays=(SCORES[:3],)), FaultCode.WRONG_SHAPE),
        (
            lambda w, n: w.send(Op.SCORES, request=n, arrays=(SCORES.astype(np.float64),)),
            FaultCode.WRONG_SHAPE,
        ),
        (lambda w, n: w.send(Op.SCORES, request=n, meta={"a": 1}), FaultCode.PROTOCOL),
        (lambda w, n: w.send(Op.FAILED, request=n, meta={"kind": "referee"}), FaultCode.PROTOCOL),
        (lambda w, n: w.send(Op.FAILED, request=n, meta={"kind": ["a"]}), FaultCode.PROTOCOL),
        (lambda w, n: w.send(Op.FAILED, request=n, meta={"kind": "lockdown"}), FaultCode.PROTOCOL),
        (lambda w, n: w.send(Op.FAILED, request=n, meta={"a": "x" * 10**5}), FaultCode.PROTOCOL),
        (lambda w, n: None, FaultCode.CRASHED),
    ],
)
def test_a_lie_on_the_wire_is_the_liar_s_fault(lie: Any, code: FaultCode) -> None:
    def script(wire: Wire, stream: socket.socket) -> None:
        lie(wire, wire.receive(ANY).request)

    assert lied_to(script) == (Side.DEFENSE, code)


def test_a_reply_that_comes_before_its_request_is_a_violation() -> None:
    def script(wire: Wire, stream: socket.socket) -> None:
        wire.send(Op.SCORES, request=3, arrays=(SCORES,))
        wire.receive(ANY)
        wire.receive(ANY)

    seat = seats(backend=Actor(script)).open_defense()
    seat.session._wire._readable.poll(5000)
    with pytest.raises(PlayerError) as error:
        seat.predict(images(), no_seeds(4))
    seat.close()
    assert blamed(error) == (Side.DEFENSE, FaultCode.PROTOCOL)


def test_a_second_reply_is_a_violation_at_the_next_request() -> None:
    def script(wire: Wire, stream: socket.socket) -> None:
        number = wire.receive(ANY).request
        wire.send(Op.SCORES, request=number, arrays=(SCORES,))
        wire.send(Op.SCORES, request=number + 1, arrays=(SCORES,))
        wire.receive(ANY)

    seat = seats(backend=Actor(script)).open_defense()
    seat.predict(images(), no_seeds(4))
    seat.session._wire._readable.poll(5000)
    with pytest.raises(PlayerError) as error:
        seat.predict(images(), no_seeds(4))
    seat.close()
    assert blamed(error) == (Side.DEFENSE, FaultCode.PROTOCOL)


def test_half_a_reply_is_a_reply_that_took_too_long() -> None:
    def script(wire: Wire, stream: socket.socket) -> None:
        wire.receive(ANY)
        stream.sendall(b"ADV1")
        stream.recv(1)

    assert lied_to(script, query_seconds=0.1) == (Side.DEFENSE, FaultCode.QUERY_LATENCY)


def test_a_jail_that_does_not_come_up_is_nobody_s_fault() -> None:
    def script(wire: Wire, stream: socket.socket) -> None:
        hello = wire.receive(ANY)
        wire.send(Op.FAILED, request=hello.request, meta={"kind": "lockdown", "traceback": "EPERM"})

    with pytest.raises(RefereeError, match="EPERM"):
        seats(backend=Actor(script, polite=False)).open_defense()
    with pytest.raises(RefereeError, match="did not come up"):
        seats(backend=Actor(lambda wire, stream: None, polite=False)).open_defense()


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


# --- what is revealed, and what is not --------------------------------------------------------


def test_what_is_revealed_lies_in_the_jail(unjailed: Unjailed) -> None:
    seat = alice(
        unjailed,
        """
        c = challenge
        print((c.package / "deep" / "w.txt").read_text(), c.package.name)
        print((c.architecture / "architecture.py").read_text())
        print([(p / "n.txt").read_text() for p in c.related])
        print(c.family, c.structure, c.randomness)
        return c.x
        """,
        revealed=Revealed(
            package={"deep/w.txt": b"weights"},
            architecture={"architecture.py": b"builder"},
            related=tuple({"n.txt": str(n).encode()} for n in range(12)),
            family="convolutional",
            structure="smoothing",
            randomness="normal",
        ),
    )
    evade(seat)
    assert seat.close().splitlines() == [
        "weights opponent",
        "builder",
        str([str(n) for n in range(12)]),
        "convolutional smoothing normal",
    ]


def test_what_is_withheld_is_nowhere_in_the_jail(unjailed: Unjailed) -> None:
    model = ThreatModel(task_knowledge=TaskKnowledge.NONE, true_label=False)
    seat = alice(
        unjailed,
        """
        c = challenge
        print(c.package, c.architecture, c.related, c.family, c.structure, c.randomness)
        print(c.y, c.targets, c.training, c.task, c.defense._columns)
        print(sorted(p.name for p in self.package.parent.iterdir()))
        return c.x
        """,
        threat_model=model,
    )
    seat.evade({**BRIEF, "secret": "tiny", "task": {"name": "tiny"}}, {"x": images()}, Service())
    lines = seat.close().splitlines()
    assert lines[0] == "None None () None None None"
    assert lines[1] == (
        "None None None TaskInfo(name='', shape=(), classes=(), grid=None, cost=None, "
        "mutable=None, add_only=None, device='cpu', regression=False) None"
    )
    assert lines[2] == "['package']"


MASKS = [MUTABLE.tolist(), ADD_ONLY.tolist()]


@pytest.mark.parametrize(
    ("knowledge", "shown"),
    [
        (TaskKnowledge.INPUT_SPACE, ["", SHAPE, (), None, *MASKS]),
        (TaskKnowledge.CLASSES, ["tiny", SHAPE, CLASSES, None, *MASKS]),
        (TaskKnowledge.COST, ["tiny", SHAPE, CLASSES, COST.tolist(), *MASKS]),
    ],
)
def test_the_task_is_shown_as_far_as_the_round_says(
    unjailed: Unjailed, knowledge: TaskKnowledge, shown: list[Any]
) -> None:
    seat = alice(
        unjailed,
        """
        t = challenge.task
        told = (a if a is None else a.tolist() for a in (t.cost, t.mutable, t.add_only))
        print([t.name, t.shape, t.classes, *told])
        return challenge.x
        """,
        threat_model=ThreatModel(task_knowledge=knowledge),
    )
    evade(seat)
    assert seat.close() == f"{shown}\n"


# --- both -------------------------------------------------------------------------------------


def test_both_players_are_prepared_side_by_side(unjailed: Unjailed) -> None:
    table = seats(backend=unjailed)
    dana, alice = table.prepare(table.open_defense, lambda: table.open_attack(NOTHING))
    assert isinstance(dana, JailedDefense)
    assert isinstance(alice, JailedAttack)


def test_when_one_cannot_be_prepared_the_other_is_closed(unjailed: Unjailed) -> None:
    broken = defense("def load(self):\n    raise ValueError")
    table = seats(defense=broken, backend=unjailed)
    with pytest.raises(PlayerError) as error:
        table.prepare(lambda: table.open_attack(NOTHING), table.open_defense)
    assert blamed(error) == (Side.DEFENSE, FaultCode.LOAD_FAILED)
    assert all(jail.process.poll() is not None for jail in unjailed.jails)


def test_fgsm_through_both_seats_has_its_closed_form(unjailed: Unjailed) -> None:
    """White-box FGSM of a linear model moves every feature by epsilon, away from its class."""
    player = """
    def load(self):
        self.w = np.arange(18, dtype=np.float32).reshape(6, 3) / 10

    def predict(self, x):
        return x.reshape(len(x), -1) @ self.w
    """
    body = """
    slope = challenge.defense.gradient(challenge.x, challenge.y)
    return challenge.clip(challenge.x + challenge.epsilon * np.sign(slope))
    """
    table = seats(defense=defense(player), attack=attack(body), backend=unjailed)
    weights = np.arange(18, dtype=np.float32).reshape(6, 3) / 10
    x, y = images(), np.array([0, 1, 2, 0])

    def gradient(x: Any, labels: Any) -> tuple[Any, Any]:
        logits = dana.predict(x, no_seeds(len(x)))
        odds = np.exp(logits - logits.max(1, keepdims=True))
        odds /= odds.sum(1, keepdims=True)
        return logits, ((odds - np.eye(3)[labels]) @ weights.T).reshape(x.shape)

    with table.open_defense() as dana, table.open_attack(NOTHING) as alice:
        got = alice.evade(BRIEF, {"x": x, "y": y}, Service({"gradient": gradient}))
    # Columns of the weights grow by 0.1 from class to class: more of any feature favours class 2.
    direction = np.where(y == 2, -1, 1)[:, None, None] * np.ones(SHAPE)
    np.testing.assert_allclose(got, np.clip(x + 0.1 * direction, 0, 1), atol=1e-6)


@pytest.mark.jail
def test_both_play_behind_the_walls_of_this_machine() -> None:
    from arena.errors import SandboxUnavailable
    from arena.sandbox import choose

    try:
        backend = choose(trusted=True)
    except SandboxUnavailable as error:
        pytest.skip(f"needs a sandbox: {error}")
    body = """
    labels = challenge.defense.ask(challenge.x)
    print(labels)
    return challenge.x
    """
    table = seats(attack=attack(body), defense=LINEAR, backend=backend)
    dana, alice = table.prepare(table.open_defense, lambda: table.open_attack(NOTHING))
    service = Service({"ask": lambda x, e: dana.predict(x, no_seeds(len(x))).argmax(1)})
    np.testing.assert_array_equal(evade(alice, service), images())
    assert alice.close() == "[2 2 2 2]\n"
    dana.close()


def test_idle_players_need_nothing(unjailed: Unjailed) -> None:
    with seats(attack=IDLE, backend=unjailed).open_attack(NOTHING) as seat:
        np.testing.assert_array_equal(evade(seat), images())


def test_the_fault_carries_the_log_of_a_player_that_did_not_load(unjailed: Unjailed) -> None:
    with pytest.raises(PlayerError) as error:
        dana(unjailed, "def load(self):\n    print('half way')\n    raise ValueError('broken')")
    assert "half way" in error.value.log
    assert "ValueError: broken" in error.value.log


def test_a_seat_that_was_closed_is_not_asked_again(unjailed: Unjailed) -> None:
    seat = seats(backend=unjailed).open_defense()
    seat.close()
    seat.close()
    with pytest.raises(RefereeError, match="after it was closed"):
        seat.predict(images(), no_seeds(4))


def test_a_large_opponent_takes_no_room_from_the_attack() -> None:
    class Noting(Actor):
        specs: ClassVar[list[JailSpec]] = []

        def start(self, spec: JailSpec) -> Acted:
            self.specs.append(spec)
            return super().start(spec)

    table = seats(backend=Noting(lambda wire, stream: None))
    table.open_attack(Revealed(package={"weights": bytes(3 * 2**20)})).close()
    assert Noting.specs[0].limits.disk_mib == Limits().disk_mib + 4
    assert Noting.specs[0].limits.memory_mib == Limits().memory_mib + 4


def test_where_labels_alone_are_given_answers_come_at_whole_milliseconds(
    unjailed: Unjailed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The referee's clock is a list: how long the defense thought is not to be seen in the wait."""
    waited: list[float] = []
    monkeypatch.setattr("arena.sandbox.attack_seat.time.sleep", waited.append)
    asks = "challenge.defense.ask(challenge.x[:1], np.array([0])); return challenge.x"
    for kind, rounds in (("label", 1), ("probabilities", 0)):
        waited.clear()
        output = OracleOutput(OutputKind(kind))
        model = replace(ThreatModel.preset("black", queries=5), output=output)
        table = seats(attack=attack(asks), backend=unjailed, threat_model=model)
        with table.open_attack(Revealed()) as seat:
            seat.evade(BRIEF, {"x": images()}, Service({"ask": np.array([1])}))
        held = [seconds for seconds in waited if 0 <= seconds < QUANTUM]
        assert len(held) == rounds
