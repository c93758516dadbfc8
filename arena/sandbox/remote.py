"""A backend that starts nothing: it asks a keeper for jails, over one message socket.

The referee that talks to guests runs in a jail of its own (:mod:`arena.jailed`) and could not
start another one. It says what it needs, and the keeper outside (:mod:`arena.keeper`) hands it the
one end of a player's stream; what it learns of the jail, it learns by asking.

Messages, JSON in one packet each, one answer to every call, in order::

    ->  {"do": "start", "side": ..., "framework": ..., "limits": {...}, "device": ...,
         "in_turn": false}
    <-  {"jail": 3}                         + descriptor: the stream into the jail
    ->  {"do": "poll", "jail": 3}           or "kill"
    <-  {"ending": ..., "sentence": ..., "status": ...}
    ->  {"do": "gather"}                    those in turn, and the referee, onto one processor
    <-  {}
    ->  {"do": "log", "jail": 3}
    <-  {}                                  + descriptor: a file in memory with the text
    <-  {"unavailable": "..."}              instead of any answer: SandboxUnavailable

Runs inside the referee's jail.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from dataclasses import asdict, dataclass
from typing import Any, Final

from arena.errors import SandboxUnavailable
from arena.sandbox.backend import Ending, ExitReport, JailSpec, Strength

MESSAGE_BYTES: Final = 64 * 1024


class Line:
    """One end of the message socket, with one caller at a time."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._turn = threading.Lock()

    def ask(self, call: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
        """A call and its answer, with the descriptor that came along.

        Raises:
            SandboxUnavailable: the keeper refused, or is gone.
        """
        with self._turn:
            self._send(call)
            text, given, _, _ = socket.recv_fds(self._stream, MESSAGE_BYTES, 1)
        answer: dict[str, Any] = json.loads(text) if text else {"unavailable": "No keeper answers."}
        if "unavailable" in answer:
            raise SandboxUnavailable(str(answer["unavailable"]))
        return answer, given[0] if given else None

    def tell(self, message: dict[str, Any]) -> None:
        """A message that needs no answer."""
        with self._turn:
            self._send(message)

    def _send(self, message: dict[str, Any]) -> None:
        self._stream.send(json.dumps(message).encode())


@dataclass
class RemoteBackend:
    """Implements :class:`arena.sandbox.backend.SandboxBackend` by asking the keeper."""

    line: Line
    name: str
    strength: Strength

    def start(self, spec: JailSpec) -> RemoteJail:
        """Ask for a jail.

        Raises:
            SandboxUnavailable: the keeper could not start one.
        """
        call = {
            "do": "start",
            "side": spec.side.value,
            "framework": spec.framework.value,
            "limits": asdict(spec.limits),
            "device": spec.device.value,
            "in_turn": spec.in_turn,
        }
        answer, descriptor = self.line.ask(call)
        assert descriptor is not None
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=descriptor)
        return RemoteJail(stream, self.line, int(answer["jail"]))


@dataclass
class RemoteJail:
    """Implements :class:`arena.sandbox.backend.Jail`."""

    socket: socket.socket
    line: Line
    number: int

    def poll(self) -> ExitReport:
        """RUNNING, or how it ended."""
        return self._report("poll")

    def kill(self) -> ExitReport:
        """End it now and wait; idempotent."""
        return self._report("kill")

    def gather(self) -> None:
        """Have the keeper place what speaks in turn; nothing where it has no processor to give."""
        self.line.ask({"do": "gather"})

    def log(self) -> str:
        """What the player wrote, as the keeper has drained and escaped it."""
        _, descriptor = self.line.ask({"do": "log", "jail": self.number})
        assert descriptor is not None
        with os.fdopen(descriptor, "rb") as file:
            return file.read().decode()

    def _report(self, what: str) -> ExitReport:
        answer, _ = self.line.ask({"do": what, "jail": self.number})
        return ExitReport(Ending(answer["ending"]), answer["sentence"], answer["status"])
