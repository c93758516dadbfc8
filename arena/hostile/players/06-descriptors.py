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
    yield from through("a pipe", os.pipe)
    yield from through("a log of 1 MiB", lambda: fcntl.fcntl(2, fcntl.F_SETPIPE_SZ, 2**20))
    held = []
    try:
        while len(held) < MOST:
            held.append(os.dup(0))
    except OSError:
        pass
    if len(held) >= MOST:
        yield f"{len(held)} descriptors"
    for descriptor in held:
        os.close(descriptor)


Attack, Defense = players(attempt)
