"""
number = 6
name = "Descriptors without end, pipes as large as they get"
roles = ["attack", "defense"]
stopped_by = ["rlimits", "seccomp"]
ends = "scored"
"""

import fcntl
import os

from hostile import players, through

MOST = 512


def attempt():
    held = []
    try:
        while len(held) < MOST:
            held += os.pipe()
    except OSError:
        pass
    if held:
        yield from through("pipe of 1 MiB", lambda: fcntl.fcntl(held[1], fcntl.F_SETPIPE_SZ, 2**20))
    if len(held) >= MOST:
        yield f"{len(held)} descriptors"
    for descriptor in held:
        os.close(descriptor)


Attack, Defense = players(attempt)
