"""The referee's conversation with one jail: strictly in turn, on a clock, and with blame.

Everything that arrives is held against what is due (:mod:`arena.wire`); whatever goes wrong
becomes a :class:`~arena.errors.PlayerError` of this jail's side with a fixed sentence, or, before
the first guest byte was sent, a :class:`~arena.errors.RefereeError`. No text of a player's gets
into a sentence: details go into the log of his own side.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import numpy as np

from arena.errors import (
    ArenaError,
    FaultCode,
    PlayerError,
    RefereeError,
    SandboxUnavailable,
    Side,
)
from arena.manifest import Manifest
from arena.sandbox.backend import Ending, ExitReport, Jail, JailSpec, SandboxBackend
from arena.sandbox.running import escape_controls
from arena.wire import (
    FAILED_META,
    VERSION,
    Accepts,
    Array,
    ConnectionClosed,
    DeadlineExceeded,
    Expected,
    Failure,
    Frame,
    Op,
    Wire,
    WireError,
    WrongShape,
)

BOOT_SECONDS: Final = 120.0
"""For the interpreter, the framework and the walls: ours, not the player's clock."""
ENDING_SECONDS: Final = 2.0
"""How long a jail that hung up may take to be gone, so that its ending can be told."""
FAILED: Final = Accepts(meta=FAILED_META)
_UP: Final = {Op.UP: Accepts(), Op.FAILED: FAILED}
_LOCKED: Final = {Op.LOCKED: Accepts(), Op.FAILED: FAILED}
_READY: Final = {Op.READY: Accepts(), Op.FAILED: FAILED}

_ENDINGS: Final = {
    Ending.OUT_OF_MEMORY: FaultCode.OUT_OF_MEMORY,
    Ending.CPU_TIME: FaultCode.CPU_TIME,
    Ending.WALL_TIME: FaultCode.WALL_TIME,
}
_FAILURES: Final = {
    Failure.RAISED: FaultCode.CRASHED,
    Failure.MEMORY: FaultCode.OUT_OF_MEMORY,
    Failure.SHAPE: FaultCode.WRONG_SHAPE,
    Failure.QUERIES: FaultCode.QUERIES_EXCEEDED,
    Failure.POISON: FaultCode.POISON_BUDGET,
    Failure.SURROGATE: FaultCode.BAD_SURROGATE,
}
_SENTENCES: Final = {  # with the limits of the round
    FaultCode.LOAD_FAILED: "could not be loaded; its log says why.",
    FaultCode.CRASHED: "crashed; its log has what it said last.",
    FaultCode.WALL_TIME: "ran out of time; it had {wall_seconds:g} s.",
    FaultCode.CPU_TIME: "used up its {cpu_seconds:g} s of processor time.",
    FaultCode.OUT_OF_MEMORY: "ran out of memory.",
    FaultCode.QUERY_LATENCY: "took too long to answer one request; it had {query_seconds:g} s.",
    FaultCode.WRONG_SHAPE: "returned an array of the wrong shape or type; its log says which.",
    FaultCode.NOT_FINITE: "returned NaN or infinite values.",
    FaultCode.OUT_OF_RANGE: "returned or asked for values out of range.",
    FaultCode.PROTOCOL: "broke the protocol between a player and the referee.",
    FaultCode.QUERIES_EXCEEDED: "asked for more queries than it had left and did not handle that.",
    FaultCode.POISON_BUDGET: "returned more points than its budget.",
    FaultCode.BAD_SURROGATE: "returned no copy that can be judged; its log says why.",
}


