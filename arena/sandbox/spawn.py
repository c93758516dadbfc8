"""Starting a process for a jail from one thread that lives as long as this process.

Two reasons for one thread. ``--die-with-parent`` is the kernel's parent-death signal, and the
"parent" of that is the thread that forked: a jail started from a short-lived thread would be
killed with it. And a thread can have its own mount namespace: as root, sources that an
unprivileged user cannot reach (an interpreter in /root) are bound in a private place that he
can, without a trace on the host, and gone with this process.
"""

from __future__ import annotations

import ctypes
import os
import queue
import stat
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from arena.errors import SandboxUnavailable

_CLONE_NEWNS: Final = 0x00020000
_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_SLAVE: Final = 1 << 19
_STAGES: Final = ("/mnt", "/media", "/srv", "/tmp")  # noqa: S108 - covered in a private namespace


class Spawner:
    """One thread that starts processes, one after the other."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._stage: dict[Path, Path] = {}
        self._base: Path | None = None
        thread = threading.Thread(target=self._run, name="jail-spawner", daemon=True)
        thread.start()

    def _run(self) -> None:
        while True:
            call, future = self._work.get()
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - it is raised again where it was asked
                future.set_exception(error)

    def _do(self, call: Callable[[], Any]) -> Any:
        future: Future[Any] = Future()
        self._work.put((call, future))
        return future.result()

    def reachable(self, paths: Iterable[Path]) -> Mapping[Path, Path]:
        """Each of ``paths`` under a name that an unprivileged user can open.

        The paths themselves where that is so already, or where this process is not root.

        Raises:
            SandboxUnavailable: root may not mount here.
        """
        wanted = list(paths)
        closed = [] if os.geteuid() else [path for path in wanted if not open_to_all(path)]
        missing = [path for path in closed if path not in self._stage]
        if missing:
            self._do(lambda: self._put_on_stage(missing, keep=wanted))
        return {path: self._stage.get(path, path) for path in wanted}

    def _put_on_stage(self, sources: list[Path], *, keep: list[Path]) -> None:
        """Runs in the thread, whose mount namespace it changes; covers none of ``keep``.

        Two seats that open side by side ask for the same: the second finds nothing left to do.
        """
        sources = [source for source in sources if source not in self._stage]
        if self._base is None:
            _private_namespace()
        with ExitStack() as opened:
            handles = [_opened(source, opened) for source in sources]
            if self._base is None:
                self._base = _covered(_stage_directory(keep))
            for source, handle in zip(sources, handles, strict=True):
                self._stage[source] = _bind(handle, self._base / str(len(self._stage)))

    def popen(self, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = self._do(lambda: subprocess.Popen(command, **options))
        return process


@dataclass
class _Current:
    """The spawner of this process; a forked child has no threads and makes its own."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    spawner: Spawner | None = None


_current = _Current()


def _forget() -> None:
    global _current
    _current = _Current()


os.register_at_fork(after_in_child=_forget)


def spawner() -> Spawner:
    """This process's spawner."""
    with _current.lock:
        if _current.spawner is None:
            _current.spawner = Spawner()
        return _current.spawner


def open_to_all(path: Path) -> bool:
    """Whether any user may open ``path``: readable, and every directory above searchable."""
    mode = path.stat().st_mode
    wanted = 0o005 if stat.S_ISDIR(mode) else 0o004
    above = all(parent.stat().st_mode & 0o001 for parent in path.parents)
    return above and mode & wanted == wanted


# --- staging, as root ---------------------------------------------------------------------------


def _stage_directory(sources: list[Path]) -> Path:
    """A directory that may be covered: no source lies below it."""
    above = {parent for source in sources for parent in source.parents}
    return next(Path(p) for p in _STAGES if Path(p).is_dir() and Path(p) not in above)


def _opened(path: Path, until: ExitStack) -> int:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    until.callback(os.close, descriptor)
    return descriptor


def _covered(directory: Path) -> Path:
    """``directory``, with an empty file system over it that others may search."""
    flags = _MS_NOSUID | _MS_NODEV
    _mount("tmpfs", str(directory), "tmpfs", flags, "mode=0755,size=1m")
    return directory


def _bind(descriptor: int, target: Path) -> Path:
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        target.mkdir(mode=0o755)
    else:
        target.touch(mode=0o644)
    _mount(f"/proc/self/fd/{descriptor}", str(target), None, _MS_BIND | _MS_REC)
    return target


def _private_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise _cannot_mount(ctypes.get_errno())
    _mount(None, "/", None, _MS_REC | _MS_SLAVE)


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, data: str | None = None
) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
    if libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]) != 0:
        raise _cannot_mount(ctypes.get_errno())


def _cannot_mount(number: int) -> SandboxUnavailable:
    return SandboxUnavailable(
        f"Root cannot mount here ({os.strerror(number)}), and an unprivileged user cannot open "
        "the interpreter or its libraries: install them where all users can read them, run as "
        "an ordinary user, or give this container CAP_SYS_ADMIN."
    )
