"""Jails at the price of a fork: players are forked from zygotes that live long behind bubblewrap.

For each side and framework one bubblewrap process is started when it is first needed, and holds a
zygote (:mod:`.guest_zygote`) with the framework loaded. A match's player is a fork of it, in
namespaces of its own inside of those of the outer; its stream and its log are handed over as
descriptors. The two sides never share an outer: who broke out of an inner jail would still stand
behind bubblewrap's walls, and would meet nothing of the opponent there.

A zygote holds no secret, and no byte of any player: what it is asked to fork has not been loaded
yet. After :data:`RECYCLED_AFTER` forks it is replaced by a fresh one.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
import time
import weakref
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from arena.errors import SandboxUnavailable, Side
from arena.manifest import Framework
from arena.rounds import Limits
from arena.sandbox import cgroup
from arena.sandbox.backend import JailSpec, Strength
from arena.sandbox.bubblewrap import BubblewrapBackend, Kind, launch
from arena.sandbox.guest_lockdown import Lockdown
from arena.sandbox.guest_zygote import CHILD, MESSAGE_BYTES
from arena.sandbox.limits import forked_lockdown
from arena.sandbox.running import (
    BY_SIGNAL,
    CPU_SHARE,
    KillableJail,
    LogDrain,
    RunningJail,
    stream_pair,
)
from arena.tasks.task import Device

ZYGOTE: Final = "arena.sandbox.guest_zygote"
_WARMTH: Final = "arena.sandbox.guest_warmth"
RECYCLED_AFTER: Final = 1000
"""Forks of one zygote. Nothing is known to accumulate; if something did, it would end here."""
MOST_WARMTH: Final = 8
"""Things that one zygote is asked to load on top: tasks, which it keeps in memory."""
WARM_SECONDS: Final = 120.0
ANSWER_SECONDS: Final = 30.0
_OUTER: Final = Limits(threads=1, disk_mib=1, log_kib=64)
_KIB: Final = 1024


@dataclass
class ZygoteBackend:
    """Forks players inside of long-lived bubblewrap jails; ``binary`` as for bubblewrap."""

    binary: Path | None = None
    name: str = "bubblewrap-zygote"
    strength: Strength = Strength.NAMESPACES
    _outers: dict[tuple[Side, Framework], RenewedOuter] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, spec: JailSpec) -> KillableJail:
        """Start a jail; returns when the player's process is there, before it is ready.

        One that sees a GPU is no fork: its device files are for it alone, not for the outer that
        other players share, and CUDA survives no fork.

        Raises:
            SandboxUnavailable: the machine refuses; the message names the remedy.
        """
        if spec.device is Device.CUDA:
            return BubblewrapBackend(self.binary).start(spec)
        return self._outer(spec.side, spec.framework).start(CHILD, spec.limits)

    def start_module(self, module: str, limits: Limits, *arguments: str) -> ZygoteJail:
        """As :meth:`start`, with any of the jail's modules (the self-test's probes)."""
        return self._outer(Side.DEFENSE, Framework.NUMPY).start(module, limits, arguments)

    def warm(self, side: Side, framework: Framework) -> None:
        """Have a zygote ready, so that the next start costs no more than a fork.

        Raises:
            SandboxUnavailable: it does not come up.
        """
        self._outer(side, framework).ready()

    def close(self) -> None:
        """End every outer, with all that runs in it."""
        with self._lock:
            for outer in self._outers.values():
                outer.close()
            self._outers.clear()

    def _outer(self, side: Side, framework: Framework) -> RenewedOuter:
        with self._lock:
            if (side, framework) not in self._outers:
                made = RenewedOuter(self.binary, Kind.ZYGOTE, _WARMTH, framework)
                self._outers[side, framework] = made
            return self._outers[side, framework]


class LostOuter(SandboxUnavailable):
    """The outer ended, or does not answer: nobody's player is to blame."""


