"""The process inside a jail: ``python -m arena.sandbox.child``, its one socket as descriptor 3.

1. HELLO: import the declared framework, say UP. No byte of any player has arrived until then.
2. FILE: the player's files, and what the round reveals, written below ``/sub``.
3. SEAL: raise the last walls from inside, say LOCKED. No line of any player has run until then.
4. START: load the player, say READY.
5. Answer requests until the referee hangs up.

A zygote's child (:mod:`.guest_zygote`) begins here too, with the framework imported already.

Whatever the player raises becomes a FAILED message with a traceback, which goes into its own
side's log, and the process ends. What it prints goes to stdout and stderr, never to the socket.
Nothing here is a wall: once a player runs, this process is his.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from arena.errors import QueryBudgetExceeded
from arena.manifest import FILE_NAME, Framework, Manifest
from arena.players import TaskInfo
from arena.sandbox.guest_loader import import_framework, load_player, reseed
from arena.sandbox.guest_lockdown import EXIT_OUT_OF_MEMORY, lock_down
from arena.sandbox.guest_service import REQUESTS, Guest, WrongAnswer, answer
from arena.wire import (
    MAX_TRACEBACK,
    VERSION,
    ConnectionClosed,
    Failure,
    Frame,
    Op,
    ProtocolViolation,
    Trusting,
    Wire,
    WireError,
)

DESCRIPTOR: Final = 3
BASE: Final = Path("/sub")
_TOPS: Final = ("package", "opponent", "architecture", "related")
_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")
_MAX_PARTS: Final = 8
_NO_MEMORY: Final = ("DefaultCPUAllocator", "can't allocate memory", "bad allocation")
T = TypeVar("T")


class Exit(IntEnum):
    """How this process ends, for the log; blame comes from FAILED and from outside."""

    OK = 0
    NO_WALLS = 71
    PROTOCOL = 72
    LOAD_FAILED = 73
    PLAYER_RAISED = 74
    OUT_OF_MEMORY = EXIT_OUT_OF_MEMORY


class Ended(Exception):
    """FAILED was sent; leave with this status."""

    def __init__(self, status: Exit) -> None:
        super().__init__(status.name)
        self.status = status


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    return run(options.base, unjailed=options.unjailed)


def run(base: Path = BASE, *, unjailed: bool = False, forked: bool = False) -> int:
    """The whole life of the process; its exit status.

    ``forked``: from a zygote, which has put what it loaded out of the garbage collector's reach.
    """
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=DESCRIPTOR)
    os.set_inheritable(DESCRIPTOR, False)
    wire = Wire(stream, blocking=True)
    try:
        hello = _boot(wire)
        seal = _files(wire, base)
        with _ours(wire, seal.request):
            lock_down(unjailed=unjailed)
            reseed(int(hello.meta["seed"]))
        if not forked:
            gc.freeze()
        wire.send(Op.LOCKED, request=seal.request)
        guest = _load(wire, hello, base)
        _serve(guest)
    except Ended as ended:
        return ended.status
    except ConnectionClosed:
        return Exit.OK
    except WireError:
        traceback.print_exc()
        return Exit.PROTOCOL
    return Exit.OK


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="arena.sandbox.child")
    parser.add_argument("--base", type=Path, default=BASE, help="private directory of this jail")
    parser.add_argument("--unjailed", action="store_true", help="raise no walls from inside")
    return parser.parse_args(arguments)


def _boot(wire: Wire) -> Frame:
    """Everything before the first guest byte. What fails here is the arena's fault."""
    hello = wire.receive({Op.HELLO: Trusting(bytes=0)})
    sys.dont_write_bytecode = True
    sys.path[:] = [entry for entry in sys.path if entry not in ("", ".")]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    with _ours(wire, hello.request):
        if hello.meta["version"] != VERSION:
            raise ProtocolViolation(f"This jail speaks version {VERSION} of the wire.")
        import_framework(Framework(hello.meta["framework"]))
    wire.send(Op.UP, request=hello.request)
    return hello


