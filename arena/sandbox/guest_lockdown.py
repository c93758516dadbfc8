"""The last walls, put up by the jailed process itself right before it loads a player's code.

The backend describes them in one environment variable; :func:`lock_down` reads that, removes it,
and gives up for good what a player never needs: writing to its package, privileges, new programs,
new processes, sockets, signals to others, more memory, more time. Nothing here can be undone by
code that runs later.

Runs inside the jail; needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import mmap
import os
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

VARIABLE: Final = "ARENA_LOCKDOWN"
EXIT_OUT_OF_MEMORY: Final = 86
"""The exit status with which a child says that a player ran out of memory (MemoryError)."""

_MIB: Final = 1024 * 1024
_SPARE_THREADS: Final = 32
"""Threads that libraries start beside the compute threads of the limits."""
_PER_NAMESPACE_NPROC: Final = (5, 14)
"""The kernel from which RLIMIT_NPROC counts per user namespace, not every process of the uid."""
_PR_SET_DUMPABLE: Final = 4


@dataclass(frozen=True, slots=True)
class Lockdown:
    """What :func:`lock_down` enforces. Sizes in MiB, times in seconds.

    ``memory_mib``: address space beyond what the interpreter and its libraries have mapped when
    the wall goes up; None for none. ``seccomp``: False only where the
    system has none. ``own_namespaces``: False for a backend without any, where the process asks
    the kernel itself to die with its parent. ``readable`` and ``writable``: paths that stay open,
    everything else is closed by Landlock: the only wall around files of a backend without mounts,
    which is up from the start, and a belt around the mounts of the others, put on last. Empty for
    no Landlock. ``sealed``: mounts that become read-only now that the player's files lie there;
    only a process that holds capabilities (a zygote's child) can do that. ``bounded``: tmpfs mounts
    whose files are still to be counted, by a process that holds capabilities until it has seen to
    that, before all else. ``siblings``: jails that
    share one user, and with it the kernel's count of threads. ``receives_descriptors``: the
    referee's jail, which is handed the streams of players. ``cuda``: a jail with a GPU, a weaker
    wall: its driver may be spoken to, what may be written is limited in place of addresses, and
    the GPU's memory by torch's allocator.
    """

    memory_mib: int | None
    cpu_seconds: float
    threads: int
    open_files: int
    disk_mib: int
    seccomp: bool = True
    own_namespaces: bool = True
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    sealed: tuple[str, ...] = ()
    bounded: tuple[str, ...] = ()
    siblings: int = 1
    receives_descriptors: bool = False
    cuda: bool = False

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        data: dict[str, Any] = json.loads(text)
        for key in ("readable", "writable", "sealed", "bounded"):
            data[key] = tuple(data[key])
        return cls(**data)


class NotJailed(RuntimeError):
    """:func:`lock_down` was called in a process that no backend started."""


def asked(environment: Mapping[str, str] = os.environ) -> Lockdown | None:
    """What the backend asked for; None in a process that no backend started."""
    text = environment.get(VARIABLE)
    return Lockdown.from_text(text) if text else None


def lock_down(*, unjailed: bool = False) -> None:
    """Give up everything a player does not need. Call once, after imports, before player code.

    ``unjailed``: a unit test's explicit word that this process is meant to run without a wall.

    Raises:
        NotJailed: no backend started this process, and ``unjailed`` was not said.
        OSError: the kernel refused a part of the wall. The process must end.
    """
    wanted = asked()
    os.environ.pop(VARIABLE, None)
    if wanted is None:
        if unjailed:
            return
        raise NotJailed("This process was not started by a sandbox backend; it loads no players.")
    if wanted.sealed:
        _seal(wanted.sealed)
    if wanted.own_namespaces and wanted.writable:
        _close_files(wanted)
    _limit_resources(wanted)
    if wanted.seccomp:
        _filter_system_calls(wanted)
    if wanted.cuda and wanted.memory_mib is not None:
        _limit_gpu(wanted.memory_mib)


def _limit_gpu(memory_mib: int) -> None:
    """By torch's own allocator, which a player could loosen: no system call counts a GPU's memory.

    A player without torch has no use for the GPU, and none is opened for it.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return
    _, whole = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(min(1.0, memory_mib * _MIB / whole))


def _seal(mounts: tuple[str, ...]) -> None:
    """Make mounts read-only, then give up every capability."""
    from arena.sandbox import guest_namespaces

    for mount in mounts:
        guest_namespaces.remount_read_only(mount)
    guest_namespaces.drop_capabilities()


def _close_files(wanted: Lockdown) -> None:
    """A belt: where the kernel has no Landlock, the mounts stand alone."""
    from arena.sandbox import landlock

    if landlock.abi():
        landlock.restrict(readable=wanted.readable, writable=wanted.writable)


def _limit_resources(wanted: Lockdown) -> None:
    cpu = math.ceil(time.process_time() + wanted.cpu_seconds)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, cpu, cpu + 1)
    _limit(resource.RLIMIT_FSIZE, wanted.disk_mib * _MIB)
    _limit(resource.RLIMIT_NOFILE, wanted.open_files)
    _limit(resource.RLIMIT_MEMLOCK, 0)
    if sys.platform == "linux":
        _limit_what_is_counted_by_user()
    if wanted.own_namespaces and _kernel() >= _PER_NAMESPACE_NPROC:
        _limit(resource.RLIMIT_NPROC, wanted.siblings * (wanted.threads + _SPARE_THREADS))
    if wanted.memory_mib is not None:
        from arena.sandbox import guest_pages

        # CUDA reserves terabytes of addresses that it never writes to: what may be written counts.
        kind = resource.RLIMIT_DATA if wanted.cuda else resource.RLIMIT_AS
        _limit(kind, mapped(kind) - guest_pages.spare() + wanted.memory_mib * _MIB)


