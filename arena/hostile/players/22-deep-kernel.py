"""
number = 22
name = "io_uring, userfaultfd, bpf, perf, modify_ldt, personality"
roles = ["attack", "defense"]
stopped_by = ["seccomp"]
ends = "scored"
"""

import ctypes
import struct

from hostile import players, syscall, through


def attempt():
    zeros = ctypes.create_string_buffer(256)
    map_of_one = ctypes.create_string_buffer(struct.pack("<5I", 2, 4, 8, 1, 0), 128)
    counter = ctypes.create_string_buffer(struct.pack("<IIQ", 1, 112, 0), 128)
    calls = {
        "io_uring": lambda: syscall("io_uring_setup", 4, zeros),
        "userfaultfd": lambda: syscall("userfaultfd", 0),
        "userfaultfd of users": lambda: syscall("userfaultfd", 1),
        "bpf": lambda: syscall("bpf", 0, map_of_one, 128),
        "perf": lambda: syscall("perf_event_open", counter, 0, -1, -1, 0),
        "modify_ldt": lambda: syscall("modify_ldt", 0, zeros, 256),
        "personality": lambda: syscall("personality", 0x0040000),
        "kernel log": lambda: syscall("syslog", 3, zeros, 256),
        "another filter": lambda: syscall("seccomp", 2, 0, zeros),
        "quota": lambda: syscall("quotactl", 0x80000100, 0, 0, 0),
    }
    for name, call in calls.items():
        yield from through(name, call)


Attack, Defense = players(attempt)
