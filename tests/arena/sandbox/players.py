"""The cast for the tests of the sandbox: small packages, a backend without walls, an actor.

Alice attacks, Dana defends, Mallory cheats.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from arena.packages import Package
from arena.rounds import GameName, Limits, RoundSpec
from arena.sandbox.backend import Ending, ExitReport, JailSpec, SandboxBackend, Strength
from arena.sandbox.guest_lockdown import EXIT_OUT_OF_MEMORY
from arena.sandbox.running import stream_pair
from arena.sandbox.seats import JailSeats
from arena.tasks import Split, Task
from arena.tasks.split import Splits
from arena.threat_model import ThreatModel
from arena.wire import Op, Trusting, Wire

ROOT = Path(__file__).resolve().parents[3]
SHAPE = (2, 3)
CLASSES = ("zero", "one", "two")
COST = np.array([[0, 1, 2], [1, 0, 1], [5, 1, 0]], np.float64)
MUTABLE = np.array([[True, True, False], [True, False, True]])
ADD_ONLY = np.array([[True, False, False], [False, False, True]])

BORN = "import os, runpy, sys; os.dup2({fd}, 3); os.close({fd}); sys.argv = {argv!r}; {rest}"
RUN = "runpy.run_module('arena.sandbox.child', run_name='__main__', alter_sys=True)"


# --- a jail without walls ---------------------------------------------------------------------


@dataclass
class UnjailedProcess:
    """The real child in a plain subprocess."""

    socket: socket.socket
    process: subprocess.Popen[bytes]
    base: Path
    output: Path
    killed: bool = False
    said: str | None = None

    def poll(self) -> ExitReport:
        if self.process.poll() is None:
            return ExitReport(Ending.RUNNING, "It is running.")
        return self._report()

    def kill(self) -> ExitReport:
        if self.process.poll() is None:
            self.killed = True
            self.process.kill()
            self.process.wait()
        if self.base.exists():
            self.said = self.output.read_text(errors="replace")
            shutil.rmtree(self.base)
        return self._report()

    def gather(self) -> None:
        pass

    def log(self) -> str:
        return self.output.read_text(errors="replace") if self.said is None else self.said

    def _report(self) -> ExitReport:
        status = self.process.returncode
        if self.killed:
            return ExitReport(Ending.KILLED, "It was killed.", status)
        if status == EXIT_OUT_OF_MEMORY:
            return ExitReport(Ending.OUT_OF_MEMORY, "It ran out of memory.", status)
        ending = Ending.CRASHED if status else Ending.EXITED
        return ExitReport(ending, f"It ended with {status}.", status)


class Unjailed:
    """A backend for tests: no walls, any machine."""

    name = "unjailed"
    strength = Strength.NONE

    def __init__(self) -> None:
        self.jails: list[UnjailedProcess] = []

    def start(self, spec: JailSpec) -> UnjailedProcess:
        ours, theirs = stream_pair()
        base = Path(tempfile.mkdtemp(prefix="unjailed-"))
        output = base / "output"
        argv = ["child", "--unjailed", "--base", str(base / "sub")]
        program = BORN.format(fd=theirs.fileno(), argv=argv, rest=RUN)
        with output.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", program],
                pass_fds=(theirs.fileno(),),
                cwd=ROOT,
                env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        theirs.close()
        self.jails.append(UnjailedProcess(ours, process, base, output))
        return self.jails[-1]


# --- an actor in place of a child -------------------------------------------------------------

Script = Callable[[Wire, socket.socket], None]


@dataclass
class Acted:
    """A jail whose inside is a function in a thread: it may say whatever it likes."""

    socket: socket.socket
    thread: threading.Thread

    def poll(self) -> ExitReport:
        if self.thread.is_alive():
            return ExitReport(Ending.RUNNING, "It is running.")
        return ExitReport(Ending.EXITED, "It ended.", 0)

    def kill(self) -> ExitReport:
        report = self.poll()
        if self.socket.fileno() >= 0:
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        return report

    def gather(self) -> None:
        pass

    def log(self) -> str:
        return ""


class Actor:
    """A backend whose jails boot and load as they should, then follow the script."""

    name = "actor"
    strength = Strength.NONE

    def __init__(self, script: Script, *, polite: bool = True) -> None:
        self.script = script
        self.polite = polite

    def start(self, spec: JailSpec) -> Acted:
        ours, theirs = stream_pair()
        thread = threading.Thread(target=self._act, args=(theirs,), daemon=True)
        thread.start()
        return Acted(ours, thread)

    def _act(self, stream: socket.socket) -> None:
        wire = Wire(stream, blocking=True)
        try:
            if self.polite:
                boot(wire)
            self.script(wire, stream)
        except Exception:
            pass  # the referee hung up
        finally:
            stream.close()


def boot(wire: Wire) -> None:
    hello = wire.receive({Op.HELLO: Trusting()})
    wire.send(Op.UP, request=hello.request)
    while (frame := wire.receive({Op.FILE: Trusting(), Op.SEAL: Trusting()})).op is Op.FILE:
        pass
    wire.send(Op.LOCKED, request=frame.request)
    start = wire.receive({Op.START: Trusting()})
    wire.send(Op.READY, request=start.request)


# --- packages ---------------------------------------------------------------------------------


def package(manifest: str, **files: str | bytes) -> Package:
    """``player_py="..."`` becomes player.py."""
    contents = {
        name.replace("_", ".", 1) if "." not in name else name: (
            text.encode() if isinstance(text, str) else text
        )
        for name, text in files.items()
    }
    contents["manifest.toml"] = ("schema_version = 1\n" + manifest).encode()
    return Package.of(contents)


def defense(body: str, manifest: str = "") -> Package:
    """Dana's: ``body`` is the inside of ``class Defense``."""
    head = 'name = "Dana\'s"\nrole = "defense"\nentry = "player.py:Player"\n'
    return package(head + manifest, player_py=_player("Defense", body))


