"""A jail that was started: its log, how it ended, and the kill that takes all of it along."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from arena.rounds import Limits
from arena.sandbox.backend import Ending, ExitReport
from arena.sandbox.cgroup import Group
from arena.sandbox.guest_lockdown import EXIT_OUT_OF_MEMORY
from arena.wire import tick

_RUNNING: Final = ExitReport(Ending.RUNNING, "The player is running.")
BY_SIGNAL: Final = 128
"""A shell's and bubblewrap's way to pass on that a signal ended a process."""
CPU_SHARE: Final = 0.9
"""Of its processor time that a player must have had before its end can be put down to it."""
_CPU_SIGNALS: Final = (BY_SIGNAL + signal.SIGXCPU, BY_SIGNAL + signal.SIGKILL)
_KILL_SECONDS: Final = 10.0
STREAM_BYTES: Final = 2**20


def stream_pair(
    kind: socket.SocketKind = socket.SOCK_STREAM,
) -> tuple[socket.socket, socket.socket]:
    """A jail's stream, our end first, with room for a batch of small images on its way.

    With less, a sender of many rows sleeps until the other end has made room, again and again. The
    kernel gives at most what ``net.core.wmem_max`` allows.
    """
    pair = socket.socketpair(socket.AF_UNIX, kind)
    for end in pair:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BYTES)
    if kind is socket.SOCK_STREAM:
        tick(pair[0])
    return pair


class LogDrain:
    """Reads a jail's stdout and stderr to the end, and keeps the first ``cap`` bytes.

    What comes beyond is read and dropped, so that a talkative player neither blocks nor fills
    anything.
    """

    def __init__(self, descriptor: int, *, cap: int) -> None:
        self._descriptor = descriptor
        self._cap = cap
        self._kept = bytearray()
        self._dropped = 0
        self._thread = threading.Thread(target=self._drain, name="jail-log", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        while data := os.read(self._descriptor, 64 * 1024):
            room = self._cap - len(self._kept)
            self._kept += data[:room]
            self._dropped += max(0, len(data) - room)
        os.close(self._descriptor)

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def text(self) -> str:
        text = escape_controls(bytes(self._kept).decode("utf-8", "backslashreplace"))
        if self._dropped:
            text += f"\n[log capped at {self._cap // 1024} KiB; {self._dropped} bytes dropped]"
        return text


def escape_controls(text: str) -> str:
    """Line breaks and tabs stay; what could steer a terminal or reorder a line is spelled out."""
    return "".join(c if c in "\n\t" or _is_plain(c) else _spelled(c) for c in text)


def _is_plain(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def _spelled(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


@dataclass
class Status:
    """What bubblewrap says on its status descriptor; a jailed process never holds that."""

    descriptor: int
    init_pid: int | None = None
    exit_code: int | None = None
    _text: bytes = b""
    _closed: bool = False

    def read(self, *, seconds: float = 0.0, until_pid: bool = False) -> None:
        """Take in what has been said, waiting at most ``seconds`` for more of it."""
        while not (self._closed or (until_pid and self.init_pid is not None)):
            if not select.select([self.descriptor], [], [], seconds)[0]:
                return
            data = os.read(self.descriptor, 4096)
            self._text += data
            self._take()
            if not data:
                self.close()

    def _take(self) -> None:
        for line in self._text.splitlines():
            with suppress(ValueError):
                said = json.loads(line)
                self.init_pid = said.get("child-pid", self.init_pid)
                self.exit_code = said.get("exit-code", self.exit_code)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self.descriptor)


@dataclass
class KillableJail(ABC):
    """One jail: how it is told to end, and how its end is told. Subclasses know of what it is made.

    Implements :class:`arena.sandbox.backend.Jail`.
    """

    socket: socket.socket
    limits: Limits
    drain: LogDrain
    group: Group | None = None
    on_end: Callable[[], None] = lambda: None
    _report: ExitReport = _RUNNING
    _started: float = field(default_factory=time.monotonic)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def poll(self) -> ExitReport:
        """RUNNING, or how it ended."""
        with self._lock:
            if self._report.ending is Ending.RUNNING:
                self._reap(because=None)
            return self._report

    def gather(self) -> None:  # noqa: B027 (a jail alone has nothing to gather with)
        """Only who starts a match's jails can: see :mod:`arena.keeper`."""

    def kill(self, because: Ending = Ending.KILLED) -> ExitReport:
        """End it with everything inside, and wait for that; idempotent.

        ``because``: what the report says if the jail had not ended by itself (``KILLED`` or
        ``WALL_TIME``).
        """
        with self._lock:
            if self.poll().ending is Ending.RUNNING:
                self._end()
                self._reap(because=because)
            return self._report

    def log(self) -> str:
        """What the player wrote to stdout and stderr: capped, control characters escaped."""
        return self.drain.text()

    def close(self) -> None:
        """Kill, and let go of the socket."""
        self.kill()
        self.socket.close()

    @property
    @abstractmethod
    def init_pid(self) -> int | None:
        """The first process of its namespace, as this process sees it; None before it is there."""

    @abstractmethod
    def _end(self) -> None:
        """Kill it and wait until it is gone."""

    @abstractmethod
    def _has_ended(self) -> bool:
        """Whether it has."""

    @abstractmethod
    def _exit_code(self) -> int | None:
        """As a shell says it; None when the player never ran."""

    @abstractmethod
    def _used_up_its_time(self, code: int) -> bool:
        """Whether it was its processor time that ended it."""

    @abstractmethod
    def _was_lost(self, code: int) -> bool:
        """Whether the end came from outside, by nobody that this process knows of."""

    def _reap(self, *, because: Ending | None) -> None:
        """Take in the end, if it has come."""
        if self._has_ended():
            self.drain.join(_KILL_SECONDS)  # its last words are the reason where it never started
            self._report = self._explain(because)
            self.on_end()

    def _explain(self, because: Ending | None) -> ExitReport:
        code = self._exit_code()
        if self.group is not None and self.group.out_of_memory():
            return self._out_of_memory(code)
        if because is not None:
            return _ended_from_outside(because, self.limits)
        if code is None:
            return ExitReport(Ending.NEVER_STARTED, f"The jail did not start: {self._last_line()}")
        if code == EXIT_OUT_OF_MEMORY:
            return self._out_of_memory(code)
        if self._used_up_its_time(code):
            sentence = f"The player used up its {self.limits.cpu_seconds:g} s of processor time."
            return ExitReport(Ending.CPU_TIME, sentence, code)
        if self._was_lost(code):
            return ExitReport(Ending.LOST, "The jail was ended from outside.", code)
        return _ended_by_itself(code)

    def _out_of_memory(self, code: int | None) -> ExitReport:
        sentence = f"The player ran out of its {self.limits.memory_mib} MiB of memory."
        return ExitReport(Ending.OUT_OF_MEMORY, sentence, code)

    def _last_line(self) -> str:
        lines = self.log().strip().splitlines()
        return lines[-1][:300] if lines else "no reason was given"


