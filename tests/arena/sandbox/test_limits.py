"""What one side may use, and what its verdict says when it used more: on every backend for guests,
with control groups where this machine gives them, and by rlimits alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arena.errors import FaultCode, Side
from arena.packages import Package
from arena.rounds import Limits, RoundSpec
from arena.sandbox import cgroup
from arena.sandbox.backend import Ending, Jail, SandboxBackend
from arena.sandbox.bubblewrap import BubblewrapBackend
from arena.sandbox.cgroup import Controllers
from arena.sandbox.zygote import ZygoteBackend
from arena.verdict import Fault, Verdict
from tests.arena.test_matches_in_jails import DEFENSE, attack, black, defense, manifest, match

pytestmark = [pytest.mark.jail, pytest.mark.slow]

TIGHT = Limits(memory_mib=192, cpu_seconds=1.0, wall_seconds=600.0, query_seconds=600.0)
HURRIED = Limits(memory_mib=192, wall_seconds=1.0, query_seconds=1.0)
IGNORES_THE_LIMIT = (
    "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n        while True: pass"
)
HOARDS = "held = []\n        while True: held.append(bytearray(2**20))"
USES_TOO_MUCH: dict[FaultCode, tuple[str, Limits]] = {
    FaultCode.OUT_OF_MEMORY: (HOARDS, TIGHT),
    FaultCode.CPU_TIME: (IGNORES_THE_LIMIT, TIGHT),
    FaultCode.WALL_TIME: ("import time; time.sleep(1e6)", HURRIED),
    FaultCode.CRASHED: ("import ctypes; ctypes.string_at(0)", TIGHT),
}
SAYS_THAT_IT_IS_UP = "import time; print('up', flush=True); time.sleep(99)"
MALLORY = (
    "from arena.players import EvasionAttack\n"
    "class Player(EvasionAttack):\n"
    "    def attack(self, challenge):\n"
    "        {}\n"
)


@pytest.fixture(params=["control groups", "rlimits alone"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By what the limits are held."""
    if request.param == "rlimits alone":
        monkeypatch.setattr(cgroup, "controllers", lambda: None)
    elif cgroup.controllers() is None:
        pytest.skip("no control group is writable here")
    return str(request.param)


@pytest.fixture(params=[BubblewrapBackend, ZygoteBackend], ids=["per-match", "zygote"])
def backend(request: pytest.FixtureRequest, how: str) -> Iterator[SandboxBackend]:
    made = request.param()
    yield made
    getattr(made, "close", lambda: None)()


@pytest.fixture
def zygote(how: str) -> Iterator[ZygoteBackend]:
    made = ZygoteBackend()
    yield made
    made.close()


def fault_of(verdict: Verdict) -> Fault:
    assert verdict.fault is not None
    return verdict.fault


def test_four_ends_of_an_attack_are_four_verdicts(backend: SandboxBackend) -> None:
    told = {}
    for code, (body, limits) in USES_TOO_MUCH.items():
        mallory = attack(MALLORY.format(body))
        fault = fault_of(match(backend, alice=mallory, round_=black(attack_limits=limits)))
        assert (fault.side, fault.code) == (Side.ATTACK, code)
        told[code] = fault.sentence
    assert len(set(told.values())) == len(USES_TOO_MUCH), told


@pytest.mark.parametrize(
    ("body", "limits", "code"),
    [
        (HOARDS, TIGHT, FaultCode.OUT_OF_MEMORY),
        ("import time; time.sleep(1e6)", HURRIED, FaultCode.QUERY_LATENCY),
        ("import ctypes; ctypes.string_at(0)", TIGHT, FaultCode.CRASHED),
    ],
)
def test_a_defense_that_uses_too_much_in_one_answer_is_told_why(
    zygote: SandboxBackend, body: str, limits: Limits, code: FaultCode
) -> None:
    mallory = defense(
        DEFENSE.replace("        return np.c_", f"        {body}\n        return np.c_")
    )
    fault = fault_of(match(zygote, dana=mallory, round_=black(defense_limits=limits)))
    assert (fault.side, fault.code) == (Side.DEFENSE, code)


def test_each_side_has_limits_of_its_own(zygote: SandboxBackend) -> None:
    """What an attack may hold is not counted against the defense, nor the other way round."""
    holds = MALLORY.format("held = bytearray(400 * 2**20); return challenge.x + 0 * held[-1]")
    wide, tight = Limits(memory_mib=1024), Limits(memory_mib=192)

    def played(round_: RoundSpec) -> Verdict:
        return match(zygote, alice=attack(holds), round_=round_)

    assert played(black(attack_limits=wide, defense_limits=tight)).fault is None
    fault = fault_of(played(black(attack_limits=tight, defense_limits=wide)))
    assert (fault.side, fault.code) == (Side.ATTACK, FaultCode.OUT_OF_MEMORY)


