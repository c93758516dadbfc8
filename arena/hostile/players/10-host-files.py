"""
number = 10
name = "The host's files, the referee's, other teams'"
roles = ["attack", "defense"]
stopped_by = ["namespaces", "mounts"]
ends = "scored"
"""

import os
from pathlib import Path

from hostile import CANARY, players, through

PLACES = (
    *("/etc/passwd", "/etc/shadow", "/etc/hostname", "/etc/resolv.conf", "/etc/ssh", "/root"),
    *("/home", "/var/lib", "/var/log", "/var/tmp", "/run", "/srv", "/opt", "/mnt", "/boot"),
    *("/sys", "/sys/fs/cgroup", "/usr/bin", "/usr/share", "/usr/local", "/bin", "/sbin"),
    *("/sub/../..//etc/passwd", "/sub/opponent", "/sub/related", "/sub/architecture"),
)


def attempt():
    for place in (*PLACES, *CANARY["places"]):
        yield from through(place, lambda place=place: first(Path(place)))


def first(path):
    """The first bytes of a file, or the first name of a directory that holds one."""
    if path.is_dir():
        names = os.listdir(path)
        if not names:
            raise OSError("empty")
        return names[0]
    return path.read_bytes()[:16]


Attack, Defense = players(attempt)
