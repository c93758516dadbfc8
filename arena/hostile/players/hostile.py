"""What the hostile players share: honest play, the attempt, and a look at what others left.

Packed into every one of their packages as ``hostile.py``. A player writes to its log, which the
suite reads when the match has been played:

``TRIED``    the attempt was made, so that nothing passes by not being tried;
``THROUGH``  something that a wall or a rule should have stopped;
``LEFT``     something of another process was found: of an earlier match, or of this one.

Every player looks for what was left when it is loaded, the honest ones too: each match of the
suite is the witness of the one before it.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import fcntl
import json
import os
import platform
import signal
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import arena.players
from arena.sandbox.guest_probe import FORBIDDEN_CALLS
from arena.wire import Frame

MARK = "arena-hostile"
"""Part of the name of everything that a player of this suite leaves behind."""
KEY = 0x41_52_45_4E
"""The key of its System V objects."""
OLD = 1_234_567_890
"""The time that it writes on shared files, seconds since the epoch."""
SOCKET = 3
"""The descriptor of the stream to the referee."""
CANARY: dict[str, Any] = json.loads(Path(__file__).with_name("canary.json").read_text())
"""What lies about in the referee's own process, for players to find."""


def say(word: str, what: object = "") -> None:
    """One line of the log; a descriptor that a player closed is not worth dying for."""
    try:
        os.write(2, f"{word}: {what}\n".encode())
    except OSError:
        pass


def through(name: str, call: Callable[[], object], *refused: type[BaseException]) -> Iterator[str]:
    """What got through: nothing if ``call`` raises OSError or one of ``refused``."""
    try:
        result = call()
    except (OSError, *refused):
        return
    yield f"{name} ({result!r})"


def report(attempt: Callable[[], Iterator[str]]) -> None:
    """Make the attempt, and tell everything that got through."""
    say("TRIED", attempt.__module__)
    for what in attempt():
        say("THROUGH", what)


# --- honest play --------------------------------------------------------------------------------


class HonestAttack(arena.players.EvasionAttack):
    """Signs at the full epsilon, the best of what the oracle lets it ask.

    They hang on the example alone: whoever the defense is, the same are tried.
    """

    def __init__(self, package: Path, options: Any = None) -> None:
        super().__init__(package, options)
        look()

    def attack(self, challenge: arena.players.EvasionChallenge) -> Any:
        best = challenge.x.copy()
        broken = np.zeros(len(best), bool)
        draws = [np.random.default_rng(list(row.tobytes())) for row in best]
        for _ in range(4):
            signs = [draw.choice([-1.0, 1.0], best.shape[1:]) for draw in draws]
            x = challenge.clip(challenge.x + challenge.epsilon * np.stack(signs))
            wrong = challenge.defense.ask(x).argmax(1) != challenge.y
            best[wrong & ~broken] = x[wrong & ~broken]
            broken |= wrong
        return best


class HonestDefense(arena.players.Defense):
    """A linear classifier."""

    def load(self) -> None:
        look()
        self.w = np.load(self.package / "weights.npz")["w"]

    def predict(self, x: Any) -> Any:
        return np.c_[x.reshape(len(x), -1), np.ones(len(x))].astype(np.float32) @ self.w


def players(attempt: Callable[[], Iterator[str]]) -> tuple[type, type]:
    """An attack that makes the attempt while it plays, a defense that makes it while it loads."""

    class Attack(HonestAttack):
        def attack(self, challenge: arena.players.EvasionChallenge) -> Any:
            report(attempt)
            return challenge.x

    class Defense(HonestDefense):
        def load(self) -> None:
            super().load()
            report(attempt)

    return Attack, Defense


def players_at_play(attempt: Callable[[], Iterator[str]]) -> tuple[type, type]:
    """The same, with a defense that makes it when it is first asked."""

    class Attack(HonestAttack):
        def attack(self, challenge: arena.players.EvasionChallenge) -> Any:
            report(attempt)
            return challenge.x

    class Defense(HonestDefense):
        def predict(self, x: Any) -> Any:
            report(attempt)
            return super().predict(x)

    return Attack, Defense


# --- what others left ---------------------------------------------------------------------------


def look() -> None:
    """Tell what other processes left: called when a player is loaded, before it does anything."""
    for what in left():
        say("LEFT", what)


def left() -> Iterator[str]:
    yield from _files_left()
    yield from _objects_left()
    yield from _settings_left()


def _files_left() -> Iterator[str]:
    for folder in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/home", "/", "/sub", "/sub/package"):
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        yield from (f"{folder}/{name}" for name in names if folder == "/tmp" or MARK in name)
    for path in shared_files():
        if int(os.stat(path).st_mtime) == OLD or int(os.stat(path).st_atime) == OLD:
            yield f"a time written on {path}"
        if path.read_bytes()[-len(MARK) :] == MARK.encode():
            yield f"bytes written to {path}"


def shared_files() -> list[Path]:
    """Files that other jails see too, and this player's own code."""
    found = [Path(np.__file__), Path(os.__file__), Path("/arena-lib.zip")]
    found += [Path(__file__), Path(__file__).with_name("player.py")]
    return [path for path in found if path.is_file()]


