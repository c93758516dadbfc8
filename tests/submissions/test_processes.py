"""The referee's process: watched, and ended with everything it started."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import OperationalError

from submissions import processes


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def supervise(code: str, directory: Path, **given: object) -> processes.Ended:
    options: dict[str, object] = {
        "heartbeat": lambda: True,
        "on_line": lambda line: None,
        "seconds": 30.0,
    }
    return processes.supervise(python(code), directory=directory, **{**options, **given})  # type: ignore[arg-type]


@pytest.fixture
def quick(settings: object) -> None:
    settings.HEARTBEAT_SECONDS = 0.05  # type: ignore[attr-defined]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state in "ZX"


def wait_for(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_its_lines_are_passed_on_and_its_status_is_told(tmp_path: Path) -> None:
    lines: list[str] = []
    ended = supervise("print('one'); print('two'); exit(3)", tmp_path, on_line=lines.append)
    assert lines == ["one", "two"]
    assert ended.status == 3


def test_its_last_words_are_our_sentence(tmp_path: Path) -> None:
    ended = supervise("import sys; sys.exit('The disk is full.')", tmp_path)
    assert ended.sentence == "The disk is full."


def test_it_gets_no_secret_of_the_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVERSARIUM_SECRET_KEY", "hidden")
    monkeypatch.setenv("ADVERSARIUM_DATABASE_URL", "postgres://hidden")
    lines: list[str] = []
    supervise("import os; print(sorted(os.environ))", tmp_path, on_line=lines.append)
    assert "ADVERSARIUM" not in lines[0]


ESCAPES = """
import os, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(sleep, start_new_session=True)
open("pids", "w").write(f"{os.getpid()} {child.pid}")
os.rename("pids", "ready")
time.sleep(600)
"""


@pytest.mark.usefixtures("quick")
def test_losing_the_lease_kills_the_whole_tree(tmp_path: Path) -> None:
    """Even a grandchild that moved into a session of its own."""
    ended = supervise(ESCAPES, tmp_path, heartbeat=lambda: not (tmp_path / "ready").exists())
    assert ended.lost
    for pid in map(int, (tmp_path / "ready").read_text().split()):
        wait_for(lambda pid=pid: gone(pid))


def test_a_process_that_never_ends_is_ended(tmp_path: Path) -> None:
    ended = supervise("import time; time.sleep(600)", tmp_path, seconds=0.3)
    assert ended.timed_out
    assert not ended.lost


@pytest.mark.usefixtures("quick")
def test_a_database_that_is_away_for_a_moment_ends_nothing(tmp_path: Path) -> None:
    asked: list[int] = []

    def heartbeat() -> bool:
        asked.append(1)
        if len(asked) == 1:
            raise OperationalError("server closed the connection")
        (tmp_path / "beaten").touch()
        return True

    waits = "import os, time\nwhile not os.path.exists('beaten'): time.sleep(.01)"
    assert supervise(waits, tmp_path, heartbeat=heartbeat).status == 0


@pytest.mark.usefixtures("quick")
def test_one_that_is_away_longer_than_a_lease_ends_the_match(
    tmp_path: Path, settings: object
) -> None:
    settings.LEASE_SECONDS = 0.2  # type: ignore[attr-defined]

    def heartbeat() -> bool:
        raise OperationalError("server closed the connection")

    assert supervise("import time; time.sleep(600)", tmp_path, heartbeat=heartbeat).lost


def test_a_flood_of_output_is_capped(tmp_path: Path) -> None:
    ended = supervise("import sys; sys.stderr.write('x' * 5_000_000); sys.exit(1)", tmp_path)
    assert ended.status == 1
    assert len(ended.tail) <= processes.TAIL_BYTES
