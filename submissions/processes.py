"""Runs a referee in processes of their own: watched by heartbeats, ended with the whole tree.

:func:`play` gives an order to the keeper of this worker process (:mod:`arena.keeper`), which lives
from order to order as long as nothing about it is in doubt; :func:`supervise` runs any command
once.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)

TAIL_BYTES: Final = 16 * 1024
LINE_BYTES: Final = 64 * 1024
PASSED_ON: Final = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV"),
    "ADVERSARIUM_DATA",  # where this installation's own tasks lie
    "ARENA_BACKEND",  # the wall that the operator wants
)
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Ended:
    """How a process ended. ``lost``: we ended it, because the lease was gone."""

    status: int | None
    lost: bool = False
    timed_out: bool = False
    tail: str = ""

    @property
    def last_words(self) -> str:
        lines = [line.strip() for line in self.tail.splitlines() if line.strip()]
        return lines[-1][:500] if lines else ""

    @property
    def sentence(self) -> str:
        """What went wrong on our side."""
        if self.timed_out:
            return "The referee ran beyond the time that any match may take."
        if self.status is not None and self.status < 0:
            return f"The referee was killed by signal {-self.status}."
        return self.last_words or f"The referee ended with status {self.status}."


def command_of(words: Sequence[str], *arguments: str) -> list[str]:
    """A command from the settings with ``{python}`` filled in."""
    return [sys.executable if word == "{python}" else word for word in words] + list(arguments)


def referee_environment() -> dict[str, str]:
    """No secret, no database address: the referee needs none, and what it starts may look."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    engine = {k: v for k, v in os.environ.items() if k.startswith("ARENA_SANDBOX")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **engine, **threads, "PYTHONUNBUFFERED": "1"}