def _objects_left() -> Iterator[str]:
    """Objects of the kernel that live on without a process: found by asking for the same name."""
    nothing = ctypes.c_char_p(None)
    name = MARK.encode() + b"\0"
    asked = {
        "System V memory": lambda: syscall("shmget", KEY, 0, 0),
        "a System V queue": lambda: syscall("msgget", KEY, 0),
        "a System V semaphore": lambda: syscall("semget", KEY, 0, 0),
        "a POSIX queue": lambda: syscall("mq_open", name, os.O_RDONLY, 0, nothing),
        "a key": lambda: syscall("keyctl", 10, -4, b"user\0", name, 0),
        "a key in the session": lambda: syscall("keyctl", 10, -3, b"user\0", name, 0),
    }
    for kind, ask in asked.items():
        yield from through(kind, ask)
    with open(np.__file__, "rb") as shared:
        asked_for = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
        yield from (
            f"a lock {lock!r}"
            for lock in through("lock", lambda: fcntl.fcntl(shared, fcntl.F_GETLK, asked_for))
        )


def _settings_left() -> Iterator[str]:
    yield from (f"variable {k}" for k, v in os.environ.items() if MARK in k + v)
    yield from (f"module {name}" for name in sys.modules if name.startswith("arena_hostile"))
    for owner in (builtins, sys, np, os):
        if hasattr(owner, "arena_hostile"):
            yield f"an attribute of {owner.__name__}"
    if MARK in os.uname().nodename:
        yield "the host name"
    opened = [n for n in range(SOCKET + 1, 512) if _is_open(n)]
    if opened:
        yield f"descriptors {opened}"
    if threading.active_count() != 1:
        yield f"{threading.active_count() - 1} threads"
    if signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL:
        yield "a signal handler"
    if fcntl.fcntl(0, fcntl.F_GETFL) & (os.O_NONBLOCK | os.O_APPEND):
        yield "flags of a descriptor"
    if os.umask(0o022) == 0o123:
        yield "a umask"
    if time.process_time() > 60:
        yield "processor time of others"


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


# --- system calls -------------------------------------------------------------------------------

COLUMN = {"x86_64": 0, "aarch64": 1}[platform.machine()]
NUMBERS = {name: both for group in FORBIDDEN_CALLS.values() for name, both in group.items()} | {
    "clone": (56, 220),
    "clone3": (435, 435),
    "fork": (57, None),
    "vfork": (58, None),
    "prctl": (157, 167),
    "mknodat": (259, 33),
    "memfd_create": (319, 279),
    "sched_setscheduler": (144, 119),
    "futex": (202, 98),
    "tgkill": (234, 131),
    "msync": (26, 227),
    "sync": (162, 81),
    "syncfs": (306, 267),
    "sync_file_range": (277, 84),
}
LIBC = ctypes.CDLL(None, use_errno=True)


def syscall(name: str, *arguments: Any) -> int:
    """Make a system call by name with arguments that the kernel would accept.

    Raises:
        OSError: it failed, whoever refused it.
    """
    number = NUMBERS[name][COLUMN]
    if number is None:
        raise OSError(errno.ENOSYS, f"{name} is no call of this machine")
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    ctypes.set_errno(0)
    LIBC.syscall.restype = ctypes.c_long
    result = LIBC.syscall(ctypes.c_long(number), *given)
    if result == -1:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return int(result)


def child_of(call: Callable[[], int]) -> Callable[[], int]:
    """``call`` makes a process: its child leaves at once, its parent gets the number."""

    def made() -> int:
        pid = call()
        if pid == 0:
            os._exit(0)
        return pid

    return made


# --- frames -------------------------------------------------------------------------------------


def frame(
    op: int, number: int = 0, *, arrays: tuple[tuple[int, tuple[int, ...]], ...] = (),
    meta: int = 0, magic: bytes = b"ADV1",
) -> bytes:  # fmt: skip
    """A header of docs/wire.md: (dtype code, dimensions) an array, ``meta`` bytes of text."""
    head = struct.pack("<4sBBHII", magic, op, len(arrays), 0, number, meta)
    for code, shape in arrays:
        head += struct.pack("<BBH5I", code, len(shape), 0, *(*shape, *[0] * (5 - len(shape))))
    return head + bytes((6 - len(arrays)) * 24)


def request() -> int:
    """The number of what is being answered, which is in the library's hands as in any player's."""
    caller = sys._getframe()
    while caller is not None:
        for name in ("frame", "start"):
            if isinstance(found := caller.f_locals.get(name), Frame):
                return found.request
        caller = caller.f_back
    raise LookupError("nothing is being answered")


def send(content: bytes) -> None:
    """Write to the referee past the wire."""
    while content:
        content = content[os.write(SOCKET, content) :]


def wait() -> None:
    """For ever."""
    while True:
        time.sleep(1000)


def scratch(name: str) -> str:
    return os.path.join(tempfile.gettempdir(), name)
