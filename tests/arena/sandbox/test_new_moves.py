"""Thieves, certificates and backdoors through seats: what may come back, and whose fault it is."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest

from arena.errors import FaultCode, PlayerError, QueryBudgetExceeded, Side
from arena.packages import Package
from arena.rounds import Limits
from arena.sandbox.attack_seat import JailedAttack
from arena.sandbox.defense_seat import JailedDefense
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


# ── chosen points, streams and learners that move second ───────────────────────────────────


def poisoner(unjailed: Unjailed, method: str, line: str) -> JailedAttack:
    body = f"def {method}(self, challenge):\n    c = challenge\n    return {line}"
    return seats(attack=player("poisoner", "Poisoner", body), backend=unjailed).open_attack(
        Revealed()
    )


def test_a_poisoner_is_asked_for_one_chosen_point_by_its_own_method(unjailed: Unjailed) -> None:
    line = "Poison(c.target_x[None], [c.target if c.label == 0 else c.label])"
    seat = poisoner(unjailed, "poison_target", line)
    x, chosen = images(4), images(1) / 2
    brief = {**BRIEF, "game": "targeted_poisoning", "label": 0}
    arrays = {"x": x, "y": np.arange(4) % 3, "target_x": chosen}
    points, labels, replaces = seat.poison(brief, arrays, Service())
    assert np.array_equal(points, chosen)
    assert labels.tolist() == [1]
    assert replaces is None


def test_a_poisoner_of_streams_keeps_what_it_saw(unjailed: Unjailed) -> None:
    line = (
        "(setattr(self, 'n', getattr(self, 'n', 0) + len(c.x)), "
        "Poison(c.x[:1], [self.n % 3], [c.batch]))[1]"
    )
    seat = poisoner(unjailed, "poison_batch", line)
    arrays = {"x": images(2), "y": np.zeros(2, np.int64)}
    handed = [
        seat.poison(
            {**BRIEF, "game": "online_poisoning", "batch": b, "batches": 2}, arrays, Service()
        )
        for b in range(2)
    ]
    assert [labels.tolist() for _, labels, _ in handed] == [[2], [1]]
    assert [rows.tolist() for _, _, rows in handed if rows is not None] == [[0], [1]]


def learner(unjailed: Unjailed, body: str) -> JailedDefense:
    answers = "def predict(self, x):\n    return np.tile(self.w, (len(x), 1))\n"
    package_ = player("learner", "Learner", body + answers)
    return seats(defense=package_, backend=unjailed).open_defense()


def test_a_learner_learns_a_batch_at_a_time_or_is_fitted_anew(unjailed: Unjailed) -> None:
    batches = [(images(3), np.array([0, 1, 2])), (images(2), np.array([1, 1]))]
    own = (
        "def start(self, seed):\n    self.w = np.zeros(3)\n"
        "def update(self, x, y):\n    self.w += np.bincount(y, minlength=3)\n"
    )
    anew = "def fit(self, x, y, seed):\n    self.w = np.bincount(y, minlength=3) + seed\n"
    for body, seed, found in ((own, 5, [1, 3, 1]), (anew, 5, [6, 8, 6])):
        seat = learner(unjailed, body)
        for _ in range(2):  # a new stream forgets the last one
            for number, (x, y) in enumerate(batches):
                seat.fit(x, y, seed, told={"batch": number})
        assert seat.predict(images(1), no_seeds(1))[0].tolist() == found


def test_a_learner_that_moves_second_chooses_before_it_is_trained(unjailed: Unjailed) -> None:
    body = (
        "def choose(self, x, y, *, share, mode):\n    self.w = [share, len(x), mode == 'add']\n"
        "def fit(self, x, y, seed):\n    self.w = np.array(self.w, float)\n"
    )
    seat = learner(unjailed, body)
    seat.fit(images(4), np.zeros(4, np.int64), 1, told={"share": 0.25, "mode": "add"})
    assert seat.predict(images(1), no_seeds(1))[0].tolist() == [0.25, 4.0, 1.0]
