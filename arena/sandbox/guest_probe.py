"""What the self-test tries from inside a jail, after the last wall is up.

Every probe is an attempt that must fail; it returns what got through, and "" when nothing did.
System calls are tried with arguments that no kernel accepts: a wall answers EPERM before the
kernel looks at them, anything else (EFAULT, EINVAL, success) means that the call got there.

Runs inside the jail: ``python -m arena.sandbox.guest_probe``, its findings go to the socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import importlib.util
import json
import os
import resource
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from arena.sandbox import seccomp
from arena.sandbox.guest_lockdown import lock_down
from arena.sandbox.guest_start import SOCKET

FORBIDDEN_CALLS: Final[dict[str, dict[str, tuple[int, int | None]]]] = {
    "start programs, signal or read processes": {
        "execve": (59, 221),
        "execveat": (322, 281),
        "kill": (62, 129),
        "tkill": (200, 130),
        "rt_sigqueueinfo": (129, 138),
        "pidfd_open": (434, 434),
        "pidfd_send_signal": (424, 424),
        "pidfd_getfd": (438, 438),
        "ptrace": (101, 117),
        "process_vm_readv": (310, 270),
        "process_vm_writev": (311, 271),
        "process_madvise": (440, 440),
        "kcmp": (312, 272),
    },
    "open sockets": {
        "socket": (41, 198),
        "socketpair": (53, 199),
        "bind": (49, 200),
        "connect": (42, 203),
        "listen": (50, 201),
        "accept4": (288, 242),
        "setsockopt": (54, 208),
        "sendmsg": (46, 211),
        "recvmsg": (47, 212),
    },
    "make namespaces or mounts": {
        "unshare": (272, 97),
        "setns": (308, 268),
        "mount": (165, 40),
        "umount2": (166, 39),
        "pivot_root": (155, 41),
        "chroot": (161, 51),
        "open_tree": (428, 428),
        "open_tree_attr": (467, 467),
        "statmount": (457, 457),
        "listmount": (458, 458),
        "move_mount": (429, 429),
        "fsopen": (430, 430),
        "fsmount": (432, 432),
        "mount_setattr": (442, 442),
        "name_to_handle_at": (303, 264),
        "open_by_handle_at": (304, 265),
    },
    "reach deep into the kernel": {
        "bpf": (321, 280),
        "perf_event_open": (298, 241),
        "io_uring_setup": (425, 425),
        "io_uring_enter": (426, 426),
        "userfaultfd": (323, 282),
        "keyctl": (250, 219),
        "add_key": (248, 217),
        "request_key": (249, 218),
        "init_module": (175, 105),
        "finit_module": (313, 273),
        "kexec_load": (246, 104),
        "reboot": (169, 142),
        "swapon": (167, 224),
        "personality": (135, 92),
        "modify_ldt": (154, None),
        "iopl": (172, None),
        "ioperm": (173, None),
        "syslog": (103, 116),
        "acct": (163, 89),
        "quotactl": (179, 60),
        "settimeofday": (164, 170),
        "clock_settime": (227, 112),
        "adjtimex": (159, 171),
        "seccomp": (317, 277),
    },
    "share memory or messages": {
        "shmget": (29, 194),
        "semget": (64, 190),
        "msgget": (68, 186),
        "mq_open": (240, 180),
        "memfd_create": (319, 279),
        "memfd_secret": (447, 447),
        "inotify_init1": (294, 26),
        "fanotify_init": (300, 262),
        "vmsplice": (278, 75),
        "tee": (276, 77),
        "splice": (275, 76),
        "eventfd2": (290, 19),
        "futex_waitv": (449, 449),
        "futex_wake": (454, 454),
        "futex_wait": (455, 455),
    },
    "count what the whole machine holds": {
        "sysinfo": (99, 179),
        "pipe2": (293, 59),
    },
    "watch or steer the page cache": {
        "mincore": (27, 232),
        "cachestat": (451, 451),
        "fadvise64": (221, 223),
        "readahead": (187, 213),
        "preadv2": (327, 286),
        "pwritev2": (328, 287),
        "statfs": (137, 43),
        "fstatfs": (138, 44),
        "flock": (73, 32),
    },
    "gain privileges or priority": {
        "setuid": (105, 146),
        "setgid": (106, 144),
        "setgroups": (116, 159),
        "setresuid": (117, 147),
        "capset": (126, 91),
        "setpriority": (141, 140),
        "sched_setscheduler": (144, 119),
        "sched_setattr": (314, 274),
        "sched_setaffinity": (203, 122),
        "ioprio_set": (251, 30),
        "mlockall": (151, 230),
        "setrlimit": (160, 164),
    },
    "plant links or nodes": {
        "symlinkat": (266, 36),
        "linkat": (265, 37),
        "mknodat": (259, 33),
        "setxattr": (188, 5),
        "fchownat": (260, 54),
        "utimensat": (280, 88),
    },
}
"""Calls by what a player could do with them: (number on x86_64, on aarch64)."""

_TOP_LEVEL: Final = {
    *("arena-lib.zip", "dev", "etc", "lib", "lib32", "lib64", "nix", "gnu", "proc", "python"),
    *("site", "sub", "tmp", "usr"),
}
_HOST_PATHS: Final = (
    *("/etc/passwd", "/etc/shadow", "/etc/hostname", "/etc/hosts", "/root", "/home", "/var"),
    *("/run", "/opt", "/srv", "/boot", "/mnt", "/bin", "/usr/bin", "/usr/share", "/var/tmp"),  # noqa: S108 - tried, must fail
)
_PROCESS_PATHS: Final = (
    *("/proc/self/environ", "/proc/self/mem", "/proc/self/fd", "/proc/1/environ", "/proc/net/tcp"),
    *("/proc/mounts", "/proc/meminfo", "/proc/sys/kernel/hostname", "/sys/class/net"),
)
_DEVICE_PATHS: Final = (
    *("/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/dev/tty"),
    *("/dev/kvm", "/dev/vsock", "/dev/net/tun"),
)
_SHARED_DEVICE_PATHS: Final = ("/dev/ptmx", "/dev/shm", "/dev/fuse", "/dev/mqueue")  # noqa: S108
_ENVIRONMENT: Final = {
    *("HOME", "TMPDIR", "USER", "LOGNAME", "LANG", "PATH", "PWD", "PYTHONHASHSEED"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "JOBLIB_MULTIPROCESSING"),
    *("LD_LIBRARY_PATH", "LC_CTYPE", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"),
    *("GLIBC_TUNABLES", "ORT_DISABLE_TELEMETRY"),
}
_FOREIGN_MODULES: Final = (
    *("django", "celery", "redis", "valkey", "psycopg", "rest_framework", "playwright", "pytest"),
    *("httpx", "requests", "pip", "setuptools", "config", "submissions", "accounts", "tournaments"),
    *("arena.tasks", "arena.referee", "arena.games", "arena.house", "arena.oracle"),
    *("arena.rounds", "arena.threat_model", "arena.sandbox.bubblewrap", "arena.sandbox.choice"),
)
_READ_ONLY: Final = (
    *("/", "/dev", "/etc", "/proc", "/python", "/python/lib", "/site", "/site/numpy", "/usr"),
    *("/usr/lib", "/home", "/var/tmp", "/run", "/dev/shm"),  # noqa: S108
)
_TIOCSTI: Final = 0x5412
_F_SETLEASE: Final = 1024
_F_NOTIFY: Final = 1026
_PR_SET_DUMPABLE: Final = 4
_DESCRIPTORS: Final = 1024


@dataclass(frozen=True, slots=True)
class Probe:
    """``attempt`` returns what got through. ``landlock``: Landlock and seccomp must stop it too.

    ``virtual``: must be stopped also where the kernel is the jail's own, and shared with nobody.
    """

    name: str
    attempt: Callable[[], str]
    landlock: bool = True
    virtual: bool = True


def _listed(found: Iterable[str]) -> str:
    return ", ".join(found)


# --- files --------------------------------------------------------------------------------------


def _opens(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def _read(paths: Iterable[str]) -> Callable[[], str]:
    return lambda: _listed(path for path in paths if _opens(path))


def _top_level() -> str:
    """An entry of the root that no jail has. gVisor's has a /sys, with nothing in it."""
    unknown = sorted(set(os.listdir("/")) - _TOP_LEVEL)  # noqa: PTH208 - names only
    return _listed(name for name in unknown if name != "sys" or os.listdir("/sys"))  # noqa: PTH208


