"""
number = 21
name = "Signals through locks, leases and notifications on shared files, and the page cache"
roles = ["attack", "defense"]
stopped_by = ["seccomp"]
ends = "scored"
"""

import ctypes
import fcntl
import mmap
import os
import struct

from hostile import players, shared_files, syscall, through

SET_LEASE, GET_LEASE, NOTIFY, OPEN_LOCK = 1024, 1025, 1026, 37
PAGEOUT, COLD = 21, 20


def attempt():
    for path in shared_files()[:3]:
        with open(path, "rb") as file:
            yield from on(file)
    yield from through("watching", lambda: syscall("inotify_init1", 0))


def on(file):
    lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0)
    size = os.fstat(file.fileno()).st_size
    seen = ctypes.create_string_buffer(size // 4096 + 1)
    calls = {
        "lock": lambda: fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB),
        "flock": lambda: fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB),
        "open lock": lambda: fcntl.fcntl(file, OPEN_LOCK, lock),
        "lease": lambda: fcntl.fcntl(file, SET_LEASE, fcntl.F_RDLCK),
        "see a lease": lambda: fcntl.fcntl(file, GET_LEASE),
        "notification": lambda: fcntl.fcntl(file, NOTIFY, 1),
        "drop from the cache": lambda: os.posix_fadvise(file.fileno(), 0, 0, 4),
        "read ahead": lambda: syscall("readahead", file.fileno(), 0, 4096),
        "read what is cached": lambda: os.preadv(file.fileno(), [bytearray(1)], 0, 8),
    }
    for name, call in calls.items():
        yield from through(name, call)
    with mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED) as pages:
        yield from through("page out", lambda: pages.madvise(PAGEOUT))
        yield from through("cool", lambda: pages.madvise(COLD))
    yield from through("mincore", lambda: syscall("mincore", 0, 0, seen))
    yield from through("statfs", lambda: os.statvfs(file.fileno()).f_bfree)


Attack, Defense = players(attempt)
