"""
number = 4
name = "Memory that is not heap: memfd, tmpfs, then shared pages"
roles = ["attack", "defense"]
stopped_by = ["seccomp", "mounts", "rlimits", "cgroup"]
ends = "out_of_memory"
"""

import mmap
import os

from hostile import players, scratch, syscall, through


def attempt():
    yield from through("memfd", lambda: syscall("memfd_create", b"arena-hostile\0", 0))
    yield from through("secret memory", lambda: syscall("memfd_secret", 0))
    yield from through("tmpfs", fill)
    held = []
    try:
        while len(held) < 64:
            held.append(mmap.mmap(-1, 2**24))
            held[-1].write(b"x" * 2**24)
    except OSError:
        raise MemoryError from None
    yield f"{16 * len(held)} MiB of shared pages"


def fill():
    """As much as the address space may hold, in a file that fits into no limit on disk."""
    path = scratch("large")
    try:
        with open(path, "wb", buffering=0) as file:
            file.writelines(b"x" * 2**20 for _ in range(256))
        return "256 MiB"
    finally:
        os.unlink(path)


Attack, Defense = players(attempt)