def _writable() -> str:
    return _listed(path for path in (*_READ_ONLY, *_hidden()) if _writes(path))


def _writes(directory: str) -> bool:
    path = Path(directory, "arena-probe")
    try:
        path.touch()
    except OSError:
        return False
    with contextlib.suppress(OSError):
        path.unlink()
    return True


def _hidden() -> list[str]:
    """Where data sets, or the packages of other interpreters, would lie."""
    library = Path(os.__file__).parent
    found = [str(library / "site-packages"), str(library / "test")]
    spec = importlib.util.find_spec("sklearn")
    if spec is not None and spec.origin:
        data = Path(spec.origin).parent / "datasets"
        found += [str(data / name) for name in ("data", "descr", "images")]
    return found


def _bundled_data() -> str:
    return _listed(path for path in _hidden() if Path(path).is_dir() and any(Path(path).iterdir()))


def _foreign_modules() -> str:
    return _listed(name for name in _FOREIGN_MODULES if _is_importable(name))


def _is_importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


# --- what was left lying about ------------------------------------------------------------------


def _environment() -> str:
    return _listed(sorted(set(os.environ) - _ENVIRONMENT))


def _descriptors() -> str:
    return _listed(str(number) for number in range(SOCKET + 1, _DESCRIPTORS) if _is_open(number))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _host_name() -> str:
    name = os.uname().nodename
    return "" if name == "jail" else name