@dataclass(kw_only=True)
class RunningJail(KillableJail):
    """A process of this one's: bubblewrap, whose status descriptor tells of the player inside."""

    process: subprocess.Popen[bytes]
    status: Status | None = None

    @property
    def init_pid(self) -> int | None:
        if self.status is None:
            return self.process.pid
        self.status.read()
        return self.status.init_pid

    def _end(self) -> None:
        """Kill the namespace's init first: the kernel then takes every process in it along."""
        if self.status is not None:
            self.status.read(seconds=1.0, until_pid=True)
            _kill_child(self.status.init_pid, parent=self.process.pid)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _has_ended(self) -> bool:
        if not self._bubblewrap_has_ended():
            return False
        if self.status is not None:
            self.status.read()
            self.status.close()
        return True

    def _bubblewrap_has_ended(self) -> bool:
        """Killed in its first moments, it leaves a child that does not know yet whom to die with:
        in its process group, and out of it under the number that it told us."""
        if self.process.returncode is None:
            if not _is_zombie(self.process.pid):
                return False
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)  # its zombie keeps the number ours
            if self.status is not None:
                self.status.read()
                _kill_left_behind(self.status.init_pid)
            self.process.wait()
        return True

    def _exit_code(self) -> int | None:
        """None when bubblewrap failed before it ran the player."""
        if self.status is not None:
            return self.status.exit_code
        code = self.process.returncode
        return code if code is None or code >= 0 else BY_SIGNAL - code

    def _used_up_its_time(self, code: int) -> bool:
        """A player can end as if by the limit; not before that much time could have passed.

        Bubblewrap leaves its init unreaped, so the kernel tells no processor time of the jail.
        """
        used_at_most = (time.monotonic() - self._started) * self.limits.threads
        return code in _CPU_SIGNALS and used_at_most >= CPU_SHARE * self.limits.cpu_seconds

    def _was_lost(self, code: int) -> bool:
        """Not to be told here: a player may send itself any signal."""
        return False


def _is_zombie(child: int) -> bool:
    """Whether it has ended. It is not reaped: nobody else may get its number yet."""
    try:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _kill_left_behind(pid: int | None) -> None:
    """Kill the first process of a jail whose parent died, if that is what ``pid`` still is."""
    if pid is None:
        return
    with suppress(OSError, ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            name = Path("/proc", str(pid), "comm").read_text().strip()
            numbers = Path("/proc", str(pid), "status").read_text().partition("NSpid:")[2].split()
            if name == "bwrap" and numbers[1:2] == ["1"]:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)


def _kill_child(pid: int | None, *, parent: int) -> None:
    """Kill ``pid`` and wait until it is gone, if it is the child of ``parent`` (not reused)."""
    if pid is None:
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _parent_of(pid) == parent:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], _KILL_SECONDS)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def _parent_of(pid: int) -> int | None:
    try:
        stat = Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])


def _ended_from_outside(because: Ending, limits: Limits) -> ExitReport:
    if because is Ending.WALL_TIME:
        sentence = f"The player was ended after its {limits.wall_seconds:g} s."
    else:
        sentence = "The player was ended by the referee."
    return ExitReport(because, sentence)


def _ended_by_itself(code: int) -> ExitReport:
    if code == 0:
        return ExitReport(Ending.EXITED, "The player's process ended by itself.", code)
    if code > BY_SIGNAL:
        with suppress(ValueError):
            number = signal.Signals(code - BY_SIGNAL)
            reason = signal.strsignal(number) or number.name
            sentence = f"The player's process crashed: {reason.lower()} ({number.name})."
            return ExitReport(Ending.CRASHED, sentence, code)
    return ExitReport(Ending.CRASHED, f"The player's process ended with exit status {code}.", code)
