"""The one interface behind which players are started. Nothing above it knows how.

A backend starts ``python -m arena.sandbox.child`` inside a jail with one connected stream socket
as file descriptor 3, and nothing else: the player's files arrive over that socket. The backend
knows limits and walls; it knows no game, no label and no package.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol

from arena.errors import Side
from arena.manifest import Framework
from arena.rounds import Limits
from arena.tasks.task import Device


class Strength(IntEnum):
    """How strong a wall is. Guests are admitted from NAMESPACES on; house players anywhere."""

    NONE = 0
    LANDLOCK = 1
    NAMESPACES = 2
    VIRTUAL = 3


class Ending(StrEnum):
    """How a jail ended, as seen from outside."""

    RUNNING = "running"
    EXITED = "exited"
    CRASHED = "crashed"
    KILLED = "killed"
    WALL_TIME = "wall_time"
    CPU_TIME = "cpu_time"
    OUT_OF_MEMORY = "out_of_memory"
    NEVER_STARTED = "never_started"
    LOST = "lost"
    """Ended by something outside that is not the referee: nobody's player is to blame."""


@dataclass(frozen=True, slots=True)
class JailSpec:
    """What a backend needs to start one jail. ``device``: of the task; "cuda" shows it a GPU.

    ``in_turn``: it works while the others of its match wait, and is best placed where they are.
    """

    side: Side
    framework: Framework
    limits: Limits
    device: Device = Device.CPU
    in_turn: bool = False


@dataclass(frozen=True, slots=True)
class ExitReport:
    """``ending``, a sentence for people, and the exit status or signal where there was one."""

    ending: Ending
    sentence: str
    status: int | None = None


class Jail(Protocol):
    """One running jail. Killing it takes every process inside along."""

    socket: socket.socket
    """The referee's end of the stream (:func:`arena.wire.tick`); the child holds the other one as
    descriptor 3."""

    def poll(self) -> ExitReport:
        """RUNNING, or how it ended."""

    def kill(self) -> ExitReport:
        """End it now and wait; idempotent. Says how it ended (before the kill, if it had)."""

    def log(self) -> str:
        """What the player wrote to stdout and stderr: capped, control characters escaped."""

    def gather(self) -> None:
        """It asks much: have what speaks ``in_turn`` run on one processor, where that can be."""


class SandboxBackend(Protocol):
    """A way to start players. Chosen by ``arena.sandbox.choose``."""

    name: str
    strength: Strength

    def start(self, spec: JailSpec) -> Jail:
        """Start a jail; returns at once, before the interpreter inside is up.

        Raises:
            SandboxUnavailable: the machine refuses; the message names the remedy.
        """