def _user() -> str:
    return "runs as root" if 0 in (os.getuid(), os.geteuid(), os.getgid()) else ""


# --- system calls -------------------------------------------------------------------------------


def _calls(numbers: dict[str, tuple[int, int | None]]) -> Callable[[], str]:
    return lambda: _listed(name for name, known in numbers.items() if _gets_through(known))


def _gets_through(known: tuple[int, int | None]) -> bool:
    machine = seccomp.machine()
    number = known[machine.column] if machine else None
    if number is None:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    nothing = [ctypes.c_long(-1)] * 6
    result = libc.syscall(ctypes.c_long(number), *nothing)
    return result != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS)


def _fork() -> str:
    try:
        pid = os.fork()
    except OSError:
        return ""
    if pid == 0:
        os._exit(0)
    return "a second process"


def _refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except OSError as error:
        return error.errno == errno.EPERM
    return False


def _locks() -> str:
    """Locks, leases and notifications on an inode that other jails see too."""
    with open(os.__file__, "rb") as shared:  # noqa: PTH123 - a descriptor is wanted
        commands = {
            "lock": lambda: fcntl.lockf(shared, fcntl.LOCK_SH | fcntl.LOCK_NB),
            "lease": lambda: fcntl.fcntl(shared, _F_SETLEASE, fcntl.F_RDLCK),
            "notification": lambda: fcntl.fcntl(shared, _F_NOTIFY, 1),
        }
        return _listed(name for name, call in commands.items() if not _refused(call))


def _terminal() -> str:
    return "" if _refused(lambda: fcntl.ioctl(0, _TIOCSTI, b"x")) else "ioctl TIOCSTI"


def _process_settings() -> str:
    return "" if _refused(lambda: seccomp.prctl(_PR_SET_DUMPABLE, 1)) else "prctl"


def _limits() -> str:
    kinds = ("CORE", "CPU", "FSIZE", "NOFILE", "AS")
    return _listed(kind for kind in kinds if _is_loose(getattr(resource, f"RLIMIT_{kind}")))


def _counts() -> str:
    """What the kernel counts by user, whom the forks of one zygote share."""
    kinds = ("SIGPENDING", "MSGQUEUE", "MEMLOCK")
    limits = {kind: resource.getrlimit(getattr(resource, f"RLIMIT_{kind}")) for kind in kinds}
    return _listed(kind for kind, limit in limits.items() if limit != (0, 0))


def _is_loose(kind: int) -> bool:
    hard = resource.getrlimit(kind)[1]
    if hard == resource.RLIM_INFINITY:
        return True
    try:
        resource.setrlimit(kind, (hard + 1, hard + 1))
    except (OSError, ValueError):
        return False
    return True


# --- and what must work -------------------------------------------------------------------------


def _unusable() -> str:
    """A jail that stops the honest player too is no jail."""
    ran = threading.Event()
    thread = threading.Thread(target=ran.set)
    thread.start()
    thread.join()
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
    missing = [name for name in ("numpy", "json", "ctypes") if not _is_importable(name)]
    return _listed([*missing, *([] if ran.is_set() else ["threads"])])


PROBES: Final = (
    Probe("read the host's files", _read(_HOST_PATHS)),
    Probe("find more than its own tree", _top_level, landlock=False),
    Probe("read processes and the system", _read(_PROCESS_PATHS)),
    Probe("open devices", _read(_DEVICE_PATHS)),
    Probe("open devices that jails share", _read(_SHARED_DEVICE_PATHS), virtual=False),
    Probe("write outside its own directories", _writable),
    Probe("find bundled data sets", _bundled_data, landlock=False),
    Probe("import the platform", _foreign_modules),
    Probe("find secrets in the environment", _environment),
    Probe("find open descriptors", _descriptors),
    Probe("learn the host's name", _host_name, landlock=False),
    Probe("be root", _user, landlock=False),
    *(Probe(name, _calls(numbers)) for name, numbers in FORBIDDEN_CALLS.items()),
    Probe("fork", _fork),
    Probe("lock shared files", _locks),
    Probe("type into a terminal", _terminal),
    Probe("change its process settings", _process_settings),
    Probe("raise its limits", _limits),
    Probe("fill what is counted by user", _counts, virtual=False),
    Probe("break the honest player", _unusable),
)


def run(probe: Probe) -> dict[str, Any]:
    """One finding; a probe that fails to run has found nothing out, and counts as got through."""
    try:
        through = probe.attempt()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        through = f"the probe itself failed: {error!r}"
    needed = {"landlock": probe.landlock, "virtual": probe.virtual}
    return {"name": probe.name, "through": through, **needed}


def main() -> None:
    lock_down()
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=SOCKET)
    if "x32" in sys.argv:
        ctypes.CDLL(None).syscall(ctypes.c_long(0x4000_0000 + 39))
    stream.sendall(json.dumps([run(probe) for probe in PROBES]).encode())
    stream.close()


if __name__ == "__main__":
    main()
