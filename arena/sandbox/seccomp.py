"""System call filters: allow lists assembled here as classic BPF, without libseccomp.

Two filters, one inside the other. :func:`start_filter` is on from before the interpreter starts:
bubblewrap's own init and the interpreter live under it. :func:`player_filter` is put on top by the
child right before it loads a player, and takes away what only starting needed, ``execve`` first.

What is not listed fails with EPERM, so that a library's probing of the kernel ends in its
fallback and not in a dead player. System calls of another ABI (x32, i386) end the process: no
honest program makes them. Some are listed by argument: ``clone`` for threads alone,
``fcntl`` without locks, leases and notifications (two jails share the inodes of /usr), ``futex``
among the threads of one process (else its key is such an inode too), ``madvise`` without what
reaches into the page cache, ``prctl`` for a thread's name, ``sendto`` and ``recvfrom`` without
flags. ``fsync`` and its kin succeed and do nothing.

Of note by their absence: ``socket`` and ``socketpair`` (vsock is not bound by network
namespaces), ``kill``, ``ptrace`` and its kin, ``keyctl`` (keyrings are shared by uid),
``memfd_create``, ``mincore``, ``cachestat``, ``preadv2`` and ``fadvise64`` (they see or steer the
shared page cache), ``flock``, ``io_uring``, ``userfaultfd``, ``bpf``, ``perf_event_open``,
``utimensat`` (the times of /dev/null are the machine's own: a letter box between jails),
``statfs`` (free blocks of shared disks), ``sysinfo`` (free memory and threads of the machine),
``pipe`` (its inode's number counts those of the whole machine), ``sendmsg`` (descriptors under way
are counted by user), ``link`` and ``symlink``, every mount call.

Runs on both sides of the wall; needs the standard library alone.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

_Numbers = tuple[int, int | None]
"""Of x86_64 and of aarch64; None where that one lacks the call."""

_PLAYER: Final[dict[str, _Numbers]] = {
    # Files: what the mounts allow is decided by the mounts; no links, no ownership, no attributes.
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "close": (3, 57),
    "close_range": (436, 436),
    "lseek": (8, 62),
    "open": (2, None),
    "openat": (257, 56),
    "creat": (85, None),
    "stat": (4, None),
    "lstat": (6, None),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "getdents64": (217, 61),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "chdir": (80, 49),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "truncate": (76, 45),
    "ftruncate": (77, 46),
    "fallocate": (285, 47),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "umask": (95, 166),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "sendfile": (40, 71),
    # Memory.
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "mprotect": (10, 226),
    "brk": (12, 214),
    # The one socket that is there.
    "shutdown": (48, 210),
    "getsockname": (51, 204),
    # Time.
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "alarm": (37, None),
    "setitimer": (38, 103),
    "getitimer": (36, 102),
    # Signals to itself.
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136),
    "rt_sigsuspend": (130, 133),
    "rt_sigtimedwait": (128, 137),
    "sigaltstack": (131, 132),
    "pause": (34, None),
    "restart_syscall": (219, 128),
    # Threads.
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "getcpu": (309, 168),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "gettid": (186, 178),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "set_tid_address": (218, 96),
    # What it is.
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getresuid": (118, 148),
    "getresgid": (120, 150),
    "getgroups": (115, 158),
    "getpgrp": (111, None),
    "getpgid": (121, 155),
    "getsid": (124, 156),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "uname": (63, 160),
    "getrandom": (318, 278),
}
_BY_ARGUMENT: Final[dict[str, _Numbers]] = {
    "clone": (56, 220),
    "clone3": (435, 435),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "madvise": (28, 233),
    "tgkill": (234, 131),
    "futex": (202, 98),
    "recvfrom": (45, 207),
    "sendto": (44, 206),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "msync": (26, 227),
}
_START: Final[dict[str, _Numbers]] = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "capset": (126, 91),
    "execve": (59, 221),
    "wait4": (61, 260),
    "arch_prctl": (158, None),
    "seccomp": (317, 277),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "setrlimit": (160, 164),
    "madvise": (28, 233),
    "tgkill": (234, 131),
    "futex": (202, 98),
    "sysinfo": (99, 179),
    "sendmsg": (46, 211),
    "getsockopt": (55, 209),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}

_REFEREE: Final[dict[str, _Numbers]] = {
    "recvmsg": (47, 212),
    "sendmsg": (46, 211),
}
"""What the referee calls beside: players' streams are handed to it, and it waits for no player."""

_CUDA: Final[dict[str, _Numbers]] = {
    "eventfd2": (290, 19),
    "get_mempolicy": (239, 236),
    "mincore": (27, 232),
    "pipe": (22, None),
    "pipe2": (293, 59),
}
"""What NVIDIA's driver library calls beside ``ioctl``, in a jail that sees a GPU."""

