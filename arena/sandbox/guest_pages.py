"""Huge pages for what a zygote has loaded: a fork copies one entry where there were 512.

With torch loaded a zygote has some 55,000 pages of its own. Each fork copies the entry of every
one of them, and each fork's end gives them all back; together that is a third of what a short-lived
jail costs. The kernel can lay 512 neighbours together when it is asked to (``MADV_COLLAPSE``, Linux
6.1); an older kernel refuses, and everything stays as it was. What a child writes is still copied
in small pages.

Runs inside the jail; needs the standard library alone. See madvise(2).
"""

from __future__ import annotations

import ctypes
import errno
import gc
from typing import Any, Final

_HUGE: Final = 21
"""Bits of an address within a huge page, on x86-64, and on aarch64 with pages of 4 KiB."""
_MADV_COLLAPSE: Final = 25


def lay_together() -> int:
    """Ask for huge pages wherever this process keeps objects; how many there are now.

    It is done before :func:`gc.freeze`, after which nothing tells where Python's objects lie.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return _on_the_heap(libc) + sum(
            _laid_together(libc, page) is None for page in _pages_of_objects()
        )
    except (AttributeError, OSError):  # another C library
        return 0


def _pages_of_objects() -> set[int]:
    """Numbers of the huge pages that hold Python's objects."""
    return {id(thing) >> _HUGE for thing in gc.get_objects()}


def _on_the_heap(libc: Any) -> int:
    """Downwards from the end of the C heap, which is in one piece."""
    libc.sbrk.restype = ctypes.c_void_p
    end = int(libc.sbrk(ctypes.c_long(0)) or 0) >> _HUGE
    laid = 0
    for page in range(end - 1, 0, -1):
        problem = _laid_together(libc, page)
        if problem == errno.ENOMEM:  # nothing lies there
            break
        laid += problem is None
    return laid


def _laid_together(libc: Any, page: int) -> int | None:
    """None, or why not."""
    start, size = ctypes.c_void_p(page << _HUGE), ctypes.c_size_t(1 << _HUGE)
    if libc.madvise(start, size, _MADV_COLLAPSE) == 0:
        return None
    return ctypes.get_errno()
