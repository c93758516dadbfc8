"""Things worth finding, in the referee's own process and beside it, while hostile players play.

A wall that is never leant on proves nothing: where a player looks for secrets, descriptors and
services, there are some.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

VARIABLE: Final = "ARENA_HOSTILE_CANARY"
_PREFIX: Final = "arena-canary-"


@dataclass
class Canary:
    """A context manager. ``halves``: of the secret; a player holds them apart, so as not to find
    his own."""

    halves: tuple[str, str] = field(default_factory=lambda: (_word(), _word()))
    folder: Path = field(init=False)
    _sockets: list[socket.socket] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def secret(self) -> bytes:
        return "".join(self.halves).encode()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            stack.callback(shutil.rmtree, self.folder)
            self.folder.chmod(0o755)  # what stops a player must not be a mode
            (self.folder / "secret").write_bytes(self.secret)
            os.environ[VARIABLE] = self.secret.decode()
            stack.callback(os.environ.pop, VARIABLE)
            stack.callback(os.close, self._inheritable())
            self._listen(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def told(self) -> bytes:
        """What players are told of it: where to look."""
        tcp, udp, abstract, path = self._sockets
        data: dict[str, Any] = {
            "halves": self.halves,
            "places": [str(self.folder / "secret"), str(self.folder)],
            "pid": os.getpid(),
            "port": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "abstract": abstract.getsockname().decode().replace("\0", "@"),
            "socket": path.getsockname(),
        }
        return json.dumps(data).encode()

    def touched(self) -> list[str]:
        """Who came by: what players did to it that can be seen from here."""
        found = [
            f"somebody reached {reached.getsockname()!r}"
            for reached in self._sockets
            if _has_visitor(reached)
        ]
        files = {path.name for path in self.folder.iterdir()} - {"secret", "socket"}
        found += [f"somebody wrote {name} beside the secret" for name in sorted(files)]
        if (self.folder / "secret").read_bytes() != self.secret:
            found.append("somebody changed the secret")
        return found

    def _inheritable(self) -> int:
        descriptor = os.open(self.folder / "secret", os.O_RDONLY)
        os.set_inheritable(descriptor, True)
        return descriptor

    def _listen(self, stack: ExitStack) -> None:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind(f"\0{self.folder.name}")
        abstract.listen()
        path = socket.socket(socket.AF_UNIX)
        path.bind(str(self.folder / "socket"))
        (self.folder / "socket").chmod(0o777)
        path.listen()
        self._sockets = [tcp, udp, abstract, path]
        for opened in self._sockets:
            stack.callback(opened.close)


def _word() -> str:
    return secrets.token_hex(12)


def _has_visitor(listening: socket.socket) -> bool:
    listening.setblocking(False)
    try:
        if listening.type is socket.SOCK_DGRAM:
            listening.recv(1)
        else:
            listening.accept()[0].close()
    except BlockingIOError:
        return False
    return True
