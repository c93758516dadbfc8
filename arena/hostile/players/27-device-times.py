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
    # Its log and its stream are nobody else's; standard input is such a device.
    yield from through("touch standard input", lambda: os.utime(0))
    yield from through("mode of standard input", lambda: os.chmod(0, 0o777))


Attack, Defense = players(attempt)
