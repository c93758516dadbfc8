"""
number = 14
name = "Tracing and reading other processes"
roles = ["attack", "defense"]
stopped_by = ["seccomp", "namespaces"]
ends = "scored"
"""

import ctypes
import os

from hostile import CANARY, players, syscall, through

ATTACH, SEIZE, TRACEME = 16, 0x4206, 0


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def attempt():
    here = ctypes.create_string_buffer(64)
    ours = ctypes.byref(Vector(ctypes.addressof(here), 64))
    yield from through("traced by its parent", lambda: syscall("ptrace", TRACEME, 0, 0, 0))
    for pid in (1, os.getpid(), os.getppid(), CANARY["pid"]):
        theirs = ctypes.byref(Vector(ctypes.addressof(here), 64))
        calls = {
            "attach": lambda p=pid: syscall("ptrace", ATTACH, p, 0, 0),
            "seize": lambda p=pid: syscall("ptrace", SEIZE, p, 0, 0),
            "read": lambda p=pid, t=theirs: syscall("process_vm_readv", p, ours, 1, t, 1, 0),
            "write": lambda p=pid, t=theirs: syscall("process_vm_writev", p, ours, 1, t, 1, 0),
            "pidfd": lambda p=pid: syscall("pidfd_open", p, 0),
            "descriptor": lambda p=pid: syscall("pidfd_getfd", syscall("pidfd_open", p, 0), 3, 0),
            "compare": lambda p=pid: syscall("kcmp", p, os.getpid(), 0, 0, 0),
        }
        for name, call in calls.items():
            yield from through(f"{name} {pid}", call)


Attack, Defense = players(attempt)
