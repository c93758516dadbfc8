"""`manage.py serve`: one sentence for a busy port, five seconds to the end, nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management.base import CommandError

from config import serving
from config.supervisor import Service, Supervised, Supervisor, base_environment, manage, python

PATIENCE = 90.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(data: Path) -> dict[str, str]:
    kept = {k: v for k, v in base_environment().items() if not k.startswith("ADVERSARIUM_")}
    return {**kept, "ADVERSARIUM_DATA": str(data)}


def serve(data: Path, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        manage("serve", "--port", str(port)),
        env=environment(data), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def ready(port: int) -> dict[str, object]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            found: dict[str, object] = json.load(answer)
            return found
    except OSError:
        return {}


def relatives(data: Path) -> list[int]:
    """Processes that belong to an installation."""
    mark = f"ADVERSARIUM_DATA={data}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, int]]:
    data, port = tmp_path / "var", free_port()
    process = serve(data, port)
    try:
        give_up = time.monotonic() + PATIENCE
        while ready(port).get("broker") is not True:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < give_up
            time.sleep(0.1)
        yield process, data, port
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_ends_everything_with_a_connection_open(
    site: tuple[subprocess.Popen[str], Path, int],
) -> None:
    process, data, port = site
    with socket.create_connection(("127.0.0.1", port)) as browser:
        browser.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert browser.recv(100).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert relatives(data) == []
    assert not (data / "broker" / "url").exists()


def test_a_killed_supervisor_takes_its_children_along(
    site: tuple[subprocess.Popen[str], Path, int],
) -> None:
    process, data, _ = site
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    give_up = time.monotonic() + PATIENCE
    while relatives(data):
        assert time.monotonic() < give_up, relatives(data)
        time.sleep(0.1)


def test_a_second_site_on_the_same_data_is_refused_in_a_sentence(
    site: tuple[subprocess.Popen[str], Path, int],
) -> None:
    _, data, port = site
    second = serve(data, free_port())
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "being served already" in said
    assert "Traceback" not in said
    assert ready(port)["status"] == "ready"


def test_a_busy_port_is_one_clear_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"{port}.*make demo PORT=.*--port"):
            serving.require_free("127.0.0.1", port)


@pytest.mark.parametrize("target", ["demo", "run"])
def test_make_hands_a_chosen_port_on(target: str, project_root: Path) -> None:
    words = ["make", "--dry-run", target, "PORT=8123"]
    said = subprocess.run(
        words, cwd=project_root, capture_output=True, text=True, check=True
    ).stdout
    assert "--port 8123" in said


# --- supervising --------------------------------------------------------------------------------


def test_a_long_log_makes_room_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.supervisor.LOG_BYTES", 4)
    log = tmp_path / "brief.log"
    for word in ("one", "three", "four"):
        supervised = Supervised(Service("brief", python("-c", f"print({word!r})")), log)
        supervised.start()
        assert supervised.process is not None
        supervised.process.wait()
        supervised.end(deadline=time.monotonic())
    assert log.read_text() == "four\n"
    assert (tmp_path / "brief.log.1").read_text() == "one\nthree\n"


def test_what_falls_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.supervisor.FIRST_DELAY", 0.01)
    supervised = Supervised(Service("brief", python("-c", "pass")), tmp_path / "log")
    supervised.start()
    give_up = time.monotonic() + PATIENCE
    while supervised.starts < 3:
        assert time.monotonic() < give_up
        supervised.tend()
        time.sleep(0.01)
    supervised.end(deadline=time.monotonic())


def test_one_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.supervisor.GRACE_SECONDS", 0.2)
    deaf = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); "
        "print('up', flush=True); time.sleep(600)"
    )
    supervisor = Supervisor([Service("deaf", python("-c", deaf))], logs=tmp_path)
    supervisor.start()
    give_up = time.monotonic() + PATIENCE
    while "up" not in (tmp_path / "deaf.log").read_text():
        assert time.monotonic() < give_up
        time.sleep(0.02)
    supervisor.stop()
    (deaf_one,) = supervisor.all
    assert not deaf_one.running
