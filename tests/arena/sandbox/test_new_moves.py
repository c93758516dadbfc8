"""Thieves, certificates and backdoors through seats: what may come back, and whose fault it is."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from arena.errors import FaultCode, PlayerError, QueryBudgetExceeded, Side
from arena.packages import Package
from arena.rounds import Limits
from arena.sandbox.seats import JailedAttack, JailedDefense
from arena.seats import Revealed
from arena.threat_model import ThreatModel
from arena.wire import MAX_SURROGATE
from tests.arena.sandbox.players import (
    SHAPE,
    Service,
    Unjailed,
    _player,
    defense,
    images,
    no_seeds,
    package,
    seats,
)

BRIEF = {
    "norm": "linf",
    "epsilon": None,
    "seed": 3,
    "output": "probabilities",
    "count": 2,
    "mode": "add",
    "queries": 4,
    "queries_in_all": 9,
    "target": 1,
    "trigger": "patch",
    "features": 1,
}


@pytest.fixture
def unjailed() -> Iterator[Unjailed]:
    backend = Unjailed()
    yield backend
    for jail in backend.jails:
        jail.kill()
        jail.socket.close()


def player(role: str, base: str, body: str) -> Package:
    head = f'name = "Mallory\'s"\nrole = "{role}"\nentry = "player.py:Player"\n'
    return package(head, player_py=_player(base, body))


def thief(unjailed: Unjailed, body: str) -> JailedAttack:
    lines = body.strip("\n").splitlines()
    steal = "def steal(self, challenge):\n" + "\n".join("    " + line.strip() for line in lines)
    table = seats(
        attack=player("thief", "Thief", steal), backend=unjailed, threat_model=ThreatModel.black()
    )
    return table.open_attack(Revealed())


def planter(unjailed: Unjailed, line: str) -> JailedAttack:
    body = f"def backdoor(self, challenge):\n    c = challenge\n    return {line}"
    return seats(attack=player("poisoner", "Poisoner", body), backend=unjailed).open_attack(
        Revealed()
    )


def blamed(error: pytest.ExceptionInfo[PlayerError]) -> tuple[Side, FaultCode]:
    return error.value.side, error.value.code


# ── thieves ────────────────────────────────────────────────────────────────────────────────


def test_a_copy_comes_back_as_a_package_and_probes_name_no_example(unjailed: Unjailed) -> None:
    seat = thief(
        unjailed,
        """
        x = np.zeros((4, *challenge.task.shape), np.float32)
        print(challenge.queries, challenge.queries_in_all, challenge.defense.ask(x).shape)
        return Surrogate.linear(np.ones((6, 3)), np.zeros(3))
        """,
    )
    service = Service({"ask": np.zeros((4, 3), np.float32)})
    handed = Package.read(seat.steal(BRIEF, {}, service))
    assert handed.manifest.name == "Stolen linear model"
    ((name, x, examples),) = service.asked
    assert (name, x.shape, examples.tolist()) == ("ask", (4, *SHAPE), [0] * 4)
    assert seat.close().splitlines() == ["4 9 (4, 3)"]


def test_a_thief_keeps_what_it_learned_from_stop_to_stop(unjailed: Unjailed) -> None:
    seat = thief(
        unjailed,
        """
        self.calls = getattr(self, "calls", 0) + 1
        return Surrogate({"n": str(self.calls).encode()})
        """,
    )

    for call in (1, 2, 3):
        archive = zipfile.ZipFile(io.BytesIO(seat.steal(BRIEF, {}, Service())))
        assert archive.read("n") == str(call).encode()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("return b'no surrogate'", FaultCode.BAD_SURROGATE),
        ("return Surrogate({'a': 'text'})", FaultCode.BAD_SURROGATE),
        ("return Surrogate(7)", FaultCode.BAD_SURROGATE),
        (
            f"return Surrogate({{'a': np.random.default_rng(0).bytes({MAX_SURROGATE + 1})}})",
            FaultCode.BAD_SURROGATE,
        ),
        ("raise ValueError('no')", FaultCode.CRASHED),
        ("return challenge.defense.ask(np.zeros((9, 2, 3)))", FaultCode.QUERIES_EXCEEDED),
    ],
)
def test_what_is_no_copy_is_the_thiefs_fault(
    unjailed: Unjailed, line: str, code: FaultCode
) -> None:
    seat = thief(unjailed, line)
    with pytest.raises(PlayerError) as error:
        seat.steal(BRIEF, {}, Service({"ask": QueryBudgetExceeded("None left.")}))
    assert blamed(error) == (Side.ATTACK, code)


# ── certificates ───────────────────────────────────────────────────────────────────────────


def dana(unjailed: Unjailed, claim: str, **limits: Any) -> JailedDefense:
    body = f"""
    def predict(self, x):
        return np.zeros((len(x), 3), np.float32)

    def certify(self, x, norm, *, effort, seeds):
        print(len(x), norm, effort, seeds[:1].tolist())
        return {claim}
    """
    made = defense(body, 'certifies = ["l2"]\n')
    table = seats(defense=made, backend=unjailed, defense_limits=Limits(**limits))
    return table.open_defense()


def test_claims_are_asked_ten_rows_at_a_time_and_one_where_more_effort_is_due(
    unjailed: Unjailed,
) -> None:
    seat = dana(unjailed, "np.full(len(x), 2), seeds / 4")
    labels, radii = seat.certify(images(12), np.arange(12), norm="l2", effort=1)
    assert (labels.tolist(), radii.tolist()) == ([2] * 12, [i / 4 for i in range(12)])
    seat.certify(images(2), np.arange(2), norm="l2", effort=10)
    assert seat.close().splitlines() == ["10 l2 1 [0]", "2 l2 1 [10]", "1 l2 10 [0]", "1 l2 10 [1]"]


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        ("np.zeros(len(x))", FaultCode.WRONG_SHAPE),
        ("(np.zeros(1), np.zeros(1))", FaultCode.WRONG_SHAPE),
        ("(np.zeros(len(x)), np.full(len(x), np.inf))", FaultCode.NOT_FINITE),
        ("(np.zeros(len(x)), np.full(len(x), -1.0))", FaultCode.OUT_OF_RANGE),
        ("(np.full(len(x), 3), np.zeros(len(x)))", FaultCode.OUT_OF_RANGE),
        ("(np.full(len(x), -2), np.zeros(len(x)))", FaultCode.OUT_OF_RANGE),
        ("1 / 0", FaultCode.CRASHED),
    ],
)
def test_what_is_no_claim_is_the_defenses_fault(
    unjailed: Unjailed, claim: str, code: FaultCode
) -> None:
    seat = dana(unjailed, claim)
    with pytest.raises(PlayerError) as error:
        seat.certify(images(3), no_seeds(3), norm="l2", effort=1)
    assert blamed(error) == (Side.DEFENSE, code)


# ── backdoors ──────────────────────────────────────────────────────────────────────────────


def test_a_trigger_comes_back_with_the_poison(unjailed: Unjailed) -> None:
    seat = planter(
        unjailed,
        "Backdoor(Poison(c.x[:1], [c.target]), np.full((2, 3), 0.5), np.eye(2, 3, dtype=bool))",
    )
    x = images(4)
    handed = seat.backdoor(BRIEF, {"x": x, "y": np.arange(4) % 3}, Service())
    points, y, replaces, mask, pattern = handed
    np.testing.assert_array_equal(points, x[:1])
    assert (y.tolist(), replaces) == ([1], None)
    assert (mask.shape, mask.sum(), pattern.shape) == ((1, *SHAPE), 2, (1, *SHAPE))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("Poison(c.x[:1], [1])", FaultCode.WRONG_SHAPE),
        ("Backdoor(c.x, c.x[0])", FaultCode.WRONG_SHAPE),
        ("Backdoor(Poison(c.x[:1], [1]), np.zeros(3))", FaultCode.WRONG_SHAPE),
        ("Backdoor(Poison(c.x[:3], [1] * 3), c.x[0])", FaultCode.POISON_BUDGET),
    ],
)
def test_what_is_no_backdoor_is_the_poisoners_fault(
    unjailed: Unjailed, line: str, code: FaultCode
) -> None:
    seat = planter(unjailed, line)
    with pytest.raises(PlayerError) as error:
        seat.backdoor(BRIEF, {"x": images(4), "y": np.arange(4) % 3}, Service())
    assert blamed(error) == (Side.ATTACK, code)