# Conditions on arguments. Commands and options are 32-bit for the kernel: it ignores the rest.
_CLONE_THREAD_FLAGS: Final = 0x00010F00  # THREAD | SIGHAND | FILES | FS | VM
_CLONE_FORBIDDEN: Final = 0x7E02_E000 | 0x1000 | 0x80  # NEW*, PARENT, VFORK, PTRACE; PIDFD; NEWTIME
_FCNTL: Final = (0, 1, 2, 3, 4, 1030)  # DUPFD, GETFD, SETFD, GETFL, SETFL, DUPFD_CLOEXEC
_IOCTL: Final = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_TERMINAL: Final = (0x5412, 0x541C)
"""TIOCSTI, TIOCLINUX: what a driver's own ioctls are not."""
_FUTEX_PRIVATE: Final = 128
_PLAIN: Final = (0,)
"""Flags of sending and receiving: no urgent byte (MSG_OOB), no peeking."""
_PRCTL: Final = (15, 16)  # PR_SET_NAME, PR_GET_NAME
_MADVISE: Final = (0, 1, 2, 3, 4, 8, 14, 15, 16, 17)
"""NORMAL to DONTNEED, FREE, (NO)HUGEPAGE, DONTDUMP, DODUMP."""

# linux/bpf_common.h, linux/seccomp.h, linux/audit.h
_LOAD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_JUMP_AT_LEAST: Final = 0x35
_JUMP_ANY_BIT: Final = 0x45
_AND: Final = 0x54
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF_0000
_ERRNO: Final = 0x0005_0000
_KILL_PROCESS: Final = 0x8000_0000
_X32: Final = 0x4000_0000
_NR: Final = 0
_ARCHITECTURE: Final = 4
_ARGUMENTS: Final = 16

_PR_SET_NO_NEW_PRIVS: Final = 38
_SET_MODE_FILTER: Final = 1
_TSYNC: Final = 1
_SECCOMP: Final[_Numbers] = (317, 277)


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor architecture: ``audit`` is its AUDIT_ARCH, ``column`` its place in the tables."""

    audit: int
    column: int


MACHINES: Final = {
    "x86_64": Machine(0xC000_003E, 0),
    "aarch64": Machine(0xC000_00B7, 1),
}


def machine(name: str | None = None) -> Machine | None:
    """This machine's architecture, None where no filter is known for it."""
    return MACHINES.get(name or platform.machine())


# --- assembling ---------------------------------------------------------------------------------


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _give(action: int) -> bytes:
    return _instruction(_RETURN, action)


_DENY: Final = _ERRNO | errno.EPERM
_INSTRUCTION_BYTES: Final = 8