class Session:
    """One jail, from HELLO to its end. A context manager: leaving it kills the jail."""

    def __init__(self, jail: Jail, spec: JailSpec, manifest: Manifest) -> None:
        self.jail = jail
        self.side: Side = spec.side
        self.limits = spec.limits
        self.manifest = manifest
        self.seconds = 0.0
        self._wire = Wire(jail.socket, blocking=False)
        self._number = 0
        self._notes: list[str] = []
        self._fault: ArenaError | None = None
        self._log: str | None = None
        self._loading = True

    @classmethod
    def open(
        cls,
        backend: SandboxBackend,
        spec: JailSpec,
        manifest: Manifest,
        *,
        seed: int,
    ) -> Session:
        """Start a jail and wait until it is up. No guest byte is sent.

        Raises:
            RefereeError: the jail did not come up; nobody's player is to blame.
        """
        session = cls(backend.start(spec), spec, manifest)
        meta = {"version": VERSION, "framework": manifest.framework.value, "seed": seed}
        deadline = time.monotonic() + BOOT_SECONDS
        try:
            session._number = 1
            session._wire.send(Op.HELLO, request=1, meta=meta, deadline=deadline)
            frame = session._wire.receive(_UP, request=1, deadline=deadline)
        except WireError as error:
            raise session._unavailable(str(error)) from error
        except BaseException:
            session.close()
            raise
        if frame.op is Op.FAILED:
            raise session._unavailable(str(frame.meta.get("traceback"))[-1000:])
        return session

    def load(
        self, files: Mapping[str, bytes], task: Mapping[str, Any], arrays: Mapping[str, Array]
    ) -> None:
        """Send the files, see the last walls go up, and let the player load on its load clock.

        Raises:
            PlayerError: it raised, took too long or died, or its files fill the jail's disk.
            RefereeError: a wall did not go up; no line of the player has run.
        """
        self._send_files(files)
        deadline = time.monotonic() + self.limits.load_seconds
        self._number += 1
        meta = {"task": dict(task), "arrays": list(arrays)}
        try:
            self._wire.send(
                Op.START,
                request=self._number,
                meta=meta,
                arrays=tuple(arrays.values()),
                deadline=deadline,
            )
            frame = self._wire.receive(_READY, request=self._number, deadline=deadline)
        except WireError as error:
            raise self.blame(error, late=FaultCode.LOAD_FAILED) from error
        self._no_failure(frame)
        self._loading = False

    def _send_files(self, files: Mapping[str, bytes]) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        self._number += 1
        send = partial(self._wire.send, request=self._number, deadline=deadline)
        try:
            for path, content in files.items():
                data = np.frombuffer(content, np.uint8)
                send(Op.FILE, meta={"path": path}, arrays=(data,))
            send(Op.SEAL)
            frame = self._wire.receive(_LOCKED, request=self._number, deadline=deadline)
        except ConnectionClosed:
            frame = self._last_word()
        except WireError as error:
            raise self._unavailable(str(error)) from error
        if frame.meta.get("kind") == Failure.LOCKDOWN.value:
            raise self._unavailable(str(frame.meta.get("traceback"))[-1000:])
        self._no_failure(frame)

    def _last_word(self) -> Frame:
        """What a jail said before it hung up while files were on their way: that they fill it."""
        try:
            return self._wire.receive(_LOCKED, request=self._number, deadline=time.monotonic())
        except WireError as error:
            if self._ending().ending is Ending.OUT_OF_MEMORY:
                raise self.fault(FaultCode.OUT_OF_MEMORY) from error
            raise self._unavailable(str(error)) from error

    def ask(
        self,
        op: Op,
        expected: Expected,
        *,
        arrays: Sequence[Array] = (),
        meta: Mapping[str, Any] | None = None,
        seconds: float,
        late: FaultCode,
    ) -> Frame:
        """One request and its reply, within ``seconds``; its time is added to the clock."""
        started = time.monotonic()
        deadline = started + seconds
        try:
            number = self.begin(op, arrays=arrays, meta=meta, deadline=deadline)
            frame = self._wire.receive(expected, request=number, deadline=deadline)
        except WireError as error:
            raise self.blame(error, late=late) from error
        finally:
            self.seconds += time.monotonic() - started
        return self._no_failure(frame)

    def begin(
        self,
        op: Op,
        *,
        arrays: Sequence[Array],
        meta: Mapping[str, Any] | None,
        deadline: float,
    ) -> int:
        """Send a request, after a look whether the jail spoke out of turn; its number."""
        if self._fault is not None:
            raise self._fault
        if self._log is not None:
            raise RefereeError(f"The {self.manifest.role.value} was asked after it was closed.")
        if not self._wire.quiet():
            self._wire.receive({}, deadline=deadline)  # end of stream, or a violation
        self._number += 1
        self._wire.send(op, request=self._number, arrays=arrays, meta=meta, deadline=deadline)
        return self._number

    def hear(self, expected: Expected, *, request: int, question: int, deadline: float) -> Frame:
        """The next frame of a jail that plays: a question, or the reply to ``request``."""
        frame = self._wire.receive(expected, request=request, question=question, deadline=deadline)
        return self._no_failure(frame)

    def reply(
        self,
        op: Op,
        *,
        request: int,
        arrays: Sequence[Array] = (),
        meta: Mapping[str, Any] | None = None,
        deadline: float,
    ) -> None:
        self._wire.send(op, request=request, arrays=arrays, meta=meta, deadline=deadline)

    def blame(
        self, error: WireError, *, late: FaultCode, shape: FaultCode = FaultCode.WRONG_SHAPE
    ) -> ArenaError:
        """What the wire raised, as this side's fault; ``late`` is what a timeout means."""
        if isinstance(error, DeadlineExceeded) and self._loading:
            return self.fault(late, note=f"It did not load in {self.limits.load_seconds:g} s.")
        if isinstance(error, DeadlineExceeded):
            return self.fault(late, note=str(error))
        if isinstance(error, ConnectionClosed):
            return self._hung_up()
        code = shape if isinstance(error, WrongShape) else FaultCode.PROTOCOL
        return self.fault(code, note=str(error))

    def fault(self, code: FaultCode, *, note: str = "") -> ArenaError:
        """This side's fault. The jail is killed: nothing it says can count any more."""
        if note:
            self._notes.append(note)
        told = _SENTENCES[code].format_map(asdict(self.limits))
        message = f"The {self.manifest.role.value} {told}"
        return self._end(PlayerError(self.side, code, message))

    def close(self) -> str:
        """Kill the jail; the capped log of what the player printed and raised."""
        if self._log is None:
            self.jail.kill()
            self.jail.socket.close()
            notes = escape_controls("\n".join(self._notes))
            self._log = "\n".join(text for text in (self.jail.log(), notes) if text)
        return self._log

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _no_failure(self, frame: Frame) -> Frame:
        if frame.op is not Op.FAILED:
            return frame
        self._notes.append(str(frame.meta.get("traceback", "")))
        try:
            code = _FAILURES[Failure(str(frame.meta.get("kind")))]
        except (ValueError, KeyError):
            code = FaultCode.PROTOCOL
        raise self.fault(self._stage(code))

    def _hung_up(self) -> ArenaError:
        report = self._ending()
        if report.ending in (Ending.NEVER_STARTED, Ending.LOST):
            return self._end(SandboxUnavailable(report.sentence))
        code = _ENDINGS.get(report.ending, FaultCode.CRASHED)
        return self.fault(self._stage(code), note=report.sentence)

    def _stage(self, code: FaultCode) -> FaultCode:
        """A crash while it loads is a failure to load."""
        crashed = code in (FaultCode.CRASHED, FaultCode.WRONG_SHAPE)
        return FaultCode.LOAD_FAILED if self._loading and crashed else code

    def _ending(self) -> ExitReport:
        """How the jail ended; it may still be about to, since its socket closes first."""
        deadline = time.monotonic() + ENDING_SECONDS
        while self.jail.poll().ending is Ending.RUNNING and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.jail.kill()

    def _unavailable(self, detail: str) -> ArenaError:
        report = self._ending()
        log = self.close()
        words = " ".join(text for text in (report.sentence, detail, log[-1000:]) if text)
        return self._end(RefereeError(f"A jail did not come up: {words}"))

    def _end(self, error: ArenaError) -> ArenaError:
        self._fault = error
        log = self.close()
        if isinstance(error, PlayerError):
            error.log = log
        return error
