"""The wall that the jailed process puts up itself, and the two files around it."""

from __future__ import annotations

import mmap
import resource
import subprocess
import sys

import pytest

from arena.sandbox import guest_lockdown, running
from arena.sandbox.guest_lockdown import VARIABLE, Lockdown, NotJailed, lock_down

WANTED = Lockdown(memory_mib=64, cpu_seconds=5, threads=1, open_files=32, disk_mib=1)


def in_a_process(source: str, wanted: Lockdown) -> str:
    """``source`` after a lockdown, in a process of its own: it cannot be undone."""
    script = f"from arena.sandbox.guest_lockdown import lock_down\nlock_down()\n{source}"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={VARIABLE: wanted.to_text()},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout + ran.stderr


def test_a_process_that_no_backend_started_loads_no_player(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)

    with pytest.raises(NotJailed):
        lock_down()


def test_a_test_may_say_that_it_means_to_run_without_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)

    lock_down(unjailed=True)


def test_saying_so_takes_no_wall_away_where_a_backend_asked_for_one() -> None:
    wanted = Lockdown(memory_mib=64, cpu_seconds=5, threads=1, open_files=32, disk_mib=1)
    script = "from arena.sandbox.guest_lockdown import lock_down\nlock_down(unjailed=True)\n"
    script += "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={VARIABLE: wanted.to_text()},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout == "(0, 0)\n"


def test_what_is_asked_survives_the_way_into_the_jail() -> None:
    wanted = Lockdown(None, 2.5, 4, 64, 8, seccomp=False, readable=("/a", "/b"), writable=("/c",))

    assert Lockdown.from_text(wanted.to_text()) == wanted


def test_memory_is_counted_beyond_what_the_interpreter_had_mapped() -> None:
    allocate = "import mmap\nheld = [mmap.mmap(-1, 2**20) for _ in range({})]\nprint(len(held))"

    assert in_a_process(allocate.format(56), WANTED) == "56\n"
    assert "memory" in in_a_process(allocate.format(72), WANTED).lower()


def test_the_address_space_found_is_the_one_in_use() -> None:
    before = guest_lockdown.mapped(resource.RLIMIT_AS)

    with mmap.mmap(-1, 64 * 2**20):
        grown = guest_lockdown.mapped(resource.RLIMIT_AS) - before

    assert 62 * 2**20 <= grown <= 66 * 2**20


def test_a_locked_process_cannot_start_another() -> None:
    outcome = in_a_process("import os\nos.fork()", WANTED)

    assert "PermissionError" in outcome


def test_the_request_is_gone_from_the_environment() -> None:
    assert in_a_process(f"import os\nprint({VARIABLE!r} in os.environ)", WANTED) == "False\n"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\r\nb", "a\\r\nb"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("é 漢 🙂", "é 漢 🙂"),
    ],
)
def test_logs_spell_out_what_could_steer_a_terminal(written: str, shown: str) -> None:
    assert running.escape_controls(written) == shown
