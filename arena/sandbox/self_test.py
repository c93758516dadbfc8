"""The boot self-test: attack a real jail of a backend from inside, and believe only what failed.

A worker runs it before it takes guests (:func:`arena.sandbox.choose`), ``arena sandbox doctor``
shows it. The attempts are in ``guest_probe``.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, Protocol

from arena.errors import SandboxUnavailable
from arena.rounds import Limits
from arena.sandbox.backend import Strength
from arena.sandbox.running import KillableJail

PROBES: Final = "arena.sandbox.guest_probe"
_LIMITS: Final = Limits(memory_mib=512, disk_mib=8, cpu_seconds=20)
_SECONDS: Final = 30.0
_MOST_BYTES: Final = 1024 * 1024


class ProbedBackend(Protocol):
    """A backend that can run another of the jail's modules than the child."""

    name: str
    strength: Strength

    def start_module(self, module: str, limits: Limits, *arguments: str) -> KillableJail:
        """As ``start``, with ``module`` in the place of the child."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """``stopped``: the attempt failed, as it must. ``through``: what got through, else "".

    ``needed``: a backend of this strength must stop it.
    """

    name: str
    stopped: bool
    through: str
    needed: bool


def probe(backend: ProbedBackend, *, seconds: float = _SECONDS) -> list[ProbeResult]:
    """Start one jail of ``backend`` and run every probe in it.

    Raises:
        SandboxUnavailable: the jail did not start, or did not answer within ``seconds``.
    """
    jail = backend.start_module(PROBES, _LIMITS)
    with closing(jail):
        answer = _receive(jail.socket, seconds)
    if not answer:
        report = jail.poll()
        said = jail.log().strip()
        raise SandboxUnavailable(f"{report.sentence} {said}".strip())
    return [
        ProbeResult(
            name=finding["name"],
            stopped=not finding["through"],
            through=finding["through"],
            needed=_is_needed(backend.strength, finding),
        )
        for finding in json.loads(answer)
    ]


def _is_needed(strength: Strength, finding: Mapping[str, Any]) -> bool:
    if strength is Strength.VIRTUAL:
        return bool(finding["virtual"])
    return strength is Strength.NAMESPACES or bool(finding["landlock"])


def _receive(stream: socket.socket, seconds: float) -> bytes:
    deadline = time.monotonic() + seconds
    received = bytearray()
    while (left := deadline - time.monotonic()) > 0 and len(received) < _MOST_BYTES:
        stream.settimeout(left)
        try:
            data = stream.recv(64 * 1024)
        except TimeoutError:
            return b""
        if not data:
            return bytes(received)
        received += data
    return b""


def got_through(results: list[ProbeResult]) -> list[ProbeResult]:
    """What a backend of this strength should have stopped and did not."""
    return [result for result in results if result.needed and not result.stopped]
