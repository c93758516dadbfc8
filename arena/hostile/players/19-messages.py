"""
number = 19
name = "System V and POSIX shared memory, queues, semaphores"
roles = ["attack", "defense"]
stopped_by = ["seccomp", "namespaces"]
ends = "scored"
"""

import ctypes
import os

from hostile import KEY, MARK, players, syscall, through

MAKE = 0o1000 | 0o600


def attempt():
    name = MARK.encode() + b"\0"
    nothing = ctypes.c_char_p(None)
    yield from through("memory", lambda: syscall("shmget", KEY, 4096, MAKE))
    yield from through("queue", lambda: syscall("msgget", KEY, MAKE))
    yield from through("semaphore", lambda: syscall("semget", KEY, 1, MAKE))
    flags = os.O_CREAT | os.O_RDWR
    yield from through("POSIX queue", lambda: syscall("mq_open", name, flags, 0o600, nothing))
    yield from through("POSIX memory", lambda: os.open(f"/dev/shm/{MARK}", flags))
    yield from through("event", lambda: os.eventfd(0))


Attack, Defense = players(attempt)
