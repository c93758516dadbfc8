"""
number = 23
name = "System calls of the i386 ABI, by int 0x80"
roles = ["attack", "defense"]
stopped_by = ["seccomp"]
ends = "crashed"
machine = "x86_64"

[known]
gvisor = "it takes int 0x80 for a call of x86_64, under the filter of that: no i386 call is made"
"""

import ctypes
import mmap

from hostile import players_at_play

GETPID = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20; int 0x80; ret


def attempt():
    protection = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    code = mmap.mmap(-1, 4096, prot=protection)
    code.write(GETPID)
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    yield f"getpid of i386 ({ctypes.CFUNCTYPE(ctypes.c_int)(address)()})"


Attack, Defense = players_at_play(attempt)
