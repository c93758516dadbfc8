"""How a round's limits become the walls that the jailed process puts up around itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from arena.rounds import Limits
from arena.sandbox import gpu
from arena.sandbox.guest_lockdown import Lockdown
from arena.tasks.task import Device

EVERYTHING: Final = ("/",)
"""What may be read in a jail with mounts of its own: all that they show."""
SEALED: Final = ("/sub",)
"""Where a player's files lie: read-only from before its first line runs."""
_SIBLINGS: Final = 8
OWN_FILES: Final = ("/tmp", "/dev/null")  # noqa: S108 - the jail's own


def lockdown(limits: Limits, device: Device = Device.CPU) -> Lockdown:
    """The lockdown of a jail that has namespaces of its own."""
    on_gpu = device is Device.CUDA
    return Lockdown(
        readable=EVERYTHING,
        writable=(*OWN_FILES, *(str(node) for node in gpu.required())) if on_gpu else OWN_FILES,
        cuda=on_gpu,
        memory_mib=limits.memory_mib,
        cpu_seconds=limits.cpu_seconds,
        threads=limits.threads,
        open_files=limits.open_files,
        disk_mib=limits.disk_mib,
    )


def forked_lockdown(limits: Limits) -> Lockdown:
    """The lockdown of a zygote's child: it still holds capabilities, and has mounts to seal.

    Its limit on threads is shared with the other jails of its outer, which has one user: one
    match's own, at most :data:`_SIBLINGS` at a time.
    """
    return replace(lockdown(limits), sealed=SEALED, siblings=_SIBLINGS)