def _when_call(number: int, then: bytes) -> bytes:
    """``then`` (which returns) if the call's number, held in the accumulator, is ``number``."""
    return _instruction(_JUMP_EQUAL, number, 0, len(then) // _INSTRUCTION_BYTES) + then


def _argument(index: int, *, high: bool = False) -> bytes:
    return _instruction(_LOAD, _ARGUMENTS + 8 * index + (4 if high else 0))


def _one_of(index: int, values: Iterable[int]) -> bytes:
    """Allow if the low half of an argument is one of ``values``."""
    tests = [_instruction(_JUMP_EQUAL, value, 0, 1) + _give(_ALLOW) for value in values]
    return _argument(index) + b"".join(tests) + _give(_DENY)


def _none_of(index: int, values: Iterable[int]) -> bytes:
    """Allow unless the low half of an argument is one of ``values``."""
    tests = [_instruction(_JUMP_EQUAL, value, 0, 1) + _give(_DENY) for value in values]
    return _argument(index) + b"".join(tests) + _give(_ALLOW)


def _private_futex() -> bytes:
    """Allow ``futex`` among the threads of one process.

    Others hang on the page of a shared file, and wake sleepers in other jails. To wait for one
    comes back at once, as if it had been woken: ``pthread_join`` looks again until it is right.
    """
    return (
        _argument(1)
        + _instruction(_JUMP_ANY_BIT, _FUTEX_PRIVATE, 0, 1)
        + _give(_ALLOW)
        + _give(_ERRNO | errno.EAGAIN)
    )


def _thread_only() -> bytes:
    """Allow ``clone`` for a thread of this process, in its namespaces."""
    return (
        _argument(0)
        + _instruction(_JUMP_ANY_BIT, _CLONE_FORBIDDEN, 3, 0)
        + _instruction(_AND, _CLONE_THREAD_FLAGS)
        + _instruction(_JUMP_EQUAL, _CLONE_THREAD_FLAGS, 0, 1)
        + _give(_ALLOW)
        + _give(_DENY)
    )


def _ask_own_limits() -> bytes:
    """Allow ``prlimit64`` to read the limits of the caller itself."""
    zero = [(0, False), (2, False), (2, True)]
    tests = [
        _argument(index, high=high) + _instruction(_JUMP_EQUAL, 0, 1, 0) + _give(_DENY)
        for index, high in zero
    ]
    return b"".join(tests) + _give(_ALLOW)


def _number(numbers: _Numbers, target: Machine) -> int | None:
    return numbers[target.column]


def _plain(calls: Iterable[_Numbers], target: Machine) -> bytes:
    numbers = (_number(call, target) for call in calls)
    return b"".join(_when_call(n, _give(_ALLOW)) for n in numbers if n is not None)


def _by_argument(rules: dict[str, bytes], target: Machine) -> bytes:
    known = ((_number(_BY_ARGUMENT[name], target), then) for name, then in rules.items())
    return b"".join(_when_call(number, then) for number, then in known if number is not None)


def _program(body: bytes, target: Machine) -> bytes:
    head = (
        _instruction(_LOAD, _ARCHITECTURE)
        + _instruction(_JUMP_EQUAL, target.audit, 1, 0)
        + _give(_KILL_PROCESS)
        + _instruction(_LOAD, _NR)
        + _instruction(_JUMP_AT_LEAST, _X32, 0, 1)
        + _give(_KILL_PROCESS)
    )
    return head + body + _give(_DENY)


def _here() -> Machine:
    found = machine()
    if found is None:
        raise OSError(errno.ENOSYS, f"No system call filter is known for {platform.machine()}")
    return found


def _common(*, cuda: bool) -> dict[str, bytes]:
    return {
        "clone": _thread_only(),
        "clone3": _give(_ERRNO | errno.ENOSYS),  # its flags lie in memory: libc falls back to clone
        "fcntl": _one_of(1, _FCNTL),
        "ioctl": _none_of(1, _TERMINAL) if cuda else _one_of(1, _IOCTL),
        "recvfrom": _one_of(3, _PLAIN),
        "sendto": _one_of(3, _PLAIN),
        # Done at once for files that lie in memory; on shared ones it would make the disk work.
        **dict.fromkeys(("fsync", "fdatasync", "msync"), _give(_ERRNO)),
    }


@cache
def start_filter(target: Machine | None = None, *, cuda: bool = False) -> bytes:
    """The filter for bubblewrap's init and the starting interpreter. ``cuda``: it sees a GPU."""
    target = target or _here()
    calls = (*_PLAYER.values(), *_START.values(), *(_CUDA.values() if cuda else ()))
    rules = _by_argument(_common(cuda=cuda), target)
    return _program(_plain(calls, target) + rules, target)


def player_filter(
    *,
    pid: int,
    receives_descriptors: bool = False,
    cuda: bool = False,
    target: Machine | None = None,
) -> bytes:
    """The filter for a player in the process ``pid``, which may signal none but itself.

    ``receives_descriptors``: for the referee, whom players' streams are handed to. ``cuda``: for a
    jail that sees a GPU.
    """
    target = target or _here()
    calls = [*_PLAYER.values(), *(_REFEREE.values() if receives_descriptors else ())]
    calls += _CUDA.values() if cuda else ()
    rules = _common(cuda=cuda) | {
        "prctl": _one_of(0, _PRCTL),
        "madvise": _one_of(2, _MADVISE),
        "prlimit64": _ask_own_limits(),
        "tgkill": _one_of(0, (pid,)),
        "futex": _private_futex(),
    }
    return _program(_plain(calls, target) + _by_argument(rules, target), target)


# --- installing ---------------------------------------------------------------------------------


class _Fprog(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def prctl(option: int, *values: int) -> None:
    """prctl(2).

    Raises:
        OSError: it failed.
    """
    libc = _libc()
    arguments = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}")


def set_no_new_privileges() -> None:
    """Set-uid programs and file capabilities mean nothing from here on."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def install(program: bytes) -> None:
    """Put a filter on every thread of this process, for good.

    Raises:
        OSError: the kernel refused, or a thread could not be reached.
    """
    set_no_new_privileges()
    libc = _libc()
    held = ctypes.create_string_buffer(program, len(program))
    count = len(program) // _INSTRUCTION_BYTES
    fprog = _Fprog(count, ctypes.addressof(held))
    number = _number(_SECCOMP, _here())
    result = libc.syscall(
        ctypes.c_long(number or 0),
        ctypes.c_ulong(_SET_MODE_FILTER),
        ctypes.c_ulong(_TSYNC),
        ctypes.byref(fprog),
    )
    if result != 0:
        raise OSError(ctypes.get_errno(), f"seccomp refused the filter ({result})")
