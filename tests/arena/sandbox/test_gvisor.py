"""Behind gVisor: the same walls, and a kernel that no other jail and no host shares."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from arena import house, tasks
from arena.referee import MatchSpec, play_match
from arena.rounds import GameName, RoundSpec
from arena.sandbox import cgroup, gvisor, view
from arena.sandbox.backend import Ending
from arena.sandbox.bubblewrap import BubblewrapBackend
from arena.sandbox.gvisor import GvisorBackend
from arena.sandbox.running import RunningJail
from arena.sandbox.self_test import got_through, probe
from arena.threat_model import ThreatModel
from tests.arena.sandbox.hostile_runs import attack, check
from tests.arena.sandbox.test_walls import PREAMBLE, SMALL, ended, said, with_module

pytestmark = [pytest.mark.jail, pytest.mark.slow]

Start = Callable[..., RunningJail]


@pytest.fixture(autouse=True)
def _installed() -> None:
    """Optional, as gVisor is: CI installs it where its distribution has it."""
    try:
        gvisor.find_binary()
    except gvisor.SandboxUnavailable as error:
        pytest.skip(f"optional: {error}")


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a jail that runs Mallory's lines behind the last wall."""
    jails: list[RunningJail] = []

    def begin(source: str, **limits: float) -> RunningJail:
        lib = with_module(view.arena_lib(), "mallory", PREAMBLE + textwrap.dedent(source))
        with monkeypatch.context() as patch:
            patch.setattr(view, "arena_lib", lambda: lib)
            wanted = replace(SMALL, **limits)  # type: ignore[arg-type]
            jails.append(GvisorBackend().start_module("mallory", wanted))
        return jails[-1]

    view.arena_lib()
    yield begin
    for jail in jails:
        jail.close()


def test_no_attempt_of_the_self_test_gets_through() -> None:
    results = probe(GvisorBackend())

    assert len(results) > 20
    assert got_through(results) == []


def test_the_kernel_is_not_the_hosts(start: Start) -> None:
    log = ended(start("print(os.uname().release, os.getpid(), os.listdir('/proc'))")).log

    assert os.uname().release not in log
    assert log.endswith("['cpuinfo']\n")


def test_nothing_is_written_but_two_small_places(start: Start) -> None:
    log = ended(
        start("""
        for folder in ("/", "/usr/lib", "/python", "/site", "/proc", "/sys", "/dev/shm"):
            try:
                open(folder + "/mark", "w")
                print("wrote to", folder)
            except OSError:
                pass
        written = 0
        try:
            for number in range(1000):
                with open("/tmp/%d" % number, "wb", buffering=0) as file:
                    written += file.write(b"x" * 2**18)
        except OSError:
            print(written // 2**20)
        """)
    ).log
    assert log == f"{SMALL.disk_mib}\n"


@pytest.mark.parametrize(
    ("source", "ending"),
    [
        ("raise SystemExit(0)", Ending.EXITED),
        ("import ctypes; ctypes.string_at(0)", Ending.CRASHED),
        ("os._exit(86)", Ending.OUT_OF_MEMORY),  # as the child does on a MemoryError
        (
            "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True:\n    pass",
            Ending.CPU_TIME,
        ),
    ],
)
def test_how_a_player_ended_is_told_apart(start: Start, source: str, ending: Ending) -> None:
    assert ended(start(source, cpu_seconds=1)).report.ending is ending


def test_memory_ends_at_its_limit(start: Start) -> None:
    log = ended(
        start("""
        held = []
        try:
            while True:
                held.append(bytearray(2**20))
        except MemoryError:
            count = len(held)
            held.clear()
            print(count)
        """)
    ).log
    assert SMALL.memory_mib // 2 < int(log) <= SMALL.memory_mib


def test_the_wall_clock_ends_a_sleeper_and_leaves_nothing(start: Start) -> None:
    before = remains()
    jail = start("print('asleep'); time.sleep(1e6)")
    said(jail, "asleep")
    during = remains()

    assert jail.kill(Ending.WALL_TIME).ending is Ending.WALL_TIME
    assert during - before
    assert_soon(lambda: remains() <= before)


def test_what_a_talker_says_beyond_the_cap_is_dropped(start: Start) -> None:
    log = ended(start("for _ in range(1000): print('x' * 100)")).log

    assert f"[log capped at {SMALL.log_kib} KiB" in log
    assert len(log) < 2 * SMALL.log_kib * 1024


def test_a_sandbox_dies_with_the_process_that_started_it() -> None:
    script = """
        import time
        from arena.rounds import Limits
        from arena.sandbox.gvisor import GvisorBackend
        sleep = "import time; print('up', flush=True); time.sleep(1e6)"
        jail = GvisorBackend().start_module("timeit", Limits(), "-n1", sleep)
        while "up" not in jail.log():
            time.sleep(0.005)
        print(jail.started.parent.name, flush=True)
        time.sleep(1e6)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        name = parent.stdout.readline().strip()
        assert name
        assert sandboxes(name)
        parent.kill()
    assert_soon(lambda: not sandboxes(name))


def test_a_runsc_that_refuses_is_nobodys_player(tmp_path: Path) -> None:
    refusing = tmp_path / "runsc"
    refusing.write_text("#!/bin/sh\necho no platform here >&2\nexit 128\n")
    refusing.chmod(0o755)
    jail = GvisorBackend(binary=refusing).start_module("timeit", SMALL)
    jail.process.wait()

    report = jail.poll()
    jail.close()
    assert report.ending is Ending.NEVER_STARTED
    assert "no platform here" in report.sentence


def test_a_match_has_the_verdict_that_it_has_behind_bubblewrap() -> None:
    round_ = RoundSpec(
        game=GameName.EVASION,
        task="digits",
        threat_model=ThreatModel.preset("white"),
        epsilons=(0.1,),
        examples=20,
    )
    players = (house.package(name, "digits") for name in ("fgsm", "cnn"))
    match = MatchSpec(round_, *players, seed=1, secret=b"s" * 32)
    there, here = (
        play_match(match, backend=backend, task=tasks.load("digits"))
        for backend in (BubblewrapBackend(), GvisorBackend())
    )

    assert here.provenance["walls"] == "virtual"
    assert here.status is there.status
    assert here.metrics == there.metrics


def test_hostile_players_come_to_nothing() -> None:
    """Those against what no namespace covers, and the one that leaves traces for the next."""
    for row in attack("gvisor", ["20-keyrings", "18-odd-sockets", "44-leaves"]).values():
        check(row)


def sandboxes(name: str) -> list[int]:
    """The processes of a sandbox that live (a dead one may wait for its new parent)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if name.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def remains() -> set[str]:
    """What jails of this process keep on the machine."""
    bases = Path(tempfile.gettempdir()).glob(f"arena-gvisor-{os.getpid()}-*/*")
    found = cgroup.controllers()
    groups = [] if found is None else [*found.memory.glob(f"arena-jail-{os.getpid()}-*")]
    return {str(path) for path in (*bases, *groups)}


def assert_soon(done: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not done():
        assert time.monotonic() < give_up
        time.sleep(0.01)
