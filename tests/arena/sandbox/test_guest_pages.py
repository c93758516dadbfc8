"""Huge pages: what a zygote has loaded is laid together, and stays what it was."""

from __future__ import annotations

import ctypes
import errno
import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from arena.sandbox import guest_pages

THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")
FILLED = """
import re
from arena.sandbox import guest_pages

def huge():
    with open("/proc/self/smaps") as file:
        return sum(map(int, re.findall(r"^AnonHugePages: +([0-9]+) kB", file.read(), re.MULTILINE)))

kept = [[n] for n in range(400_000)]
before = huge()
laid = guest_pages.lay_together()
print(before, huge(), laid, all(one == [n] for n, one in enumerate(kept)))
"""


def test_what_a_process_holds_lies_on_huge_pages_and_is_the_same() -> None:
    if not _kernel_lays_together():
        pytest.skip("This kernel lays no pages together (MADV_COLLAPSE, Linux 6.1).")
    done = subprocess.run(
        [sys.executable, "-c", FILLED], capture_output=True, text=True, check=True, timeout=60
    )
    before, after, laid, same = done.stdout.split()
    assert int(laid) > 0
    assert int(after) >= int(before) + 10 * 1024  # kB; the lists take three times as much
    assert same == "True"


def test_a_kernel_that_refuses_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Libc:
        def __init__(self) -> None:
            self.sbrk = Sbrk()

        def madvise(self, *_: object) -> int:
            return -1

    class Sbrk:
        def __call__(self, _more: object) -> int:
            return 1 << 32

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Libc())
    monkeypatch.setattr(ctypes, "get_errno", lambda: errno.EINVAL)
    assert guest_pages.lay_together() == 0


def test_another_c_library_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    assert guest_pages.lay_together() == 0


def _kernel_lays_together() -> bool:
    if not THP.exists() or "[never]" in THP.read_text():
        return False
    size = 4 << 21
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(bytes(size))
        holder = ctypes.c_char.from_buffer(memory)
        start = (ctypes.addressof(holder) + (1 << 21) - 1) >> 21 << 21
        told = ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(1 << 21), 25)
        del holder
    return bool(told == 0)
