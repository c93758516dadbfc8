"""
number = 24
name = "Namespaces, mounts and roots of its own"
roles = ["attack", "defense"]
stopped_by = ["seccomp", "namespaces"]
ends = "scored"
"""

import ctypes
import os
import signal

from hostile import child_of, players, syscall, through

KINDS = {
    "user": 0x1000_0000, "mount": 0x0002_0000, "pid": 0x2000_0000, "net": 0x4000_0000,
    "ipc": 0x0800_0000, "uts": 0x0400_0000, "cgroup": 0x0200_0000, "time": 0x80,
}  # fmt: skip


def attempt():
    for name, flag in KINDS.items():
        yield from through(f"unshare {name}", lambda f=flag: syscall("unshare", f))
        made = child_of(lambda f=flag: syscall("clone", f | signal.SIGCHLD, 0, 0, 0, 0))
        yield from through(f"clone {name}", made)
        arguments = (ctypes.c_uint64 * 11)(flag, 0, 0, 0, signal.SIGCHLD)
        made = child_of(lambda a=arguments: syscall("clone3", a, 88))
        yield from through(f"clone3 {name}", made)
    calls = {
        "mount": lambda: syscall("mount", b"none\0", b"/tmp\0", b"tmpfs\0", 0, 0),
        "remount": lambda: syscall("mount", 0, b"/\0", 0, 0x20 | 0x1000, 0),
        "bind": lambda: syscall("mount", b"/usr\0", b"/tmp\0", 0, 0x1000, 0),
        "umount": lambda: syscall("umount2", b"/sub\0", 2),
        "pivot_root": lambda: syscall("pivot_root", b"/tmp\0", b"/tmp\0"),
        "chroot": lambda: os.chroot("/tmp"),
        "open_tree": lambda: syscall("open_tree", -100, b"/\0", 1),
        "fsopen": lambda: syscall("fsopen", b"tmpfs\0", 0),
        "mount_setattr": lambda: syscall("mount_setattr", -100, b"/\0", 0, bytes(32), 32),
        "handle": lambda: syscall("name_to_handle_at", -100, b"/\0", bytes(256), bytes(8), 0),
        "by handle": lambda: syscall("open_by_handle_at", os.open("/", 0), bytes(256), 0),
        "setns": lambda: syscall("setns", 0, 0),
        "host name": lambda: ctypes.CDLL(None).sethostname(b"arena-hostile", 13) or None,
    }
    for name, call in calls.items():
        if name != "host name":
            yield from through(name, call)
    if ctypes.CDLL(None).sethostname(b"arena-hostile", 13) == 0:
        yield "host name"


Attack, Defense = players(attempt)
