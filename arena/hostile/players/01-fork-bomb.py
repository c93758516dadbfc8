"""
number = 1
name = "Fork bomb, by every call that makes a process"
roles = ["attack", "defense"]
stopped_by = ["seccomp", "rlimits", "cgroup"]
ends = "scored"
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess

from hostile import child_of, players, syscall, through

FLAGS = signal.SIGCHLD
ARGUMENTS = (ctypes.c_uint64 * 11)(0, 0, 0, 0, FLAGS)


def attempt():
    for _ in range(64):
        yield from through("fork", child_of(os.fork))
    yield from through("clone", child_of(lambda: syscall("clone", FLAGS, 0, 0, 0, 0)))
    yield from through("clone3", child_of(lambda: syscall("clone3", ARGUMENTS, 88)))
    yield from through("spawn", lambda: os.posix_spawn("/python/bin/python3", ["python3"], {}))
    yield from through("popen", lambda: subprocess.Popen(["/python/bin/python3", "-V"]).wait())
    context = multiprocessing.get_context("fork")
    yield from through("multiprocessing", lambda: context.Process(target=int).start())


Attack, Defense = players(attempt)
