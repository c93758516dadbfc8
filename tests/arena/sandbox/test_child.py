"""The process inside: what it takes from the referee, what it imports, how it ends."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arena.errors import PlayerError, Side
from arena.manifest import Framework
from arena.rounds import Limits
from arena.sandbox.attack_seat import JailedAttack
from arena.sandbox.backend import JailSpec
from arena.sandbox.child import Exit
from arena.sandbox.defense_seat import JailedDefense
from arena.seats import Revealed
from arena.wire import VERSION, Frame, Op, Trusting, Wire
from tests.arena.sandbox.players import (
    ROOT,
    SHAPE,
    Service,
    Unjailed,
    UnjailedProcess,
    _player,
    images,
    no_seeds,
    package,
    seats,
)

ANY = {op: Trusting() for op in Op}


class Oscar:
    """Speaks to a child directly, as the referee does."""

    def __init__(self, backend: Unjailed) -> None:
        spec = JailSpec(side=Side.DEFENSE, framework=Framework.NUMPY, limits=Limits())
        self.jail: UnjailedProcess = backend.start(spec)
        self.wire = Wire(self.jail.socket, blocking=True)

    def hello(self, **changes: Any) -> Frame:
        meta = {"version": VERSION, "framework": "numpy", "seed": 1} | changes
        self.wire.send(Op.HELLO, request=1, meta=meta)
        return self.wire.receive(ANY)

    def file(self, path: Any, content: bytes = b"x") -> None:
        data = np.frombuffer(content, np.uint8)
        self.wire.send(Op.FILE, request=2, meta={"path": path}, arrays=(data,))

    def seal(self) -> Frame:
        self.wire.send(Op.SEAL, request=2)
        return self.wire.receive(ANY)

    def start(self) -> Frame:
        assert self.seal().op is Op.LOCKED
        task = {"name": "t", "shape": [2], "classes": ["a", "b"], "grid": None}
        self.wire.send(Op.START, request=3, meta={"task": task, "arrays": []})
        return self.wire.receive(ANY)

    def status(self) -> int:
        return self.jail.process.wait(timeout=60)


def test_it_speaks_one_version_of_the_wire(unjailed: Unjailed) -> None:
    oscar = Oscar(unjailed)
    frame = oscar.hello(version=VERSION + 1)
    assert (frame.op, frame.meta["kind"]) == (Op.FAILED, "lockdown")
    assert oscar.status() == Exit.NO_WALLS


def test_outside_of_a_jail_it_loads_no_player_unless_told_to(tmp_path: Path) -> None:
    """The flag that tests use is the only way around the walls."""
    ours, theirs = socket.socketpair()
    program = (
        f"import os, runpy, sys; os.dup2({theirs.fileno()}, 3); "
        f"sys.argv = ['child', '--base', {str(tmp_path)!r}]; "
        "runpy.run_module('arena.sandbox.child', run_name='__main__')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        pass_fds=(theirs.fileno(),),
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        env={},
    )
    theirs.close()
    wire = Wire(ours, blocking=True)
    wire.send(Op.HELLO, request=1, meta={"version": VERSION, "framework": "numpy", "seed": 1})
    wire.send(Op.SEAL, request=2)
    assert wire.receive(ANY).op is Op.UP
    frame = wire.receive(ANY)
    ours.close()
    assert (frame.op, frame.meta["kind"]) == (Op.FAILED, "lockdown")
    assert "NotJailed" in frame.meta["traceback"]
    assert process.wait(timeout=60) == Exit.NO_WALLS


@pytest.mark.parametrize(
    "path",
    [
        "package/../../escape",
        "/etc/passwd",
        "package//x",
        "package/./x",
        "package/.hidden",
        "package/a\\b",
        "package/a\0b",
        "package/",
        "package",
        "elsewhere/x",
        "../package/x",
        "package/" + "d/" * 8 + "x",
        "package/" + "x" * 101,
        "",
        None,
        7,
        ["package", "x"],
    ],
)
def test_a_path_that_is_not_plain_is_refused_again_inside(unjailed: Unjailed, path: Any) -> None:
    oscar = Oscar(unjailed)
    assert oscar.hello().op is Op.UP
    oscar.file(path)
    assert oscar.status() == Exit.PROTOCOL


def test_no_file_is_written_twice(unjailed: Unjailed) -> None:
    oscar = Oscar(unjailed)
    oscar.hello()
    oscar.file("package/a.txt")
    oscar.file("package/a.txt")
    assert oscar.wire.receive(ANY).op is Op.FAILED
    assert oscar.status() == Exit.LOAD_FAILED


def test_requests_before_the_player_is_loaded_are_refused(unjailed: Unjailed) -> None:
    oscar = Oscar(unjailed)
    oscar.hello()
    oscar.wire.send(Op.PREDICT, request=2)
    assert oscar.status() == Exit.PROTOCOL


def test_a_package_without_a_manifest_cannot_be_loaded(unjailed: Unjailed) -> None:
    oscar = Oscar(unjailed)
    oscar.hello()
    frame = oscar.start()
    assert (frame.op, frame.meta["kind"]) == (Op.FAILED, "raised")
    assert oscar.status() == Exit.LOAD_FAILED


def test_it_ends_quietly_when_the_referee_hangs_up(unjailed: Unjailed) -> None:
    oscar = Oscar(unjailed)
    oscar.hello()
    oscar.jail.socket.shutdown(socket.SHUT_RDWR)
    assert oscar.status() == Exit.OK
    assert oscar.jail.log() == ""


# --- players of every kind --------------------------------------------------------------------


def player(role: str, base: str, body: str, **files: Any) -> Any:
    manifest = f'name = "P"\nrole = "{role}"\nentry = "player.py:Player"\n'
    return package(manifest, **files, player_py=_player(base, body))


def test_a_package_s_own_modules_can_be_imported(unjailed: Unjailed) -> None:
    files = {
        "helper.py": "NUMBER = 7",
        "deep/__init__.py": "",
        "deep/down.py": "from helper import NUMBER",
    }
    body = """
    def predict(self, x):
        from deep.down import NUMBER
        return np.full((len(x), 3), NUMBER, np.float32)
    """
    table = seats(defense=player("defense", "Defense", body, **files), backend=unjailed)
    with table.open_defense() as seat:
        assert (seat.predict(images(2), no_seeds(2)) == 7).all()


def test_the_global_generators_start_from_the_referee_s_seed(unjailed: Unjailed) -> None:
    body = """
    def predict(self, x):
        import random
        return np.float32([[random.random(), np.random.random(), 0]] * len(x))
    """
    table = seats(defense=player("defense", "Defense", body), backend=unjailed)
    with table.open_defense() as one, table.open_defense() as two:
        first = one.predict(images(1), no_seeds(1))
        np.testing.assert_array_equal(first, two.predict(images(1), no_seeds(1)))
        assert (first != one.predict(images(1), no_seeds(1))).any()


def test_a_numpy_player_does_not_pay_for_torch(unjailed: Unjailed) -> None:
    body = """
    def predict(self, x):
        import sys
        print(sorted({"torch", "sklearn", "onnxruntime", "scipy"} & set(sys.modules)))
        return np.zeros((len(x), 3))
    """
    table = seats(defense=player("defense", "Defense", body), backend=unjailed)
    seat = table.open_defense()
    seat.predict(images(1), no_seeds(1))
    assert seat.close() == "[]\n"


def test_the_jail_s_modules_reach_nothing_of_the_referee_s() -> None:
    """What the child imports is what exists in a jail: no game, no task, no verdict."""
    code = (
        "import json, sys; import arena.sandbox.child, arena.sandbox.guest_onnx, "
        "arena.sandbox.guest_sklearn, arena.torch_players; "
        "print(json.dumps([m for m in sys.modules if m.startswith('arena')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    forbidden = {"referee", "games", "tasks", "seats", "oracle", "verdict", "metrics", "rounds"}
    loaded = {name.split(".")[1] for name in json.loads(done.stdout) if "." in name}
    assert not loaded & forbidden
    assert "torch" not in done.stdout.replace("torch_players", "")


LEARNER = """
def fit(self, x, y, seed):
    self.means = np.stack([x[y == k].mean(0).ravel() for k in range(3)])
    self.noise = np.random.random()

