"""How a round's limits become the walls that the jailed process puts up around itself."""

from __future__ import annotations

from arena.rounds import Limits
from arena.sandbox.guest_lockdown import Lockdown


def lockdown(limits: Limits) -> Lockdown:
    """The lockdown of a jail that has namespaces of its own."""
    return Lockdown(
        memory_mib=limits.memory_mib,
        cpu_seconds=limits.cpu_seconds,
        threads=limits.threads,
        open_files=limits.open_files,
        disk_mib=limits.disk_mib,
    )