class Outer:
    """One bubblewrap process with a zygote in it, and what it says of its children."""

    def __init__(self, binary: Path | None, kind: Kind, *warmth: str) -> None:
        """``warmth``: the module that the zygote warms up with, and that call's arguments."""
        self._jail: RunningJail = launch(binary, _OUTER, ZYGOTE, *warmth, kind=kind)
        self._control = self._jail.socket
        self._bubblewrap = os.pidfd_open(self._jail.process.pid)
        # Nobody has to close it: it goes when neither its backend nor a jail of it is left.
        self._finalizer = weakref.finalize(self, _end, self._jail, self._bubblewrap)
        self._turn = threading.RLock()
        self._is_ready = False
        self._is_lost = False
        self._forks = 0
        self._warmed: set[tuple[str, ...]] = set()
        self._alive: set[int] = set()
        self._ends: dict[int, dict[str, Any]] = {}

    @property
    def is_worn(self) -> bool:
        """Whether a fresh one should take its place: it is gone, or old and without children."""
        return self._is_lost or (self._forks >= RECYCLED_AFTER and not self._alive)

    def ready(self) -> None:
        """Wait until everything is loaded.

        Raises:
            LostOuter: it did not come up; the message has its last words.
        """
        with self._turn:
            if not self._is_ready:
                self._hear("ready", WARM_SECONDS)
                self._is_ready = True

    def warm(self, *arguments: str) -> None:
        """Have the zygote load more for its later children, once for the same ``arguments``.

        Raises:
            LostOuter: it is gone.
        """
        with self._turn:
            self.ready()
            if arguments not in self._warmed and len(self._warmed) < MOST_WARMTH:
                self._warmed.add(arguments)
                self._send({"warm": list(arguments)}, [])
                self._hear("warmed", WARM_SECONDS)

    def start(
        self,
        module: str,
        limits: Limits,
        arguments: tuple[str, ...] = (),
        *,
        socket_type: socket.SocketKind = socket.SOCK_STREAM,
        lockdown: Lockdown | None = None,
    ) -> ZygoteJail:
        """Fork a child that runs ``module``, behind what ``limits`` ask for or ``lockdown`` says.

        Raises:
            LostOuter: the zygote is gone.
        """
        with self._turn, ExitStack() as given, ExitStack() as undo, ExitStack() as kept:
            self.ready()
            group = cgroup.make_group(limits, kept)
            ours, theirs = stream_pair(socket_type)
            undo.callback(ours.close)
            given.callback(theirs.close)
            log, log_end = os.pipe()
            undo.callback(os.close, log)
            given.callback(os.close, log_end)
            number = self._forks = self._forks + 1
            wanted = lockdown or forked_lockdown(limits)
            order = _order(number, module, arguments, limits, wanted)
            self._alive.add(number)
            doors = [] if group is None else group.doors(given)
            pidfd = self._ask(order, [theirs.fileno(), log_end, *doors], undo)
            undo.pop_all()
            drain = LogDrain(log, cap=limits.log_kib * _KIB)
            return ZygoteJail(
                ours,
                limits,
                drain,
                group=group,
                on_end=kept.pop_all().close,
                outer=self,
                number=number,
                pidfd=pidfd,
            )

    def _ask(self, order: dict[str, Any], descriptors: list[int], undo: ExitStack) -> int:
        """Send an order; the pidfd of the child."""
        self._send(order, descriptors)
        pidfd = self._hear("started", ANSWER_SECONDS)
        assert pidfd is not None
        undo.callback(os.close, pidfd)
        return pidfd

    def _send(self, order: dict[str, Any], descriptors: list[int]) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(order).encode()], descriptors)
        except OSError as error:
            raise self._lost(str(error)) from error

    def end_of(self, number: int, *, seconds: float) -> dict[str, Any] | None:
        """How a child ended, waiting at most ``seconds``; None while it runs.

        An outer that is gone took its children along: they are ``lost``.
        """
        with self._turn:
            deadline = time.monotonic() + seconds
            while number not in self._ends and not self._is_lost:
                heard = self._listen(max(0.0, deadline - time.monotonic()))
                if heard is None and not self._is_lost:
                    return None
            self._alive.discard(number)
            return self._ends.pop(number, {"lost": True})

    def close(self) -> None:
        """End it with everything inside; idempotent."""
        self._is_lost = True
        self._finalizer()

    def _hear(self, word: str, seconds: float) -> int | None:
        """Wait for a message that holds ``word``; the descriptor that came with it."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._is_lost:
            heard = self._listen(left)
            if heard is not None and word in heard[0]:
                return heard[1]
        raise self._lost("it did not answer in time" if not self._is_lost else "it ended")

    def _listen(self, seconds: float) -> tuple[dict[str, Any], int | None] | None:
        """One message, noted if it tells of an end; None if none comes in time, or any more."""
        control = self._control.fileno()
        heard = select.select([control, self._bubblewrap], [], [], seconds)[0]
        if control not in heard:
            self._is_lost = self._is_lost or bool(heard)
            return None
        try:
            text, given, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, 1)
        except OSError:
            text, given = b"", []
        if not text:
            self._is_lost = True
            return None
        message: dict[str, Any] = json.loads(text)
        if "ended" in message:
            self._ends[message["ended"]] = message
        return message, given[0] if given else None

    def _lost(self, detail: str) -> LostOuter:
        self.close()
        said = self._jail.log().strip().splitlines() or [self._jail.poll().sentence]
        return LostOuter(f"The zygote does not serve ({detail}): {said[-1][:1000]}")


def _end(jail: RunningJail, pidfd: int) -> None:
    """Hanging up ends the zygote, also one whose bubblewrap was killed and that nobody owns."""
    with suppress(OSError):
        jail.socket.shutdown(socket.SHUT_RDWR)
    jail.close()
    os.close(pidfd)


class RenewedOuter:
    """An outer, and a fresh one in its place once it is worn or lost."""

    def __init__(self, binary: Path | None, kind: Kind, *warmth: str) -> None:
        """As :class:`Outer`, which is started when it is first needed."""
        self._make = partial(Outer, binary, kind, *warmth)
        self._current: Outer | None = None
        self._lock = threading.Lock()

    def ready(self) -> None:
        """As :meth:`Outer.ready`."""
        self._now().ready()

    def warm(self, *arguments: str) -> None:
        """As :meth:`Outer.warm`."""
        self._now().warm(*arguments)

    def start(
        self,
        module: str,
        limits: Limits,
        arguments: tuple[str, ...] = (),
        *,
        socket_type: socket.SocketKind = socket.SOCK_STREAM,
        lockdown: Lockdown | None = None,
    ) -> ZygoteJail:
        """As :meth:`Outer.start`; where the outer was killed since, in a fresh one."""
        given: dict[str, Any] = {"socket_type": socket_type, "lockdown": lockdown}
        try:
            return self._now().start(module, limits, arguments, **given)
        except LostOuter:
            return self._now().start(module, limits, arguments, **given)

    def close(self) -> None:
        """End it with everything inside."""
        with self._lock:
            if self._current is not None:
                self._current.close()

    def _now(self) -> Outer:
        with self._lock:
            if self._current is not None and self._current.is_worn:
                self._current.close()
                self._current = None
            if self._current is None:
                self._current = self._make()
            return self._current


def _order(
    number: int, module: str, arguments: tuple[str, ...], limits: Limits, lockdown: Lockdown
) -> dict[str, Any]:
    return {
        "start": number,
        "module": module,
        "arguments": list(arguments),
        "threads": limits.threads,
        "disk_mib": limits.disk_mib,
        "lockdown": lockdown.to_text(),
    }


def pid_of(pidfd: int) -> int | None:
    """A process's pid as this process sees it; None once it is gone."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        if line.startswith("Pid:"):
            pid = int(line.split()[1])
            return pid if pid > 0 else None
    return None


