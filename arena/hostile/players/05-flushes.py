"""
number = 5
name = "Having the machine's disk flush what others wrote, again and again"
roles = ["attack", "defense"]
stopped_by = ["seccomp"]
ends = "scored"
"""

import errno
import os

from hostile import SOCKET, players, syscall

ASYNC_AND_SYNC = 5


def attempt():
    """Only the kernel knows that a socket cannot be synchronized, nor a page both ways."""
    calls = {
        "fsync": lambda: os.fsync(SOCKET),
        "fdatasync": lambda: os.fdatasync(SOCKET),
        "msync": lambda: syscall("msync", 0, 4096, ASYNC_AND_SYNC),
        "sync": lambda: never(syscall("sync")),
        "syncfs": lambda: syscall("syncfs", SOCKET),
        "sync_file_range": lambda: syscall("sync_file_range", SOCKET, 0, 0, 2),
    }
    for name, call in calls.items():
        try:
            call()
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOSYS):
                yield f"{name} reached the kernel ({error})"


def never(result):
    """Success, of a call that does nothing but to flush."""
    raise OSError(errno.EINVAL, f"it was done ({result})")


Attack, Defense = players(attempt)
