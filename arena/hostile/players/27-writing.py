"""
number = 27
name = "Writing to the root, to libraries, to the jail's own code; times and modes of shared files"
roles = ["attack", "defense"]
stopped_by = ["mounts"]
ends = "scored"
"""

import os
from pathlib import Path

from hostile import MARK, OLD, players, shared_files, through

OWN = ("/tmp", "/sub")
DEPTH = 3


def folders():
    """Every folder there is, down to a depth, and some that may only be hidden."""
    yield from ("/dev/shm", "/dev/mqueue", "/home", "/var/tmp", "/run", "/mnt", "/root", "/opt")
    for folder, below, _ in os.walk("/"):
        if folder.startswith(OWN) or folder.count("/") >= DEPTH:
            below.clear()
        if not folder.startswith(OWN):
            yield folder


def attempt():
    for folder in folders():
        yield from through(f"file in {folder}", lambda f=folder: touch(Path(f, MARK)))
        yield from through(f"folder in {folder}", lambda f=folder: os.mkdir(f"{f}/{MARK}-folder"))
    for path in shared_files():
        if path.is_relative_to("/sub"):
            continue  # its own, in memory of its own
        calls = {
            "write": lambda p=path: append(p),
            "truncate": lambda p=path: os.truncate(p, 0),
            "rename": lambda p=path: os.rename(p, p.with_suffix(".old")),
            "remove": lambda p=path: os.unlink(p),
            "mode": lambda p=path: os.chmod(p, 0o777),
            "times": lambda p=path: os.utime(p, (OLD, OLD)),
            "owner": lambda p=path: os.chown(p, os.getuid(), os.getgid()),
            "attribute": lambda p=path: os.setxattr(p, "user.arena", b"x"),
        }
        for name, call in calls.items():
            yield from through(f"{name} of {path}", call)


def touch(path):
    path.touch()
    path.unlink()


def append(path):
    with open(path, "ab") as file:
        file.write(MARK.encode())


Attack, Defense = players(attempt)
