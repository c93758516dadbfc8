"""Landlock: a process closes the file system to itself, without any privilege (Linux 5.13).

For the backend without mounts of its own. What is not listed cannot be opened, listed, made or
run; from ABI 4 on TCP is closed too, from ABI 6 on abstract sockets and signals to others.
See https://docs.kernel.org/userspace-api/landlock.html.

Runs on both sides of the wall; needs the standard library alone.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Final

from arena.sandbox.seccomp import set_no_new_privileges

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
"""The same numbers on every architecture."""
_VERSION: Final = 1
_PATH_BENEATH: Final = 1

EXECUTE: Final = 1 << 0
WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
_TRUNCATE: Final = 1 << 14
_IOCTL_DEVICE: Final = 1 << 15
_ALL_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many file system rights each ABI knows."""
_FILE_RIGHTS: Final = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_TCP: Final = 0b11
_SCOPES: Final = 0b11
_ABI_TCP: Final = 4
_ABI_SCOPES: Final = 6


class _RulesetAttribute(ctypes.Structure):
    _fields_ = [
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    ]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    libc = _libc()
    result = int(libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result


@cache
def abi() -> int:
    """The kernel's Landlock version, 0 where it has none."""
    if sys.platform != "linux":
        return 0
    with suppress(OSError):
        return _call(
            _CREATE_RULESET, ctypes.c_void_p(), ctypes.c_size_t(0), ctypes.c_uint32(_VERSION)
        )
    return 0


def restrict(*, readable: Iterable[str], writable: Iterable[str]) -> None:
    """Close everything but these paths (and what lies below), for this process, for good.

    Raises:
        OSError: the kernel has no Landlock, or refused.
    """
    version = abi()
    every = (1 << _ALL_RIGHTS[min(version, max(_ALL_RIGHTS))]) - 1 if version else 0
    ruleset = _ruleset(version, every)
    try:
        for path in readable:
            _allow(ruleset, path, EXECUTE | READ_FILE | READ_DIR)
        for path in writable:
            _allow(ruleset, path, every & ~EXECUTE)
        set_no_new_privileges()
        _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _ruleset(version: int, every: int) -> int:
    attribute = _RulesetAttribute(
        every,
        _TCP if version >= _ABI_TCP else 0,
        _SCOPES if version >= _ABI_SCOPES else 0,
    )
    known = 8 * (1 + (version >= _ABI_TCP) + (version >= _ABI_SCOPES))
    return _call(
        _CREATE_RULESET, ctypes.byref(attribute), ctypes.c_size_t(known), ctypes.c_uint32(0)
    )


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= _FILE_RIGHTS
        rule = _PathBeneath(rights, opened)
        _call(
            _ADD_RULE,
            ctypes.c_int(ruleset),
            ctypes.c_int(_PATH_BENEATH),
            ctypes.byref(rule),
            ctypes.c_uint32(0),
        )
    finally:
        os.close(opened)