REACHES_OUT = """
import threading, time
import numpy as np
from arena.players import EvasionAttack

class Player(EvasionAttack):
    def attack(self, challenge):
        held = []
        try:
            while True: held.append(open("/dev/null"))
        except OSError:
            print("files", len(held), flush=True)
        held.clear()
        written = 0
        try:
            with open("/tmp/large", "wb", buffering=0) as file:
                while True: written += file.write(bytes(2**18))
        except OSError:
            print("disk", written, flush=True)
        count = 0
        try:
            while count < 1000:
                threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
                count += 1
        except RuntimeError:
            print("threads", count, flush=True)
        print("x" * 2000, flush=True)
        return challenge.x
"""


def test_what_is_refused_beyond_its_limit_ends_nobody(zygote: SandboxBackend) -> None:
    limits = Limits(open_files=32, disk_mib=3, threads=1, log_kib=1)
    mallory = attack(REACHES_OUT)
    verdict = match(zygote, alice=mallory, round_=black(attack_limits=limits))
    said = dict(line.split() for line in verdict.logs["attack"].splitlines()[:3])

    assert verdict.fault is None
    assert int(said["files"]) <= limits.open_files
    own = sum(len(content) for content in mallory.files.values())
    assert limits.disk_mib * 2**20 <= int(said["disk"]) <= (limits.disk_mib + 1) * 2**20 + own
    assert int(said["threads"]) < 1000
    assert "[log capped at 1 KiB" in verdict.logs["attack"]


COUNTS = """
import torch
from arena.players import EvasionAttack

class Player(EvasionAttack):
    def attack(self, challenge):
        print(torch.get_num_threads(), torch.rand(1).item(), flush=True)
        return challenge.x
"""


def test_torch_computes_on_as_many_threads_as_the_round_gives(backend: SandboxBackend) -> None:
    """And draws from where the referee's seed put it."""
    torch_attack = Package.of(
        {"manifest.toml": manifest("attack", framework="torch"), "player.py": COUNTS.encode()}
    )

    def said(threads: int) -> list[str]:
        round_ = black(attack_limits=Limits(threads=threads))
        return match(backend, alice=torch_attack, round_=round_).logs["attack"].split()

    (one, drawn), (two, again) = said(1), said(2)
    assert (one, two) == ("1", "2")
    assert drawn == again


def test_a_fork_has_entered_its_groups_before_it_runs_a_line(
    zygote: ZygoteBackend, how: str
) -> None:
    jail = zygote.start_module("timeit", Limits(), "-n1", SAYS_THAT_IT_IS_UP)
    wait_until_up(jail)

    assert (jail.group is not None) == (how == "control groups")
    for directory in jail.group.directories if jail.group else ():
        assert (directory / "cgroup.procs").read_text().split() == [str(jail.init_pid)]
    jail.close()


def wait_until_up(jail: Jail) -> None:
    while "up" not in jail.log():
        assert jail.poll().ending is Ending.RUNNING, jail.log()


# --- version 2 of control groups, on a directory that looks like one ----------------------------


@pytest.fixture
def version_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(cgroup, "controllers", lambda: Controllers(2, tmp_path, tmp_path))
    monkeypatch.setattr(cgroup, "_REMOVE_SECONDS", 0.0)  # these files are no kernel's
    set_limits = cgroup._set_limits

    def as_the_kernel(found: Controllers, name: str, **limits: int) -> None:
        (tmp_path / name / "cgroup.procs").touch()
        set_limits(found, name, **limits)

    monkeypatch.setattr(cgroup, "_set_limits", as_the_kernel)
    return tmp_path


@pytest.mark.parametrize("kind", [BubblewrapBackend, ZygoteBackend], ids=["per-match", "zygote"])
def test_a_player_enters_its_group_of_version_2_and_its_kernels_word_is_believed(
    kind: Callable[[], BubblewrapBackend | ZygoteBackend], version_2: Path
) -> None:
    """A fork writes 0, which a kernel takes for whoever writes it."""
    backend = kind()
    jail = backend.start_module("timeit", Limits(memory_mib=64), "-n1", SAYS_THAT_IT_IS_UP)
    wait_until_up(jail)
    (group,) = version_2.glob("arena-jail-*")

    entered = "0" if kind is ZygoteBackend else str(jail.init_pid)
    assert (group / "cgroup.procs").read_text() == entered
    assert (group / "memory.max").read_text() == str(64 * 2**20)
    (group / "memory.events").write_text("oom 1\noom_kill 1\n")
    assert jail.kill().ending is Ending.OUT_OF_MEMORY
    jail.close()
    getattr(backend, "close", lambda: None)()
