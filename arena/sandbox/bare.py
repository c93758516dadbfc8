"""For the arena's own players where no namespaces are to be had: a process, with what is left.

``landlock``: the file system closed by Landlock, system calls filtered, rlimits. ``process``:
rlimits alone. Neither hides other processes or the network card the way a namespace does; a guest
is never started here (:func:`arena.sandbox.choose`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from arena.errors import SandboxUnavailable
from arena.rounds import Limits
from arena.sandbox import landlock, seccomp, view
from arena.sandbox.backend import JailSpec, Strength
from arena.sandbox.guest_lockdown import VARIABLE, Lockdown
from arena.sandbox.limits import lockdown
from arena.sandbox.running import LogDrain, RunningJail, stream_pair
from arena.sandbox.spawn import spawner
from arena.tasks.task import Device

CHILD: Final = "arena.sandbox.child"
_KIB: Final = 1024
_READABLE_DEVICES: Final = ("/dev/zero", "/dev/random", "/dev/urandom")


@dataclass
class BareBackend:
    """Starts players as plain processes, each with a private directory that goes with it."""

    name: str
    strength: Strength

    def start(self, spec: JailSpec) -> RunningJail:
        """Start a process; returns at once, before the interpreter is up."""
        if spec.device is Device.CUDA:
            raise SandboxUnavailable(
                f"Behind {self.name!r} no player sees a GPU: play this task behind bubblewrap."
            )
        return self.start_module(CHILD, spec.limits)

    def start_module(self, module: str, limits: Limits, *arguments: str) -> RunningJail:
        """As :meth:`start`, with any of the jail's modules (the self-test's probes)."""
        with ExitStack() as files, ExitStack() as undo:
            home = Path(tempfile.mkdtemp(prefix="arena-jail-"))
            undo.callback(shutil.rmtree, home, ignore_errors=True)
            ours, theirs = stream_pair()
            files.callback(theirs.close)
            log, log_end = os.pipe()
            files.callback(os.close, log_end)
            drain = LogDrain(log, cap=limits.log_kib * _KIB)
            based = ("--base", str(home)) if module == CHILD else ()
            process = spawner().popen(
                [*self._interpreter(home), module, str(theirs.fileno()), *based, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log_end,
                stderr=log_end,
                cwd=home,
                env=self._environment(limits, home),
                process_group=0,
                pass_fds=[theirs.fileno()],
            )
            return RunningJail(ours, limits, drain, process=process, on_end=undo.pop_all().close)

    def _interpreter(self, home: Path) -> list[str]:
        lib = home / "arena-lib.zip"
        lib.write_bytes(view.arena_lib())
        site = home / "site"
        for bind in view.host_view().binds:
            if bind.target.startswith(f"{view.SITE}/"):
                link = site / bind.target.removeprefix(f"{view.SITE}/")
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(bind.source)
        return [str(view.executable()), *view.interpreter_arguments(str(lib), str(site))]

    def _environment(self, limits: Limits, home: Path) -> dict[str, str]:
        variables = view.environment(limits.threads, str(home))
        return {**variables, VARIABLE: self._lockdown(limits, home).to_text()}

    def _lockdown(self, limits: Limits, home: Path) -> Lockdown:
        wanted = replace(lockdown(limits), own_namespaces=False)
        if self.strength < Strength.LANDLOCK:
            on_linux = sys.platform == "linux"
            return replace(
                wanted,
                seccomp=False,
                memory_mib=wanted.memory_mib if on_linux else None,
                readable=(),
                writable=(),
            )
        shown = [str(bind.source) for bind in view.host_view().binds]
        return replace(
            wanted,
            readable=(*shown, *_READABLE_DEVICES),
            writable=(str(home), "/dev/null"),
        )


def find_backends() -> list[BareBackend]:
    """What this machine offers without namespaces, the strongest first."""
    found = [BareBackend("process", Strength.NONE)]
    if landlock.abi() and seccomp.machine():
        found.insert(0, BareBackend("landlock", Strength.LANDLOCK))
    return found
