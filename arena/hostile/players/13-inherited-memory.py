"""
number = 13
name = "Secrets in memory that was there before the player"
roles = ["attack", "defense"]
stopped_by = ["namespaces"]
ends = "scored"
"""

import ctypes
import gc
import os

from hostile import CANARY, LIBC, players, scratch

BLOCK = 2**20
PAGE = 4096
MOST_BLOCKS = 192


def attempt():
    """Every block near an object of Python's or the stack; EFAULT tells what is not mapped."""
    first, second = (half.encode() for half in CANARY["halves"])
    copied = os.open(scratch("page"), os.O_RDWR | os.O_CREAT)
    near = {id(thing) // BLOCK for thing in gc.get_objects()}
    stack = ctypes.addressof(ctypes.c_char_p.in_dll(LIBC, "environ")) // BLOCK
    seen = 0
    for block in [*sorted(near)[:MOST_BLOCKS], stack]:
        for address in range(block * BLOCK, (block + 1) * BLOCK, PAGE):
            os.lseek(copied, 0, os.SEEK_SET)
            if LIBC.write(copied, ctypes.c_void_p(address), PAGE) != PAGE:
                continue
            page = os.pread(copied, PAGE, 0)
            seen += 1
            at = page.find(first)
            while at >= 0:
                if page[at + len(first) :].startswith(second):
                    yield f"the secret at {address + at:#x}"
                at = page.find(first, at + 1)
    if seen < 100:
        yield f"nothing: only {seen} pages could be looked at"
    os.close(copied)
    os.unlink(scratch("page"))


Attack, Defense = players(attempt)