def _limit_what_is_counted_by_user() -> None:
    """Forks of one zygote would see each other's. gVisor refuses; its kernel is one jail's own."""
    for kind in (resource.RLIMIT_SIGPENDING, resource.RLIMIT_MSGQUEUE):
        with contextlib.suppress(ValueError):
            _limit(kind, 0)


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    """Lower a limit; one that is lower already stays."""
    allowed = resource.getrlimit(kind)[1]
    top = soft if hard is None else hard
    if allowed != resource.RLIM_INFINITY:
        top = min(top, allowed)
    resource.setrlimit(kind, (min(soft, top), top))


def _kernel() -> tuple[int, ...]:
    if sys.platform != "linux":
        return (0,)
    release = os.uname().release.split("-")[0].split(".")
    return tuple(int(part) for part in release[:2] if part.isdigit())


def mapped(kind: int) -> int:
    """Bytes that count against RLIMIT_AS or RLIMIT_DATA now, to the MiB.

    There is no procfs in a jail to ask. A private mapping succeeds exactly when it fits below the
    limit: halve until that point is known.
    """
    before = resource.getrlimit(kind)
    low, high = 0, 1 << 47
    if before[1] != resource.RLIM_INFINITY:
        high = min(high, before[1])
    try:
        while high - low > _MIB:
            middle = (low + high) // 2
            resource.setrlimit(kind, (middle, before[1]))
            low, high = (low, middle) if _can_map() else (middle, high)
    finally:
        resource.setrlimit(kind, before)
    return high


def _can_map() -> bool:
    try:
        mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return False
    return True


def _filter_system_calls(wanted: Lockdown) -> None:
    from arena.sandbox import seccomp

    _ask_for_the_memory_of_the_machine()
    seccomp.prctl(_PR_SET_DUMPABLE, 0)
    program = seccomp.player_filter(
        pid=os.getpid(), receives_descriptors=wanted.receives_descriptors, cuda=wanted.cuda
    )
    seccomp.install(program)


def _ask_for_the_memory_of_the_machine() -> None:
    """So that ``qsort`` knows it: glibc's before 2.37 asks once, and takes any answer for right."""
    array = ctypes.create_string_buffer(4096)
    ctypes.CDLL(None).qsort(array, ctypes.c_size_t(1), ctypes.c_size_t(len(array)), None)
