"""The seat of a defense, with the child in a process that no jail surrounds."""

from __future__ import annotations

import socket
from typing import Any

import numpy as np
import pytest

from arena.errors import (
    FaultCode,
    NotDifferentiable,
    PlayerError,
    RefereeError,
    Side,
)
from arena.rounds import Limits
from arena.wire import Op, Wire
from tests.arena.sandbox.players import (
    ADD_ONLY,
    CLASSES,
    COST,
    MUTABLE,
    SHAPE,
    Actor,
    Unjailed,
    images,
    no_seeds,
    seats,
)
from tests.arena.sandbox.seated import ANY, blamed, dana

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