@contextmanager
def _ours(wire: Wire, request: int) -> Iterator[None]:
    """No player has run yet: what fails here is the arena's fault, and is said so."""
    try:
        yield
    except BaseException as error:
        _fail(wire, request, Failure.LOCKDOWN, error)
        raise Ended(Exit.NO_WALLS) from error


def _load(wire: Wire, hello: Frame, base: Path) -> Guest:
    start = wire.receive({Op.START: Trusting()})
    package = base / "package"

    def load() -> Guest:
        manifest = Manifest.parse((package / FILE_NAME).read_bytes())
        task = _task(start)
        player = load_player(package, manifest, task)
        return Guest(player=player, manifest=manifest, task=task, base=base, wire=wire)

    guest = _guarded(wire, start.request, load, Exit.LOAD_FAILED)
    reseed(int(hello.meta["seed"]))
    wire.send(Op.READY, request=start.request)
    return guest


def _files(wire: Wire, base: Path) -> Frame:
    """Write files as they come; the SEAL that follows them."""
    while True:
        frame = wire.receive({Op.FILE: Trusting(), Op.SEAL: Trusting(bytes=0)})
        if frame.op is Op.SEAL:
            return frame
        path = base / _checked(frame.meta["path"])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(frame.arrays[0].data)
        except OSError as error:  # most likely the disk limit: the player's package is too large
            _fail(wire, frame.request, Failure.RAISED, error)
            raise Ended(Exit.LOAD_FAILED) from error


def _checked(path: object) -> PurePosixPath:
    """The path again, though the referee has checked it: plain, relative, below a known top."""
    parts = path.split("/") if isinstance(path, str) else []
    if (
        not 2 <= len(parts) <= _MAX_PARTS
        or parts[0] not in _TOPS
        or not all(_PART.fullmatch(part) for part in parts)
    ):
        raise ProtocolViolation("A file's path is not plain and relative.")
    return PurePosixPath(*parts)


def _task(start: Frame) -> TaskInfo:
    task = start.meta["task"]
    arrays: dict[str, Any] = dict(zip(start.meta["arrays"], start.arrays, strict=True))
    return TaskInfo(
        name=task["name"],
        shape=tuple(task["shape"]),
        classes=tuple(task["classes"]),
        grid=task["grid"],
        cost=arrays.get("cost"),
        mutable=arrays.get("mutable"),
        add_only=arrays.get("add_only"),
        device=task.get("device", "cpu"),
        regression=task.get("regression", False),
    )


def _serve(guest: Guest) -> None:
    while True:
        frame = guest.wire.receive(REQUESTS)
        call = partial(answer, guest, frame)
        op, arrays = _guarded(guest.wire, frame.request, call, Exit.PLAYER_RAISED)
        guest.wire.send(op, request=frame.request, arrays=arrays)


def _guarded(wire: Wire, request: int, call: Callable[[], T], status: Exit) -> T:
    """``call()``; whatever the player raises, SystemExit included, is told and ends the jail."""
    try:
        return call()
    except WireError:
        raise
    except BaseException as error:
        failure = _kind(error)
        _fail(wire, request, failure, error)
        raise Ended(Exit.OUT_OF_MEMORY if failure is Failure.MEMORY else status) from error


def _kind(error: BaseException) -> Failure:
    if isinstance(error, WrongAnswer):
        return error.failure
    if isinstance(error, QueryBudgetExceeded):
        return Failure.QUERIES
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _NO_MEMORY)
    ):
        return Failure.MEMORY
    return Failure.RAISED


def _fail(wire: Wire, request: int, failure: Failure, error: BaseException) -> None:
    text = "".join(traceback.format_exception(error, limit=-20))[-MAX_TRACEBACK:]
    text = text.encode("utf-8", "backslashreplace").decode()
    wire.send(Op.FAILED, request=request, meta={"kind": failure.value, "traceback": text})


if __name__ == "__main__":
    sys.exit(main())
