"""
number = 27
name = "Times and modes of devices that everybody may write to"
roles = ["attack", "defense"]
stopped_by = ["mounts", "seccomp"]
ends = "scored"
"""

import os

from hostile import OLD, players, through

DEVICES = ("null", "zero", "full", "random", "urandom")


def attempt():
    """/dev/null is one inode for the whole machine: its times are a letter box between jails."""
    for name in DEVICES:
        path = f"/dev/{name}"
        yield from through(f"touch {path}", lambda path=path: os.utime(path))
        yield from through(f"times of {path}", lambda path=path: os.utime(path, (OLD, OLD)))
        yield from through(f"mode of {path}", lambda path=path: os.chmod(path, 0o600))
    for number in range(3):  # not 3: that stream is nobody else's
        yield from through(f"touch descriptor {number}", lambda n=number: os.utime(n))
        yield from through(f"mode of descriptor {number}", lambda n=number: os.chmod(n, 0o777))


Attack, Defense = players(attempt)
