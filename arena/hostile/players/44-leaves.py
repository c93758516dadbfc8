"""
number = 44
name = "Leaving whatever could be found later: by the judging processes, by the next match"
roles = ["attack", "defense"]
stopped_by = ["mounts", "namespaces", "seccomp"]
ends = "scored"
"""

import builtins
import ctypes
import fcntl
import os
import signal
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
from hostile import KEY, LIBC, MARK, OLD, players, shared_files, syscall, through


def attempt():
    """What gets through here is told by those who find it: see hostile.left."""
    name = MARK.encode() + b"\0"
    flags = os.O_CREAT | os.O_RDWR
    calls = [
        *(lambda f=f: Path(f, f"{MARK}-left").write_text("left") for f in FOLDERS),
        *(lambda p=p: append(p) for p in shared_files()),
        *(lambda p=p: os.utime(p, (OLD, OLD)) for p in shared_files()),
        lambda: syscall("shmget", KEY, 4096, 0o1600),
        lambda: syscall("msgget", KEY, 0o1600),
        lambda: syscall("semget", KEY, 1, 0o1600),
        lambda: syscall("mq_open", name, flags, 0o600, ctypes.c_char_p(None)),
        lambda: syscall("add_key", b"user\0", name, b"x", 1, -4),
        lambda: syscall("add_key", b"user\0", name, b"x", 1, -3),
        lambda: LIBC.sethostname(b"arena-hostile", 13),
        lambda: os.dup2(2, 400),
        lambda: fcntl.fcntl(0, fcntl.F_SETFL, os.O_NONBLOCK | os.O_APPEND),
        lambda: os.putenv(MARK, MARK),
        lambda: os.environ.update({MARK: MARK}),
        lambda: os.chdir("/tmp"),
        lambda: os.umask(0o123),
        lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
        lambda: threading.Thread(target=time.sleep, args=(10**6,), daemon=True).start(),
        lambda: sys.modules.update(arena_hostile=types.ModuleType("arena_hostile")),
    ]
    for call in calls:
        list(through("", call))
    for owner in (builtins, sys, np, os):
        owner.arena_hostile = MARK
    yield from ()


FOLDERS = ("/", "/tmp", "/sub", "/sub/package", "/dev/shm", "/dev", "/var/tmp", "/run", "/home")


def append(path):
    with open(path, "ab") as file:
        file.write(MARK.encode())


Attack, Defense = players(attempt)
