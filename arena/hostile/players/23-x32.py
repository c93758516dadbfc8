"""
number = 23
name = "System calls of the x32 ABI"
roles = ["attack", "defense"]
stopped_by = ["seccomp"]
ends = "crashed"
machine = "x86_64"
"""

import ctypes

from hostile import LIBC, players_at_play


def attempt():
    yield f"getpid of x32 ({LIBC.syscall(ctypes.c_long(0x4000_0000 + 39))})"


Attack, Defense = players_at_play(attempt)