def predict(self, x):
    gap = ((x.reshape(len(x), 1, -1) - self.means) ** 2).sum(2)
    return -gap + 1e-3 * self.noise
"""


def learner(unjailed: Unjailed, body: str = LEARNER, **limits: float) -> JailedDefense:
    table = seats(
        defense=player("learner", "Learner", body),
        backend=unjailed,
        defense_limits=Limits(**limits),
    )
    return table.open_defense()


def test_a_learner_trains_anew_with_the_same_result_for_the_same_seed(
    unjailed: Unjailed,
) -> None:
    x, y = images(9), np.arange(9) % 3
    with learner(unjailed) as seat:
        seat.fit(x, y, 5)
        first = seat.predict(x, no_seeds(9))
        seat.fit(x[::-1], y, 6)
        assert (seat.predict(x, no_seeds(9)) != first).any()
        seat.fit(x, y, 5)
        np.testing.assert_array_equal(seat.predict(x, no_seeds(9)), first)


def test_a_learner_that_never_ends_runs_out_of_time(unjailed: Unjailed) -> None:
    body = "def fit(self, x, y, seed):\n    import time; time.sleep(60)"
    with learner(unjailed, body, wall_seconds=0.3) as seat, pytest.raises(PlayerError) as error:
        seat.fit(images(3), np.arange(3), 1)
    assert (error.value.side, error.value.code) == (Side.DEFENSE, "wall_time")
    assert "learner" in str(error.value)


def bob(unjailed: Unjailed, body: str) -> JailedAttack:
    body = "def poison(self, challenge):\n" + "\n".join(
        "    " + line.strip() for line in body.strip().splitlines()
    )
    table = seats(attack=player("poisoner", "Poisoner", body), backend=unjailed)
    return table.open_attack(Revealed(package={"player.py": b"learner"}))


def poison(seat: JailedAttack, **brief: Any) -> tuple[Any, Any, Any]:
    fields = {"count": 2, "mode": "replace", "output": "label", "seed": 3} | brief
    arrays = {"x": images(5), "y": np.arange(5) % 3}
    return seat.poison(fields, arrays, Service({"ask": np.array([1])}))


def test_a_poisoner_receives_the_training_set_and_returns_points(unjailed: Unjailed) -> None:
    seat = bob(
        unjailed,
        """
        c = challenge
        print(c.count, c.mode, c.seed, (c.package / "player.py").read_text(), len(c.x), c.y)
        print(c.defense.ask(c.x[:1], np.array([4])))
        return Poison(c.x[:2] + 1, c.y[:2] + 1, np.array([3, 4]))
        """,
    )
    x, y, replaces = poison(seat)
    np.testing.assert_array_equal(x, images(5)[:2] + 1)
    assert (y.tolist(), replaces.tolist()) == ([1, 2], [3, 4])
    assert seat.close().splitlines() == ["2 replace 3 learner 5 [0 1 2 0 1]", "[1]"]


def test_points_that_are_added_replace_nothing(unjailed: Unjailed) -> None:
    seat = bob(unjailed, "return Poison(challenge.x[:1], challenge.y[:1])")
    x, y, replaces = poison(seat, mode="add")
    assert (x.shape, y.shape, replaces) == ((1, *SHAPE), (1,), None)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("return Poison(challenge.x[:3], challenge.y[:3])", "poison_budget"),
        ("return Poison(challenge.x[:2], challenge.y[:1])", "wrong_shape"),
        ("return Poison(challenge.x[:2], challenge.y[:2], np.array([1]))", "wrong_shape"),
        ("return Poison(challenge.x[:2, 0], challenge.y[:2])", "wrong_shape"),
        ("return challenge.x[:2]", "wrong_shape"),
        ("return Poison('points', challenge.y[:2])", "wrong_shape"),
        ("return Poison(challenge.x[:2], None)", "wrong_shape"),
        ("raise ValueError", "crashed"),
    ],
)
def test_a_poisoner_s_wrong_answer_is_his_fault(unjailed: Unjailed, line: str, code: str) -> None:
    with pytest.raises(PlayerError) as error:
        poison(bob(unjailed, line))
    assert (error.value.side, error.value.code) == (Side.ATTACK, code)
