"""The jail of one player behind a kernel of its own: gVisor's ``runsc``, one sandbox per player.

Between the player and the host's kernel stands gVisor's, a program in Go that answers every
system call itself and lets few of them through. A bug of Linux that a player reaches through
bubblewrap's walls is not there to be reached. The price: a start of a second or more, and each
answer some hundred microseconds later. Chosen where the machine offers nothing faster that is
strong enough, or by name (:mod:`.choice`).

The walls inside are the same: :func:`arena.sandbox.view.host_view` alone, read-only, two private
tmpfs, no network (``--network=none``: not even a loopback card), no capability, and
``guest_lockdown``, whose limits and filter gVisor enforces. ``runsc`` runs rootless, in a user
namespace of its own; as root it first becomes a free unprivileged user, as bubblewrap does.

The socket goes in as standard input, which every version of runsc passes on as it is (``--pass-fd``
came later); ``guest_start`` moves it to descriptor 3.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from arena.errors import SandboxUnavailable
from arena.rounds import Limits
from arena.sandbox import cgroup, uids, view
from arena.sandbox.backend import JailSpec, Strength
from arena.sandbox.guest_lockdown import VARIABLE
from arena.sandbox.limits import lockdown
from arena.sandbox.running import LogDrain, RunningJail, stream_pair
from arena.sandbox.spawn import spawner
from arena.tasks.task import Device

CHILD: Final = "arena.sandbox.child"
_MIB: Final = 1024 * 1024
_KIB: Final = 1024
_NOBODY: Final = 65534
_OWN_MIB: Final = 512
"""What gVisor's kernel may need beside the player: its own heap, and the files it holds."""
_OWN_THREADS: Final = 400
"""Of gVisor's kernel, its file server and the runtime of Go: each some dozens."""
_PROCESSOR: Final = Path("/proc/cpuinfo")
"""All that a player finds in /proc, as a copy: libraries choose their instructions by it."""
_PREFIX: Final = "arena-gvisor-"
_STARTED: Final = "started"
_STDIN: Final = "0"
_PR_SET_PDEATHSIG: Final = 1
_FLAGS: Final = (
    "--rootless",
    "--network=none",
    "--ignore-cgroups",
    "--overlay2=none",
    "--file-access-mounts=exclusive",
    "--log=/dev/null",
)
"""``exclusive``: what is shown changes for nobody, so gVisor need not ask the host again."""
_COVERED: Final = ("/sys", "/dev/shm", "/dev/mqueue", "/dev/pts", "/dev/net")  # noqa: S108
"""gVisor's own, of which a player needs nothing. What else is in its /dev is of its own making."""


REMEDY: Final = (
    "For gVisor, which puts a kernel of its own between guests and the host's: install runsc "
    "(https://gvisor.dev/docs/user_guide/install/) where all users can run it. It needs user "
    "namespaces, as bubblewrap does."
)


@dataclass
class GvisorBackend:
    """Starts jails with ``runsc``; without ``binary``, the one on PATH."""

    binary: Path | None = None
    name: str = "gvisor"
    strength: Strength = Strength.VIRTUAL

    def start(self, spec: JailSpec) -> RunningJail:
        """Start a jail; returns at once, before the interpreter inside is up.

        Raises:
            SandboxUnavailable: the machine refuses; the message names the remedy.
        """
        if spec.device is Device.CUDA:
            raise SandboxUnavailable(
                "Behind gVisor no player sees a GPU: play this task behind bubblewrap."
            )
        return self.start_module(CHILD, spec.limits)

    def start_module(self, module: str, limits: Limits, *arguments: str) -> RunningJail:
        """As :meth:`start`, with any of the jail's modules (the self-test's probes)."""
        shown = _shown(self.binary or find_binary())
        with ExitStack() as undo:
            ours, theirs = stream_pair()
            undo.callback(ours.close)
            with theirs:
                jail = _Launch(shown, limits, (module, _STDIN, *arguments)).run(ours, theirs)
            undo.pop_all()
        return jail


def find_backends() -> list[GvisorBackend]:
    """One on Linux, which says itself what it lacks; none elsewhere."""
    return [GvisorBackend()] if sys.platform == "linux" else []


def find_binary() -> Path:
    """The ``runsc`` on PATH.

    Raises:
        SandboxUnavailable: it is not installed.
    """
    found = shutil.which("runsc")
    if found is None:
        raise SandboxUnavailable("gVisor's runsc is not installed.")
    return Path(found).resolve()


# --- the same for every jail of this process ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """``binary`` and the view's ``binds``, under names that an unprivileged user can open.

    ``base``: where this process's bundles lie, and the same place under its name for that user.
    """

    binary: Path
    binds: tuple[tuple[Path, str], ...]
    base: Path
    base_inside: Path


@cache
def _shown(binary: Path) -> Shown:
    view_of_host = view.host_view()
    base = _base()
    binds = [bind for bind in view_of_host.binds if bind.source != _PROCESSOR]
    names = spawner().reachable([binary, base, *(bind.source for bind in binds)])
    return Shown(
        names[binary],
        tuple((names[bind.source], bind.target) for bind in binds),
        base,
        names[base],
    )


def _base() -> Path:
    """A directory of this process, gone with it; those of killed processes are swept up."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = left.name.removeprefix(_PREFIX).split("-")[0]
        if not Path("/proc", owner).exists():
            shutil.rmtree(left, ignore_errors=True)
    base = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    base.chmod(0o755)
    atexit.register(_remove, base, os.getpid())
    return base


def _remove(base: Path, owner: int) -> None:
    """At the end of the process that made it, not of one forked from it."""
    if os.getpid() == owner:
        shutil.rmtree(base, ignore_errors=True)


