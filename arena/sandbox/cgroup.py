"""Memory and process limits by control group, version 1 or 2, where this process may make one.

The only limit that counts what a whole jail really uses, and the only one that says afterwards
that it was memory that ended it. Where no control group is writable (an ordinary user, a plain
container) the rlimits of ``guest_lockdown`` stand alone.
"""

from __future__ import annotations

import itertools
import os
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from arena.rounds import Limits

_MIB: Final = 1024 * 1024
_SPARE_TASKS: Final = 40
_PREFIX: Final = "arena-jail-"
_numbers = itertools.count()
_REMOVE_SECONDS: Final = 2.0
_busy: set[Path] = set()
"""Groups of ended jails that the kernel had not done with."""


@dataclass(frozen=True, slots=True)
class Controllers:
    """Directories below which groups are made: one for version 2, one per controller for 1."""

    version: int
    memory: Path
    pids: Path | None

    @property
    def directories(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(p for p in (self.memory, self.pids) if p is not None))


@dataclass(frozen=True, slots=True)
class Group:
    """The control group of one jail."""

    version: int
    memory: Path
    directories: tuple[Path, ...]

    def add(self, pid: int) -> None:
        """Move a process in; its later children are born inside."""
        for directory in self.directories:
            (directory / "cgroup.procs").write_text(str(pid))

    def doors(self, undo: ExitStack) -> list[int]:
        """Descriptors, closed by ``undo``: a process with one thread that writes ``0`` to
        each is in. Whoever opened them needed the right to; who writes needs none.

        Much quicker than :meth:`add`, for which version 1 stops forks of the whole machine.
        """
        name = "cgroup.procs" if self.version == 2 else "tasks"
        opened = [os.open(d / name, os.O_WRONLY | os.O_CLOEXEC) for d in self.directories]
        for descriptor in opened:
            undo.callback(os.close, descriptor)
        return opened

    def out_of_memory(self) -> bool:
        """Whether the kernel killed a process of the group for its memory."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        with suppress(OSError):
            fields = dict(line.split() for line in (self.memory / name).read_text().splitlines())
            return int(fields.get("oom_kill", "0")) > 0
        return False

    def remove(self) -> None:
        """Remove the group; its processes are dead, the kernel may need a moment to notice.

        What takes it longer (a bomb of files has millions of inodes to free) is tried again when
        the next group is made.
        """
        deadline = time.monotonic() + _REMOVE_SECONDS
        for directory in self.directories:
            while directory.exists() and time.monotonic() < deadline:
                with suppress(OSError):
                    directory.rmdir()
                    break
                time.sleep(0.002)
            if directory.exists():
                _busy.add(directory)


def make_group(limits: Limits, undo: ExitStack) -> Group | None:
    """A fresh group that ``undo`` removes, or None where this process may make none."""
    found = controllers()
    if found is None:
        return None
    _remove_busy()
    name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
    made = [directory / name for directory in found.directories]
    group = Group(found.version, found.memory / name, tuple(made))
    tasks = limits.threads + _SPARE_TASKS
    try:
        for directory in made:
            directory.mkdir()
        _set_limits(found, name, memory_mib=limits.memory_mib, tasks=tasks)
    except OSError:
        group.remove()
        return None
    undo.callback(group.remove)
    return group


def _remove_busy() -> None:
    for directory in list(_busy):  # seats open side by side
        with suppress(OSError):
            directory.rmdir()
        if not directory.exists():
            _busy.discard(directory)


def _set_limits(found: Controllers, name: str, *, memory_mib: int, tasks: int) -> None:
    size = str(memory_mib * _MIB)
    if found.version == 2:
        (found.memory / name / "memory.max").write_text(size)
        _try(found.memory / name / "memory.swap.max", "0")
        _try(found.memory / name / "memory.oom.group", "1")
    else:
        (found.memory / name / "memory.limit_in_bytes").write_text(size)
        _try(found.memory / name / "memory.memsw.limit_in_bytes", size)
    if found.pids is not None:
        (found.pids / name / "pids.max").write_text(str(tasks))


def _try(path: Path, value: str) -> None:
    """Files that exist only where the kernel counts swap."""
    with suppress(OSError):
        path.write_text(value)


@cache
def controllers() -> Controllers | None:
    """Where groups can be made on this machine, found once per process by making one."""
    for found in filter(None, (_version_1(), _version_2())):
        if _works(found):
            _sweep(found)
            return found
    return None


def _works(found: Controllers) -> bool:
    name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"  # threads may try side by side
    made = [directory / name for directory in found.directories]
    try:
        for directory in made:
            directory.mkdir()
        _set_limits(found, name, memory_mib=64, tasks=4)
    except OSError:
        return False
    finally:
        for directory in made:
            with suppress(OSError):
                directory.rmdir()
    return True


def _sweep(found: Controllers) -> None:
    """Groups that a killed process left behind: empty ones of pids that are gone."""
    for directory in found.directories:
        for left in directory.glob(f"{_PREFIX}*"):
            owner = left.name.removeprefix(_PREFIX).split("-")[0]
            if not Path("/proc", owner).exists():
                with suppress(OSError):
                    left.rmdir()


def _version_1() -> Controllers | None:
    memory, pids = _hierarchy("memory"), _hierarchy("pids")
    return Controllers(1, memory, pids) if memory else None


def _version_2() -> Controllers | None:
    own = _hierarchy("")
    if own is None:
        return None
    for directory in (own, own.parent):
        with suppress(OSError):
            enabled = (directory / "cgroup.subtree_control").read_text().split()
            if "memory" in enabled:
                return Controllers(2, directory, directory if "pids" in enabled else None)
    return None


def _hierarchy(controller: str) -> Path | None:
    """This process's own directory in a hierarchy; ``""`` is the one of version 2."""
    mount = _mount_point(controller)
    if mount is None:
        return None
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            if (controller in names.split(",")) if controller else not names:
                inside = mount / path.lstrip("/")
                return inside if inside.is_dir() else mount
    return None


def _mount_point(controller: str) -> Path | None:
    with suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, target, kind, options, *_ = line.split()
            if controller and kind == "cgroup" and controller in options.split(","):
                return Path(target)
            if not controller and kind == "cgroup2":
                return Path(target)
    return None
