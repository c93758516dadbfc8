"""
number = 21
name = "Signals through counters of the whole machine: its free memory, its threads, its inodes"
roles = ["attack", "defense"]
stopped_by = ["seccomp", "mounts"]
ends = "scored"
"""

import ctypes
import os

from hostile import players, syscall, through


def attempt():
    """What one player takes, or makes and drops, any other could see there."""
    told = ctypes.create_string_buffer(256)
    calls = {
        "free memory and threads": lambda: syscall("sysinfo", told),
        "load": os.getloadavg,
        "the number of a pipe's inode": lambda: os.fstat(os.pipe()[0]).st_ino,
        "the number of a memory file's inode": lambda: os.fstat(os.memfd_create("x")).st_ino,
        "free blocks": lambda: os.statvfs("/"),
    }
    for name, call in calls.items():
        yield from through(name, call)
    for path in ("/proc/loadavg", "/proc/stat", "/proc/meminfo", "/proc/sys/fs/inode-nr"):
        yield from through(path, lambda path=path: os.open(path, os.O_RDONLY))


Attack, Defense = players(attempt)
