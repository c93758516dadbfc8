"""What is left on a worker: counted before a hostile match and after it.

Everything is looked at from the referee's process. Backends keep some things for longer than a
match (a fork server, a stage for mounts): they are there before the first count.
"""

from __future__ import annotations

import os
import resource
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final

from arena.sandbox import cgroup

MARK: Final = "arena-hostile"
KEY: Final = 0x41_52_45_4E
"""As in players/hostile.py."""
SETTLE_SECONDS: Final = 10.0
"""The kernel's and our own threads' time to notice that a jail is gone."""
SCRATCH: Final = "arena-hostile-scratch-"
"""Prefix of a folder for temporary files that nobody else uses: every file in it is ours."""


def count() -> Counter[str]:
    """Everything that a match could leave, by name; equal counters mean nothing was left."""
    found: Counter[str] = Counter()
    found.update(f"process {pid}" for pid in _processes())
    found.update(f"control group {path}" for path in _groups())
    found.update(f"mount {line}" for line in _lines("/proc/self/mountinfo"))
    found.update(f"file {path}" for path in _files())
    found.update(f"{kind} of the kernel" for kind in _objects())
    found["descriptors"] = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only
    found["threads"] = threading.active_count()
    return found


def settled(before: Counter[str]) -> list[str]:
    """What is there that was not ``before``, once it had time to go."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (new := count() - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    return [f"{name} is left" for name in new]


def peak_mib() -> float:
    """The most memory that this process has held so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _processes() -> set[int]:
    """Descendants of this process, members of its jails' control groups, and, as an ordinary
    user, his processes in any other pid namespace."""
    parents, foreign = {}, set()
    for path in Path("/proc").glob("[0-9]*"):
        status = _status(path)
        if not status or status["State"].startswith("Z"):
            continue
        pid = int(path.name)
        parents[pid] = int(status["PPid"])
        if os.geteuid() != 0 and int(status["Uid"].split()[0]) == os.geteuid():
            foreign |= {pid} if len(status.get("NSpid", "").split()) > 1 else set()
    found, generation = set(foreign), {os.getpid()}
    while generation:
        generation = {pid for pid, parent in parents.items() if parent in generation}
        found |= generation
    return found | {int(pid) for path in _groups() for pid in _lines(f"{path}/cgroup.procs")}


def _status(process: Path) -> dict[str, str]:
    pairs = (line.partition(":") for line in _lines(str(process / "status")))
    return {name: value.strip() for name, _, value in pairs}


def _groups() -> list[str]:
    found = cgroup.controllers()
    below = found.directories if found else ()
    # One level: other processes' groups come and go below, and a walk would stumble over them.
    return [str(path) for folder in below for path in folder.glob(f"arena-*-{os.getpid()}-*")]


def _files() -> list[str]:
    """Ours in the folders that processes share; everything in a folder of our own."""
    own = Path(tempfile.gettempdir())
    folders = {own, Path("/dev/shm"), Path("/dev/mqueue")}  # noqa: S108
    paths = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    return [
        str(path)
        for path in paths
        if MARK in path.name
        or f"-{os.getpid()}-" in path.name
        or (path.parent == own and own.name.startswith(SCRATCH))
    ]


def _objects() -> list[str]:
    """System V objects with the players' key, and keys of their name."""
    found = [
        kind
        for kind in ("shm", "msg", "sem")
        for line in _lines(f"/proc/sysvipc/{kind}")[1:]
        if int(line.split()[0]) == KEY
    ]
    return found + ["key" for line in _lines("/proc/keys") if MARK in line]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