@dataclass(kw_only=True)
class ZygoteJail(KillableJail):
    """One fork of a zygote: process 1 of its own namespace, known by its pidfd."""

    outer: Outer
    number: int
    pidfd: int
    _end_told: dict[str, Any] | None = None

    @property
    def init_pid(self) -> int | None:
        """The player's process, as this process sees it."""
        return pid_of(self.pidfd)

    def _end(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        if not self._has_ended(seconds=ANSWER_SECONDS):
            self.outer.close()  # it does not bury its dead: the kernel will, with itself
            self._has_ended()

    def _has_ended(self, seconds: float = 0.0) -> bool:
        if self._end_told is None:
            self._end_told = self.outer.end_of(self.number, seconds=seconds)
            if self._end_told is not None:
                os.close(self.pidfd)
        return self._end_told is not None

    def _exit_code(self) -> int | None:
        assert self._end_told is not None
        if "lost" in self._end_told:
            return BY_SIGNAL + signal.SIGKILL
        status = int(self._end_told["status"])
        return status if status >= 0 else BY_SIGNAL - status

    def _used_up_its_time(self, code: int) -> bool:
        """The kernel's own count: it ends the player with SIGKILL a second after the limit."""
        assert self._end_told is not None
        used = float(self._end_told.get("cpu_seconds", 0.0))
        return self._was_killed() and used >= CPU_SHARE * self.limits.cpu_seconds

    def _was_lost(self, code: int) -> bool:
        """A process 1 cannot send itself SIGKILL: it came from outside of its namespace."""
        return self._was_killed()

    def _was_killed(self) -> bool:
        """By SIGKILL, or along with its outer; a player may leave with a shell's word for that."""
        assert self._end_told is not None
        return "lost" in self._end_told or self._end_told["status"] == -signal.SIGKILL
