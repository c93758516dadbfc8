"""The jail."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arena.sandbox.backend import SandboxBackend


def choose(*, trusted: bool) -> SandboxBackend:
    """The strongest backend that works on this machine.

    Raises:
        SandboxUnavailable: guests (``trusted`` False) need namespaces, and there are none.
    """
    from arena.sandbox.bubblewrap import BubblewrapBackend

    return BubblewrapBackend()
