"""
number = 28
name = "More limits, other users, higher priority, another clock"
roles = ["attack", "defense"]
stopped_by = ["seccomp", "namespaces"]
ends = "scored"
"""

import ctypes
import os
import resource
import time

from hostile import players, syscall, through

KINDS = ("CPU", "FSIZE", "DATA", "STACK", "CORE", "NPROC", "NOFILE", "MEMLOCK", "AS", "NICE")


def attempt():
    for kind in KINDS:
        number = getattr(resource, f"RLIMIT_{kind}", 13)
        hard = resource.getrlimit(number)[1]
        more = resource.RLIM_INFINITY if hard == resource.RLIM_INFINITY else hard + 1
        yield from through(
            f"limit {kind}", lambda n=number, m=more: resource.setrlimit(n, (m, m)), ValueError
        )
    parameters = ctypes.create_string_buffer(bytes([10, 0, 0, 0]))
    calls = {
        "setuid": lambda: os.setuid(0),
        "setresuid": lambda: os.setresuid(0, 0, 0),
        "setgid": lambda: os.setgid(0),
        "setgroups": lambda: os.setgroups([0]),
        "nice": lambda: os.nice(-5),
        "real time": lambda: syscall("sched_setscheduler", 0, 1, parameters),
        "other cores": lambda: os.sched_setaffinity(0, range(64)),
        "clock": lambda: time.clock_settime(time.CLOCK_REALTIME, 0),
        "capset": lambda: syscall("capset", bytes(8), bytes(24)),
        "dumpable": lambda: syscall("prctl", 4, 1, 0, 0, 0),
        "keep capabilities": lambda: syscall("prctl", 8, 1, 0, 0, 0),
        "ambient capability": lambda: syscall("prctl", 47, 2, 21, 0, 0),
        "lock memory": lambda: syscall("mlockall", 1),
        "reboot": lambda: syscall("reboot", 0xFEE1DEAD, 672274793, 0, 0),
    }
    for name, call in calls.items():
        yield from through(name, call)
    if 0 in (os.getuid(), os.geteuid(), os.getgid(), os.getegid()):
        yield "it is root"


Attack, Defense = players(attempt)
