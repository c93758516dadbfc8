"""Huge pages for a zygote and its forks: one entry, and one fault, where there were 512.

With torch loaded a zygote has some 55,000 pages of its own. Each fork copies the entry of every
one of them, and each fork's end gives them all back; together that is a third of what a short-lived
jail costs. The kernel can lay 512 neighbours together when it is asked to (``MADV_COLLAPSE``, Linux
6.1): :func:`lay_together`.

What a child writes between the zygote's things is still copied, small page by small page, and what
it takes beyond them is faulted in as small. glibc would ask for huge pages itself, but reads in
/sys whether there are any, and a jail has none: :func:`make_room` asks in its place, and fills
what lies free between the zygote's things, so that children write beyond them. A batch of 250
images through a small net faults a fourth as often.

A kernel that refuses, or another C library, leaves everything as it was.

Runs inside the jail; needs the standard library alone. See madvise(2) and mallinfo(3).
"""

from __future__ import annotations

import ctypes
import errno
import gc
from typing import Any, Final

_HUGE: Final = 21
"""Bits of an address within a huge page, on x86-64, and on aarch64 with pages of 4 KiB."""
_MADV_DONTNEED: Final = 4
_MADV_HUGEPAGE: Final = 14
_MADV_COLLAPSE: Final = 25
_BLOCK: Final = 31 * 2**20
"""Less than what a jail's malloc takes from the kernel by itself (``MALLOC_MMAP_THRESHOLD_``)."""
_BLOCKS: Final = 2
_GAPS: Final = tuple([2**power for power in range(20, 10, -1)])
"""Bytes, largest first. What is smaller shares its page with something anyway."""


def lay_together() -> int:
    """Ask for huge pages wherever this process keeps objects; how many there are now.

    It is done before :func:`gc.freeze`, after which nothing tells where Python's objects lie.
    """
    try:
        libc = _kernel()
        return _on_the_heap(libc) + sum(
            _laid_together(libc, page) is None for page in _pages_of_objects()
        )
    except (AttributeError, OSError):  # another C library
        return 0


def make_room() -> int:
    """Fill the gaps of the C heap, and have what lies beyond its last thing come on huge pages.

    Returns the bytes of that room. None of it is taken before somebody writes there: what this
    process left behind is given back.
    """
    try:
        libc = _allocator()
        _fill_gaps(libc)
        start = _beyond_the_last(libc)
        _grow(libc)
    except (AttributeError, OSError):  # another C library, or one before mallinfo2
        return 0
    start, end = -(-start >> _HUGE) << _HUGE, int(libc.sbrk(0)) >> _HUGE << _HUGE
    if start >= end or libc.madvise(start, end - start, _MADV_HUGEPAGE):
        return 0
    libc.madvise(start, end - start, _MADV_DONTNEED)
    return end - start


def spare() -> int:
    """Bytes beyond the last thing on the C heap, which malloc gives without asking the kernel."""
    try:
        return int(_allocator().mallinfo2().keepcost)
    except (AttributeError, OSError):
        return 0


def _fill_gaps(libc: Any) -> None:
    """Take what lies free before the last thing, for good."""
    beyond = _beyond_the_last(libc)
    for size in _GAPS:
        while (gap := libc.malloc(size)) and gap < beyond:
            pass
        libc.free(gap)


def _grow(libc: Any) -> None:
    """Free again, the blocks are room: a jail's malloc hands nothing back."""
    blocks = [libc.malloc(_BLOCK) for _ in range(_BLOCKS)]
    for block in blocks:
        libc.free(block)


def _beyond_the_last(libc: Any) -> int:
    return int(libc.sbrk(0)) - int(libc.mallinfo2().keepcost)


class _Mallinfo(ctypes.Structure):
    """mallinfo2(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _kernel() -> Any:
    """libc with what asks the kernel; older ones have no more (:func:`_allocator`)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.sbrk.argtypes, libc.sbrk.restype = [ctypes.c_long], ctypes.c_void_p
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc


def _allocator() -> Any:
    libc = _kernel()
    libc.mallinfo2.restype = _Mallinfo
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes, libc.free.restype = [ctypes.c_void_p], None
    return libc


def _pages_of_objects() -> set[int]:
    """Numbers of the huge pages that hold Python's objects."""
    return {id(thing) >> _HUGE for thing in gc.get_objects()}


def _on_the_heap(libc: Any) -> int:
    """Downwards from the end of the C heap, which is in one piece."""
    end = int(libc.sbrk(0) or 0) >> _HUGE
    laid = 0
    for page in range(end - 1, 0, -1):
        problem = _laid_together(libc, page)
        if problem == errno.ENOMEM:  # nothing lies there
            break
        laid += problem is None
    return laid


def _laid_together(libc: Any, page: int) -> int | None:
    """None, or why not."""
    if libc.madvise(page << _HUGE, 1 << _HUGE, _MADV_COLLAPSE) == 0:
        return None
    return ctypes.get_errno()
