"""Namespaces, mounts and capabilities of one process, by the kernel's own calls.

What a zygote's child does to be alone (:mod:`.guest_zygote`), and what it then gives up.

Runs inside the jail; needs the standard library alone. See namespaces(7) and capabilities(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
from functools import cache
from typing import Any, Final

from arena.sandbox import seccomp

NEW_MOUNTS: Final = 0x0002_0000
NEW_CGROUP: Final = 0x0200_0000
NEW_HOST_NAME: Final = 0x0400_0000
NEW_IPC: Final = 0x0800_0000
NEW_PROCESSES: Final = 0x2000_0000
NEW_NETWORK: Final = 0x4000_0000
USER_NAMESPACES: Final = "/proc/user-namespaces"
"""Where the limit on further user namespaces is shown, until it is set to none."""
SCRATCH: Final = ("/tmp", "/sub")  # noqa: S108 - the jail's own
FILES: Final = 4096
"""Inodes of one scratch directory."""
ALL_BUT_PROCESSES: Final = NEW_MOUNTS | NEW_CGROUP | NEW_HOST_NAME | NEW_IPC | NEW_NETWORK

_READ_ONLY: Final = 1
_NO_SETUID: Final = 2
_NO_DEVICES: Final = 4
_REMOUNT: Final = 32
_BIND: Final = 4096
_RECURSIVE: Final = 16384
_PRIVATE: Final = 1 << 18
_DETACH: Final = 2

_PR_CAPBSET_READ: Final = 23
_PR_CAPBSET_DROP: Final = 24
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION_3: Final = 0x2008_0522
_MOST_CAPABILITIES: Final = 64
_CAPSET: Final = {"x86_64": 126, "aarch64": 91}


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def leave(namespaces: int) -> None:
    """unshare(2). Raises OSError."""
    _checked(_libc().unshare(namespaces), "unshare")


def have_children_here(own: int) -> None:
    """Undo ``leave(NEW_PROCESSES)`` for later children; ``own`` is a pidfd of this process."""
    _checked(_libc().setns(own, NEW_PROCESSES), "setns")


def keep_mounts_private() -> None:
    """What is mounted from here on is seen by this namespace alone."""
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)


def forbid_user_namespaces() -> None:
    """Where /proc/sys is read-only, the players' system call filter stands alone."""
    with contextlib.suppress(OSError):
        with open(USER_NAMESPACES, "w") as limit:  # noqa: PTH123
            limit.write("0")
        unmount(USER_NAMESPACES)


def mount_scratch(target: str, *, size: int) -> None:
    """An empty tmpfs of ``size`` bytes and :data:`FILES` inodes, this process's own."""
    options = f"size={size},nr_inodes={FILES},mode=0700"
    _mount("tmpfs", target, "tmpfs", _NO_SETUID | _NO_DEVICES, options)


def bound_scratch(target: str) -> None:
    """At most :data:`FILES` inodes in a tmpfs that is there. Raises OSError."""
    _mount(None, target, None, _REMOUNT | _NO_SETUID | _NO_DEVICES, f"nr_inodes={FILES}")


def remount_read_only(target: str) -> None:
    """Nothing below ``target`` can be written from here on."""
    flags = _REMOUNT | _BIND | _READ_ONLY | _NO_SETUID | _NO_DEVICES
    _mount(None, target, None, flags)


def unmount(target: str) -> None:
    """umount2(2), lazily. Raises OSError."""
    _checked(_libc().umount2(target.encode(), _DETACH), f"umount {target}")


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, data: str | None = None
) -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
    result = _libc().mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    _checked(result, f"mount {target}")


def set_host_name(name: str) -> None:
    """sethostname(2). Raises OSError."""
    _checked(_libc().sethostname(name.encode(), len(name)), "sethostname")


def drop_capabilities() -> None:
    """All of them, for good: bounding, ambient, inheritable, permitted and effective.

    Where a policy of the system lets capabilities be held and not used (AppArmor's for
    bubblewrap), the bounding set stays: under no_new_privs nothing is gained from it any more.
    """
    for capability in range(_MOST_CAPABILITIES):
        if _libc().prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) < 0:
            break  # beyond the last one that this kernel knows
        with contextlib.suppress(PermissionError):
            seccomp.prctl(_PR_CAPBSET_DROP, capability)
    seccomp.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    number = ctypes.c_long(_CAPSET[platform.machine()])
    _checked(_libc().syscall(number, header, bytes(24)), "capset")
