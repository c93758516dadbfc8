"""The embedded installation: broker, web server, workers and reaper on this machine.

``manage.py serve`` and ``manage.py demo`` hold a :class:`Site`; ``manage.py worker`` holds the
workers alone. All state is in the database: whatever is killed here goes on later.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Final

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connection

from config import celery_app, jail
from config.broker import BrokerError, EmbeddedBroker, given_url
from config.environment import celery_url, installed
from config.supervisor import Service, Supervisor, manage, python
from submissions import work as qualifications
from tournaments import claims, files

WORKER_NAME: Final = "ADVERSARIUM_WORKER_NAME"
TRUSTED_ONLY: Final = "ADVERSARIUM_TRUSTED_ONLY"
REDIS_URL: Final = "ADVERSARIUM_REDIS_URL"
TICK_SECONDS: Final = 0.25


# --- what runs ----------------------------------------------------------------------------------


def match_slots() -> int:
    """Matches played side by side: ADVERSARIUM_WORKERS, or one a core."""
    given = int(settings.WORKERS)
    return given if given > 0 else max(1, len(os.sched_getaffinity(0)))


def web_service(host: str, port: int) -> Service:
    options = ["--host", host, "--port", str(port), "--lifespan", "off"]
    graceful = ["--timeout-graceful-shutdown", "1", "--log-level", "warning"]
    return Service("web", python("-m", "uvicorn", "config.asgi:application", *options, *graceful))


def celery_service(name: str, *, queue: str, slots: int, worker: str) -> Service:
    """Prefork, and nothing that makes workers talk to one another."""
    options = ["-Q", queue, "-c", str(slots), "-P", "prefork", "-n", f"{name}-{worker}@%h"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
    return Service(
        name,
        python("-m", "celery", "-q", "-A", "config", "worker", *options, *quiet),
        {WORKER_NAME: worker},
        abrupt=True,
    )


def worker_services(worker: str) -> list[Service]:
    """Qualification has a process of its own, so that it never waits behind matches."""
    services = [
        celery_service("matches", queue="matches", slots=match_slots(), worker=worker),
        celery_service("qualifications", queue="qualifications", slots=1, worker=worker),
    ]
    if installed("leaderboard.following"):
        services.append(Service("boards", manage("leaderboard", "follow"), abrupt=True))
    return services


def reaper_service() -> Service:
    return Service("reaper", manage("reaper"), abrupt=True)


def new_worker_name() -> str:
    """Names what one supervisor's workers hold, so that it can be released when they end."""
    return f"{socket.gethostname()[:60]}-{secrets.token_hex(4)}"


def release(worker: str) -> int:
    """Gives back what the workers of a supervisor that ended held; nobody is to blame."""
    for match in claims.LEASES.of_worker(worker):
        files.forget_scratch(match)
    matches = claims.release(claims.LEASES.of_worker(worker))
    return matches + qualifications.LEASES.give_back(qualifications.LEASES.of_worker(worker))


# --- one at a time ------------------------------------------------------------------------------


def require_free(host: str, port: int) -> None:
    """One clear sentence for a busy port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"Cannot listen on {host}:{port} ({os.strerror(error.errno or 0)}). "
                "Choose another port: make demo PORT=8080, make run PORT=8080, or --port 8080."
            ) from error


@contextlib.contextmanager
def sole_owner(data: Path) -> Iterator[IO[str]]:
    """Two sites on one data directory would take each other's work for abandoned."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "serve.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CommandError(
                f"This installation is being served already (data in {data}). "
                "End that first, or set ADVERSARIUM_DATA to another directory."
            ) from error
        yield lock


# --- running ------------------------------------------------------------------------------------


class Stop:
    """Set by Ctrl-C or SIGTERM. A second Ctrl-C changes nothing: everything ends in 5 s anyhow."""

    def __init__(self) -> None:
        self.event = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._set)

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.event.set()

    def __bool__(self) -> bool:
        return self.event.is_set()

    def wait(self, seconds: float) -> bool:
        return self.event.wait(seconds)


class Site:
    """A context manager that holds everything running; call :meth:`tend` again and again."""

    def __init__(self, *, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.worker = new_worker_name()
        self.jail: jail.Jail | None = None
        self._held = contextlib.ExitStack()
        self._broker: EmbeddedBroker | None = None
        self._supervisor: Supervisor | None = None

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def logs(self) -> Path:
        return Path(settings.DATA) / "logs"

    def __enter__(self) -> Site:
        try:
            self._start()
        except BaseException:
            self._held.close()
            raise
        return self

    def _start(self) -> None:
        require_free(self.host, self.port)
        self._held.enter_context(sole_owner(settings.DATA))
        self._prove_the_jail()
        self._release_of_earlier()
        if not given_url():
            self._broker = self._held.enter_context(_broker())
            os.environ[REDIS_URL] = self._broker.url  # for the children
            settings.REDIS_URL = self._broker.url  # and for this process
            celery_app.conf.broker_url = celery_url(self._broker.url)
        self._supervisor = Supervisor(self._services(), logs=self.logs)
        self._held.callback(self._end)
        connection.close()  # no child inherits it
        self._supervisor.start()

    def _prove_the_jail(self) -> None:
        self.jail = jail.prove()
        os.environ.update(self.jail.mark)
        if not self.jail.guests:
            os.environ[TRUSTED_ONLY] = "true"

    def _services(self) -> Sequence[Service]:
        return [
            web_service(self.host, self.port),
            *worker_services(self.worker),
            reaper_service(),
        ]

    def _note(self) -> Path:
        return Path(settings.DATA) / "serving-worker"

    def _release_of_earlier(self) -> None:
        """What a site held that was killed: nobody but us may serve here, so it is free."""
        note = self._note()
        if note.exists():
            release(note.read_text().strip())
        note.write_text(self.worker)

    def tend(self) -> None:
        if self._broker is not None:
            self._broker.tend()
        if self._supervisor is not None:
            self._supervisor.tend()

    def _end(self) -> None:
        assert self._supervisor is not None
        self._supervisor.stop()
        release(self.worker)
        self._note().unlink(missing_ok=True)

    def __exit__(self, *error: object) -> None:
        self._held.close()


def _broker() -> EmbeddedBroker:
    try:
        return EmbeddedBroker(Path(settings.DATA))
    except BrokerError as error:
        raise CommandError(str(error)) from error