# --- one start ----------------------------------------------------------------------------------


class GvisorJail(RunningJail):
    """``runsc`` in the place of the player: it ends with the player's status, or its own."""

    started: Path | None = None
    """A file that runsc writes once the player's first process runs."""

    def _exit_code(self) -> int | None:
        """None when runsc failed before it ran the player."""
        if self.started is not None and not self.started.exists():
            return None
        return super()._exit_code()


@dataclass(frozen=True)
class _Launch:
    """One start of one jail."""

    shown: Shown
    limits: Limits
    command: tuple[str, ...]

    def run(self, ours: socket.socket, theirs: socket.socket) -> RunningJail:
        with ExitStack() as undo, ExitStack() as given:
            bundle = Path(tempfile.mkdtemp(dir=self.shown.base))
            undo.callback(shutil.rmtree, bundle, ignore_errors=True)
            group = cgroup.make_group(self._room(), undo)
            dropped = self._dropped(undo)
            self._write(bundle, owner=dropped.get("user"))
            log, log_end = os.pipe()
            given.callback(os.close, log_end)
            drain = LogDrain(log, cap=self.limits.log_kib * _KIB)
            doors = [
                _opened(directory, given) for directory in (group.directories if group else ())
            ]
            process = spawner().popen(
                self._words(bundle),
                stdin=theirs,
                stdout=log_end,
                stderr=log_end,
                cwd="/",
                env={"PATH": "/usr/bin:/bin"},
                process_group=0,
                preexec_fn=partial(_enter, doors),
                pass_fds=doors,
                **dropped,
            )
            jail = GvisorJail(
                socket=ours,
                process=process,
                limits=self.limits,
                drain=drain,
                group=group,
                on_end=undo.pop_all().close,
            )
            jail.started = bundle / _STARTED
            return jail

    def _words(self, bundle: Path) -> list[str]:
        inside = self.shown.base_inside / bundle.name
        return [
            *(str(self.shown.binary), *_FLAGS, f"--root={inside / 'state'}", "run"),
            *("--bundle", str(inside), "--pid-file", str(inside / _STARTED), bundle.name),
        ]

    def _room(self) -> Limits:
        """What the control group may hold; the player's own limit is set inside."""
        return replace(
            self.limits,
            memory_mib=self.limits.memory_mib + _OWN_MIB,
            threads=self.limits.threads + _OWN_THREADS,
        )

    def _dropped(self, undo: ExitStack) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        claimed = uids.claim()
        undo.callback(claimed.release)
        return {"user": claimed.uid, "group": claimed.uid, "extra_groups": []}

    def _write(self, bundle: Path, *, owner: int | None) -> None:
        """The bundle: a root of mount points, our code, and the description of both."""
        root = bundle / "rootfs"
        root.mkdir()
        for target, link in view.host_view().links:
            path = root / link.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
        (bundle / "state").mkdir()
        (bundle / "proc").mkdir()
        (bundle / "proc" / _PROCESSOR.name).write_bytes(_PROCESSOR.read_bytes())
        (bundle / "arena-lib.zip").write_bytes(view.arena_lib())
        (bundle / "config.json").write_text(json.dumps(self._description(bundle)))
        if owner is not None:
            for path in (bundle, *bundle.rglob("*")):
                os.chown(path, owner, owner, follow_symlinks=False)

    def _description(self, bundle: Path) -> dict[str, Any]:
        """config.json of the OCI runtime specification 1.0."""
        variables = view.environment(self.limits.threads)
        if view.host_view().library_path:
            variables["LD_LIBRARY_PATH"] = view.host_view().library_path
        variables[VARIABLE] = lockdown(self.limits).to_text()
        return {
            "ociVersion": "1.0.0",
            "hostname": "jail",
            "root": {"path": "rootfs", "readonly": True},
            "mounts": [*self._mounts(bundle)],
            "process": {
                "args": [view.PYTHON, *view.interpreter_arguments(), *self.command],
                "cwd": view.SUBMISSION,
                "env": [f"{name}={value}" for name, value in variables.items()],
                "user": {"uid": _NOBODY, "gid": _NOBODY},
                "capabilities": {},
                "noNewPrivileges": True,
            },
            "linux": {
                "namespaces": [
                    {"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")
                ],
            },
        }

    def _mounts(self, bundle: Path) -> Iterator[dict[str, Any]]:
        for target in (*_COVERED, *view.host_view().hidden):
            yield _tmpfs(target, "ro", "mode=0555", "size=4096")
        inside = self.shown.base_inside / bundle.name
        own = ((inside / "proc", "/proc"), (inside / "arena-lib.zip", view.ARENA_LIB))
        for source, target in (*self.shown.binds, *own):
            yield _bind(source, target, "ro", "nosuid", "nodev")
        size = f"size={self.limits.disk_mib * _MIB}"
        for target in ("/tmp", view.SUBMISSION):  # noqa: S108 - the jail's own
            yield _tmpfs(target, "rw", "nosuid", "nodev", "noexec", "mode=1777", size)


def _tmpfs(target: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": "tmpfs", "source": "tmpfs", "options": list(options)}


def _bind(source: Path, target: str, *options: str) -> dict[str, Any]:
    words = ["rbind", *options]
    return {"destination": target, "type": "bind", "source": str(source), "options": words}


def _opened(directory: Path, until: ExitStack) -> int:
    descriptor = os.open(directory / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    until.callback(os.close, descriptor)
    return descriptor


def _enter(doors: list[int]) -> None:
    """In the new process, before runsc: into its control group, by files that root has opened.

    And die with the thread that forked us: runsc hands that on to gVisor's own processes.
    """
    for door in doors:
        os.write(door, b"0")
        os.close(door)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