def die_with_parent() -> None:
    """For ``preexec_fn``: a killed worker takes its referee along (Linux)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def supervise(
    command: Sequence[str],
    *,
    directory: Path,
    heartbeat: Callable[[], bool],
    on_line: Callable[[str], None],
    seconds: float,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run ``command`` to its end, in a session of its own.

    ``heartbeat`` is called every HEARTBEAT_SECONDS; when it says False, or the database stays
    away for longer than a lease, the tree is killed. ``on_line`` gets each line of its output.
    """
    with subprocess.Popen(
        command,
        cwd=directory,
        env=dict(environment or referee_environment()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=die_with_parent,
    ) as process:
        try:
            return _watch(process, Pulse(heartbeat), on_line, seconds)
        finally:
            kill_tree(process.pid)


def play(
    order: Mapping[str, object],
    *,
    instead: Sequence[str],
    directory: Path,
    heartbeat: Callable[[], bool],
    on_line: Callable[[str], None],
    seconds: float,
) -> Ended:
    """Let the keeper of this process carry out ``order``, or a command of the settings instead.

    The rest is as for :func:`supervise`.
    """
    if instead:
        arguments = [str(argument) for argument in _arguments(order)]
        return supervise(
            command_of(instead, *arguments),
            directory=directory,
            heartbeat=heartbeat,
            on_line=on_line,
            seconds=seconds,
        )
    return _kept.play(order, Pulse(heartbeat), on_line, seconds)


def _arguments(order: Mapping[str, object]) -> Sequence[object]:
    arguments = order["arguments"]
    assert isinstance(arguments, list)
    return arguments


class _Kept:
    """The keeper that this worker process has, if it has one. A fork has none."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def play(
        self,
        order: Mapping[str, object],
        pulse: Pulse,
        on_line: Callable[[str], None],
        seconds: float,
    ) -> Ended:
        process = self._alive()
        answer = _Answer(on_line)
        ended = Ended(None)
        try:
            _ask(process, order)
            with contextlib.closing(_Streams(process, answer.take)) as streams:
                deadline = time.monotonic() + seconds
                ended = _to_the_end(process, pulse, streams, deadline, lambda: answer.ended)
        finally:
            if answer.ended is None:  # it is dead, or must not go on with what it does
                self.end()
        return answer.ended or ended

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "arena.keeper"],
                cwd="/",
                env=referee_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
            atexit.register(self.end)
        return self._process

    def end(self) -> None:
        """Kill it with everything that it has started; the next order finds a fresh one."""
        process, self._process = self._process, None
        if process is None:
            return
        atexit.unregister(self.end)
        kill_tree(process.pid)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


_kept = _Kept()


def forget_keeper() -> None:
    """In a fork: the keeper is the parent's."""
    global _kept
    _kept = _Kept()


os.register_at_fork(after_in_child=forget_keeper)


def _ask(process: subprocess.Popen[bytes], order: Mapping[str, object]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # that it is dead is seen right after
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()


class _Answer:
    """Passes lines of progress on, and keeps the last one: how the order ended."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self.ended: Ended | None = None

    def take(self, line: str) -> None:
        with contextlib.suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict) and "ended" in said:
                self.ended = Ended(int(said["ended"]), tail=str(said.get("sentence", "")))
                return
        self._on_line(line)


class Pulse:
    """Calls the heartbeat when it is due, and tells whether the lease is still ours."""

    def __init__(self, heartbeat: Callable[[], bool]) -> None:
        self._heartbeat = heartbeat
        self._last = self._due = time.monotonic()
        self._due += settings.HEARTBEAT_SECONDS

    def alive(self) -> bool:
        now = time.monotonic()
        if now < self._due:
            return True
        self._due = now + settings.HEARTBEAT_SECONDS
        try:
            if not self._heartbeat():
                return False
        except (OperationalError, InterfaceError) as error:
            connection.close()
            logger.warning("No heartbeat, the database is away: %s", error)
            self._due = now + 1.0
            return now - self._last < settings.LEASE_SECONDS
        self._last = now
        return True


class _Streams:
    """Both outputs of a process without blocking: lines of one, the tail of the other."""

    def __init__(self, process: subprocess.Popen[bytes], on_line: Callable[[str], None]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._on_line = on_line
        self._line = b""
        self._tail = b""
        self._selector = selectors.DefaultSelector()
        for stream, take in ((process.stdout, self._lines), (process.stderr, self._last)):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, (stream, take))

    @property
    def tail(self) -> str:
        return self._tail.decode("utf-8", "replace")

    @property
    def open(self) -> bool:
        return bool(self._selector.get_map())

    def close(self) -> None:
        self._selector.close()

    def wait(self, seconds: float) -> None:
        for ready, _ in self._selector.select(seconds):
            stream, take = ready.data
            content = stream.read1(65536) if hasattr(stream, "read1") else stream.read(65536)
            if content:
                take(content)
            elif content == b"":
                self._selector.unregister(stream)

    def _last(self, content: bytes) -> None:
        self._tail = (self._tail + content)[-TAIL_BYTES:]

    def _lines(self, content: bytes) -> None:
        *lines, self._line = (self._line + content).split(b"\n")
        self._line = self._line[-LINE_BYTES:]
        for line in lines:
            self._on_line(line.decode("utf-8", "replace"))


def _watch(
    process: subprocess.Popen[bytes],
    pulse: Pulse,
    on_line: Callable[[str], None],
    seconds: float,
) -> Ended:
    with contextlib.closing(_Streams(process, on_line)) as streams:
        return _to_the_end(process, pulse, streams, time.monotonic() + seconds, lambda: None)


def _to_the_end(
    process: subprocess.Popen[bytes],
    pulse: Pulse,
    streams: _Streams,
    deadline: float,
    answer: Callable[[], Ended | None],
) -> Ended:
    """Until the process ends, or ``answer`` has come, or the lease or the time is gone."""
    while process.poll() is None:
        if (ended := answer()) is not None:
            return ended
        if not pulse.alive():
            return Ended(None, lost=True, tail=streams.tail)
        if time.monotonic() > deadline:
            return Ended(None, timed_out=True, tail=streams.tail)
        if streams.open:
            streams.wait(0.5)
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
    streams.wait(0)  # what is left in the pipes
    streams.wait(0)
    return Ended(process.returncode, tail=streams.tail)


def kill_tree(pid: int) -> None:
    """SIGKILL for a process, its session and all its descendants, wherever they moved."""
    for victim in [*reversed(descendants(pid)), *_in_session(pid), pid]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(victim, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _in_session(pid: int) -> list[int]:
    """Those of its session: they stay in it when their parent has died, and are nobody's then."""
    return [process for process, (_, session) in _processes() if session == pid]


def _processes() -> Iterator[tuple[int, tuple[int, int]]]:
    """Every process with its parent and its session, as /proc tells (Linux; none elsewhere)."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            _state, parent, _group, session, *_ = stat.read_text().rpartition(")")[2].split()
            yield int(stat.parent.name), (int(parent), int(session))


def descendants(pid: int) -> list[int]:
    """Children and theirs, nearest first."""
    children: dict[int, list[int]] = {}
    for process, (parent, _) in _processes():
        children.setdefault(parent, []).append(process)
    found: list[int] = []
    layer = [pid]
    while layer:
        layer = [child for parent in layer for child in children.get(parent, [])]
        found += layer
    return found
