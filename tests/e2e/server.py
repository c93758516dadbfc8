"""The site as a visitor meets it: uvicorn over a data directory of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Site:
    """Migrated and served; ``manage`` runs a command on the same data."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        kept = {key: value for key, value in os.environ.items() if "ADVERSARIUM" not in key}
        paths = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
        self.environment: Mapping[str, str] = {
            **kept,
            "ADVERSARIUM_DATA": str(data),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONPATH": paths,
            "OMP_NUM_THREADS": "1",
            **settings,
        }
        self.log = data / "server.log"
        self._server: subprocess.Popen[bytes] | None = None
        self.manage("migrate", "-v0")

    def manage(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(ROOT / "manage.py"), *words],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=180,
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {' '.join(words)[:200]}\n{done.stderr[-3000:]}")
        return done.stdout

    def shell(self, code: str) -> str:
        """Python on the site's own data."""
        return self.manage("shell", "-v0", "--no-imports", "-c", code)

    def start(self) -> None:
        """The pages alone."""
        command = ["-m", "uvicorn", "config.asgi:application", "--port", str(self.port)]
        self._start([*command, "--log-level", "warning"])

    def serve(self) -> None:
        """The pages with workers, reaper, boards and broker: ``manage.py serve``."""
        self._start([str(ROOT / "manage.py"), "serve", "--port", str(self.port)])

    def _start(self, command: list[str]) -> None:
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-W", "ignore", *command],
                env=self.environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        self._wait()

    def _wait(self) -> None:
        ends = time.monotonic() + 120
        while time.monotonic() < ends:
            assert self._server is not None
            if self._server.poll() is not None:
                break
            try:
                if httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise RuntimeError(f"The site did not start:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> bool:
        """Ends the server as Ctrl-C does; whether it had to be killed instead."""
        if self._server is None:
            return False
        self._server.send_signal(signal.SIGINT)
        try:
            self._server.wait(60)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
            return True
        finally:
            self._server = None
        return False
