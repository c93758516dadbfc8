"""
number = 11
name = "The memory and environment of other processes"
roles = ["attack", "defense"]
stopped_by = ["namespaces", "mounts"]
ends = "scored"
"""

import os
from pathlib import Path

from hostile import CANARY, players, through


def attempt():
    pids = ("1", "2", "self", str(os.getppid()), str(CANARY["pid"]))
    names = ("environ", "mem", "maps", "cmdline", "fd", "root/etc/passwd", "cwd", "status")
    for pid in pids:
        for name in names:
            yield from through(f"{pid}/{name}", lambda p=pid, n=name: read(f"/proc/{p}/{n}"))
    for name in ("mounts", "net/tcp", "net/unix", "keys", "kcore", "sys/kernel/hostname"):
        yield from through(name, lambda name=name: read(f"/proc/{name}"))


def read(path):
    return os.listdir(path) if os.path.isdir(path) else Path(path).read_bytes()[:16]


Attack, Defense = players(attempt)