def attack(body: str, manifest: str = "") -> Package:
    """Alice's: the body of ``attack(self, challenge)``."""
    head = 'name = "Alice\'s"\nrole = "attack"\nentry = "player.py:Player"\n'
    body = "def attack(self, challenge):\n" + _indented(body)
    return package(head + manifest, player_py=_player("EvasionAttack", body))


def _player(base: str, body: str) -> str:
    return (
        "import numpy as np\nimport arena.players\nfrom arena.players import *\n\n"
        f"class Player(arena.players.{base}):\n" + _indented(body)
    )


def _indented(body: str) -> str:
    lines = body.strip("\n").splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join("    " + line[margin:] for line in lines) + "\n"


LINEAR = defense(
    """
    def load(self):
        self.w = np.arange(18, dtype=np.float32).reshape(6, 3) / 10

    def predict(self, x):
        return x.reshape(len(x), -1) @ self.w
    """
)
IDLE = attack("return challenge.x")


# --- a match without a game -------------------------------------------------------------------


def tiny_task() -> Task:
    rng = np.random.default_rng(0)
    split = Split(
        name="all",
        x=rng.random((12, *SHAPE)).astype(np.float32),
        y=np.arange(12, dtype=np.int64) % 3,
    )
    return Task(
        name="tiny",
        title="Tiny",
        description="",
        shape=SHAPE,
        classes=CLASSES,
        floor=0.0,
        norms={"linf": (0.1,)},
        licence="",
        version=1,
        read=lambda: Splits(train=split, practice=split, final=None),
        grid=None,
        cost=COST,
        mutable=MUTABLE,
        add_only=ADD_ONLY,
    )


def seats(
    *,
    attack: Package = IDLE,
    defense: Package = LINEAR,
    backend: SandboxBackend,
    threat_model: ThreatModel | None = None,
    attack_limits: Limits | None = None,
    defense_limits: Limits | None = None,
) -> JailSeats:
    spec = RoundSpec(
        game=GameName.EVASION,
        task="tiny",
        threat_model=threat_model or ThreatModel.white(),
        epsilons=(0.1,),
        attack_limits=attack_limits or Limits(),
        defense_limits=defense_limits or Limits(),
    )
    return JailSeats(
        round=spec, attack=attack, defense=defense, task=tiny_task(), backend=backend, seed=7
    )


def images(count: int = 4) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).random((count, *SHAPE)).astype(np.float32)


def no_seeds(count: int) -> np.ndarray[Any, Any]:
    return np.zeros(count, np.uint64)


BRIEF: Mapping[str, Any] = {
    "norm": "linf",
    "epsilon": 0.1,
    "seed": 3,
    "output": "label",
    "game": "evasion",
}


@dataclass
class Service:
    """An oracle that notes what it was asked, and answers from ``answers`` or raises."""

    answers: Mapping[str, Any] = field(default_factory=dict)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def ask(self, *arrays: Any) -> Any:
        return self._answer("ask", *arrays)

    def logits(self, *arrays: Any) -> Any:
        return self._answer("logits", *arrays)

    def gradient(self, *arrays: Any) -> Any:
        return self._answer("gradient", *arrays)

    def check(self, *arrays: Any) -> Any:
        return self._answer("check", *arrays)

    def submit(self, *arrays: Any) -> None:
        self.asked.append(("submit", *arrays))

    def probes_left(self) -> tuple[float, Any]:
        self.asked.append(("probes",))
        return 5.0, np.array([2.0, 3.0])

    def _answer(self, name: str, *arrays: Any) -> Any:
        self.asked.append((name, *arrays))
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer(*arrays) if callable(answer) else answer
