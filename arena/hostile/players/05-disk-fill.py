"""
number = 5
name = "Disk: many bytes, a sparse file of a terabyte, space reserved ahead"
roles = ["attack", "defense"]
stopped_by = ["mounts", "rlimits"]
ends = "scored"
"""

import os

from hostile import players, through

MOST_MIB = 8
"""The suite grants 4 MiB a file system."""


def attempt():
    for folder in ("/tmp", "/sub", "/dev/shm", "/dev", "/", "/var/tmp", "/run"):
        yield from through(f"fill {folder}", lambda folder=folder: fill(folder))
        yield from through(f"sparse {folder}", lambda folder=folder: sparse(folder))


def fill(folder):
    """Files of one MiB until the limit says no; OSError if it did."""
    written = []
    try:
        for number in range(MOST_MIB):
            written.append(f"{folder}/arena-hostile-{number}")
            with open(written[-1], "wb", buffering=0) as file:
                if file.write(b"x" * 2**20) != 2**20:
                    raise OSError("short")
        return f"{MOST_MIB} MiB"
    finally:
        remove(written)


def sparse(folder):
    path = f"{folder}/arena-hostile-sparse"
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
        try:
            os.truncate(descriptor, 2**40)
        except OSError:
            os.posix_fallocate(descriptor, 0, 2**30)
        finally:
            os.close(descriptor)
    finally:
        remove([path])


def remove(paths):
    for path in paths:
        try:
            os.unlink(path)
        except OSError:
            pass


Attack, Defense = players(attempt)
