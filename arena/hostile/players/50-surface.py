"""
number = 50
name = "Every system call that there is, for a hole in the kernel"
roles = ["attack", "defense"]
stopped_by = ["seccomp"]
ends = "scored"
"""

import ctypes
import errno

from hostile import COLUMN, LIBC, players

from arena.sandbox import seccomp

MOST = 600
REFUSED = (errno.EPERM, errno.ENOSYS)
UNFILTERED = {335, 336} if COLUMN == 0 else set()
"""uretprobe and uprobe: no filter sees them, and the kernel ends whoever calls them himself."""


def attempt():
    """Only what the filter lists may reach the kernel; the rest must not even get an EFAULT."""
    listed = {**seccomp._PLAYER, **seccomp._BY_ARGUMENT}
    allowed = {numbers[COLUMN] for numbers in listed.values()}
    nothing = [ctypes.c_long(-1)] * 6
    for number in range(MOST):
        if number in allowed | UNFILTERED:
            continue
        ctypes.set_errno(0)
        result = LIBC.syscall(ctypes.c_long(number), *nothing)
        if result != -1 or ctypes.get_errno() not in REFUSED:
            yield f"call {number} reached the kernel ({result}, {ctypes.get_errno()})"


Attack, Defense = players(attempt)
