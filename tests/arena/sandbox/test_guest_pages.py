"""Huge pages: what a zygote has loaded is laid together, and stays what it was."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from arena.sandbox import guest_pages
from arena.sandbox.view import environment

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


TAKEN = """
import os, resource, sys
from arena.sandbox import guest_pages

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

held = [bytearray(200_000) for _ in range(100)]
del held[::2]  # 10 MB in gaps, each of them written to
room = guest_pages.make_room() if sys.argv[1] == "roomy" else 0
if os.fork() == 0:
    before = faults()
    taken = [bytearray(b"x") * 150_000 for _ in range(100)]
    print(faults() - before, room, guest_pages.spare(), flush=True)
    os._exit(0)
os.wait()
"""


def test_what_a_fork_takes_comes_on_huge_pages_and_not_between_what_is_there() -> None:
    """15 MB are 3,700 small pages: some of them in gaps, where each would be copied."""
    if not THP.exists() or "[never]" in THP.read_text():
        pytest.skip("This kernel gives nobody huge pages.")
    cramped, _, _ = _in_a_jails_allocator(TAKEN, "cramped")
    faults, room, spare = _in_a_jails_allocator(TAKEN, "roomy")
    assert cramped > 2000
    assert faults < cramped / 4
    assert room >= 32 * 2**20
    assert 0 < spare < 2 * room


def test_room_is_no_memory_beyond_the_limit_of_a_player() -> None:
    """Where no control group holds him, addresses are what is counted."""
    without, with_room = (
        _in_a_jails_allocator(ALLOWED, "", room) for room in ("", "guest_pages.make_room()")
    )
    assert abs(with_room[0] - without[0]) <= 2


ALLOWED = """
import os, resource
from arena.sandbox import guest_pages
from arena.sandbox.guest_lockdown import VARIABLE, Lockdown, lock_down
{}
os.environ[VARIABLE] = Lockdown(128, 5, 1, 32, 1, seccomp=False).to_text()
lock_down()
held = []
try:
    while True:
        held.append(bytearray(2**20))
except MemoryError:
    print(len(held))
"""


def _in_a_jails_allocator(script: str, argument: str, *filled: str) -> list[int]:
    """The numbers that it prints, run with malloc as in a jail, which cannot read /sys."""
    settings = {k: v for k, v in environment(1).items() if k.startswith("MALLOC_")}
    text = script.format(*filled) if filled else script
    done = subprocess.run(
        [sys.executable, "-c", text, argument],
        capture_output=True, text=True, check=True, timeout=60, env=os.environ | settings,
    )  # fmt: skip
    return [int(number) for number in done.stdout.split()]


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
    assert guest_pages.make_room() == guest_pages.spare() == 0


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
