"""Starts the processes of an installation, keeps them running, and ends them together.

Children die with their parent, run in sessions of their own (Ctrl-C reaches the supervisor
alone), and are started anew when they fall, a little later each time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from django.conf import settings

from submissions.processes import die_with_parent, kill_tree

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 2.0
"""Uvicorn gives open event streams 1 s; everything must be over within 5."""
FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 15.0
STEADY_SECONDS: Final = 30.0
LOG_BYTES: Final = 16 * 1024 * 1024
"""A longer log makes room at the service's next start; the one before it is kept."""


@dataclass(frozen=True)
class Service:
    """A process to keep running. ``abrupt``: it holds nothing worth a goodbye (the
    database owns all state), so it and what it started are killed at once."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    abrupt: bool = False


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def manage(*arguments: str) -> list[str]:
    """One of our own commands, also where there is no manage.py (an installed wheel)."""
    return python("-m", "django", *arguments)


def base_environment() -> dict[str, str]:
    """What children need beyond ours: the two source roots and one thread a process."""
    roots = [str(settings.BASE_DIR), str(settings.BASE_DIR / "platform")]
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": os.pathsep.join([*roots, *(part for part in known if part not in roots)]),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "ADVERSARIUM_DATA": str(settings.DATA),
    }


class Supervised:
    """One service and its process of the moment."""

    def __init__(self, service: Service, log: Path | None) -> None:
        self.service = service
        self._log = log
        self._delay = FIRST_DELAY
        self._started = 0.0
        self._not_before = 0.0
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self) -> None:
        with self._output() as output:
            self.process = subprocess.Popen(
                self.service.command,
                env={**base_environment(), **self.service.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self._started = time.monotonic()
        self.starts += 1

    def _output(self) -> contextlib.AbstractContextManager[IO[bytes] | None]:
        if self._log is None:
            return contextlib.nullcontext()
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        return self._log.open("ab")

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def tend(self) -> None:
        """Start it anew when it has fallen and its time has come."""
        if self.running:
            return
        now = time.monotonic()
        if self._not_before == 0.0:
            steady = now - self._started > STEADY_SECONDS
            self._delay = FIRST_DELAY if steady else min(2 * self._delay, LONGEST_DELAY)
            self._not_before = now + self._delay
            status = self.process.returncode if self.process else None
            logger.warning("%s ended with status %s; starting it again", self.service.name, status)
        elif now >= self._not_before:
            self._not_before = 0.0
            self.start()

    def ask_to_end(self) -> None:
        if self.process is None or not self.running:
            return
        if self.service.abrupt:
            kill_tree(self.process.pid)
        else:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)

    def end(self, *, deadline: float) -> None:
        """Wait until ``deadline``, then kill it with all it started."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, deadline - time.monotonic()))
        kill_tree(self.process.pid)
        self.process.wait()


class Supervisor:
    """All services of one installation on this machine."""

    def __init__(self, services: Sequence[Service], *, logs: Path | None = None) -> None:
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
        self.all = [
            Supervised(service, logs / f"{service.name}.log" if logs else None)
            for service in services
        ]

    def start(self) -> None:
        for supervised in self.all:
            supervised.start()

    def tend(self) -> None:
        for supervised in self.all:
            supervised.tend()

    def stop(self) -> None:
        deadline = time.monotonic() + GRACE_SECONDS
        for supervised in self.all:
            supervised.ask_to_end()
        for supervised in self.all:
            supervised.end(deadline=deadline)
