"""Both seats of a match: what is revealed to the attack, and how the two are opened."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from arena.errors import (
    FaultCode,
    PlayerError,
    RefereeError,
    Side,
)
from arena.rounds import Limits
from arena.sandbox.attack_seat import JailedAttack
from arena.sandbox.backend import JailSpec
from arena.sandbox.defense_seat import JailedDefense
from arena.sandbox.seats import QUANTUM
from arena.seats import Revealed
from arena.threat_model import OracleOutput, OutputKind, TaskKnowledge, ThreatModel
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
from tests.arena.sandbox.seated import NOTHING, alice, blamed, dana, evade

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
