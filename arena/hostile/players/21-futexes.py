"""
number = 21
name = "Signals through futexes on the pages of shared files"
roles = ["attack", "defense"]
stopped_by = ["seccomp"]
ends = "scored"
"""

import ctypes
import errno
import mmap
import struct

from hostile import LIBC, players, shared_files, syscall

WAIT, WAKE, REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET = 0, 1, 3, 5, 9, 10
SOON = struct.pack("ll", 0, 1)
MOST = 1000


def attempt():
    """The key of a futex that is not private is the inode and the place in it, in every jail.

    One that sleeps there is woken from another, and who wakes is told how many slept. The ways
    that wake without a call (a thread's end, a list of robust futexes) need a sleeper.
    """
    for path in shared_files()[:3]:
        with open(path, "rb") as file:
            yield from on(mapped(file))


def mapped(file):
    """The first page of a shared file, which nobody may write to."""
    LIBC.mmap.restype = ctypes.c_void_p
    nowhere, offset = ctypes.c_void_p(None), ctypes.c_long(0)
    size = ctypes.c_size_t(mmap.PAGESIZE)
    return LIBC.mmap(nowhere, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), offset)


def on(page):
    word, soon = ctypes.c_uint32.from_address(page).value, ctypes.c_char_p(SOON)
    there, nothing = ctypes.c_void_p(page), ctypes.c_void_p(None)
    calls = {
        "sleep": ("futex", there, WAIT, word, soon),
        "sleep for a bit set": ("futex", there, WAIT_BITSET, word, soon, nothing, -1),
        "wake": ("futex", there, WAKE, MOST),
        "wake a bit set": ("futex", there, WAKE_BITSET, MOST, nothing, nothing, 1),
        "move": ("futex", there, REQUEUE, 0, MOST, there),
        "wake and write": ("futex", there, WAKE_OP, MOST, MOST, there, 0),
        "sleep for one of several": ("futex_waitv", several(page, word), 1, 0, soon, 1),
        "the newer sleep": ("futex_wait", there, word, -1, 2, soon, 1),
        "the newer wake": ("futex_wake", there, -1, MOST, 2),
    }
    for name, call in calls.items():
        try:
            yield f"{name} ({syscall(*call)})"
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOSYS, errno.EAGAIN):
                yield f"{name} ({error})"


def several(page, word):
    """A struct futex_waitv: value, address, a size of 32 bits."""
    return ctypes.create_string_buffer(struct.pack("QQII", word, page, 2, 0))


Attack, Defense = players(attempt)
