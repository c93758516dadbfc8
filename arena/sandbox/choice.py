"""Which wall a player stands behind on this machine: the first that passes its self-test."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from arena.errors import SandboxUnavailable
from arena.sandbox import bare, gvisor, remedies
from arena.sandbox.backend import SandboxBackend, Strength
from arena.sandbox.bubblewrap import BubblewrapBackend, find_binary
from arena.sandbox.self_test import ProbedBackend, ProbeResult, got_through, probe
from arena.sandbox.zygote import ZygoteBackend

PASSED: Final = "ARENA_SANDBOX_PASSED"
"""Set by a process whose backend passed, for the processes it starts: they need not ask again.

It names the boot and the backend; whoever can set it runs our processes, and needs no jail.
"""


NAMED: Final = "ARENA_BACKEND"
"""The environment's choice of a backend, by its name in ``arena sandbox doctor``."""

AnyBackend = ZygoteBackend | BubblewrapBackend | gvisor.GvisorBackend | bare.BareBackend


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line of ``arena sandbox doctor``.

    ``works``: it starts and stops all that its strength promises. ``remedy``: what to do if not.
    """

    backend: str
    strength: Strength
    works: bool
    sentence: str
    remedy: str = ""
    probes: tuple[ProbeResult, ...] = ()


def choose(*, trusted: bool, named: str | None = None) -> SandboxBackend:
    """The first backend that starts and passes its self-test; asked once per process.

    ``trusted``: only the arena's own players will be started. ``named``: this backend or none;
    without it, the one of the environment (:data:`NAMED`), if that names one.

    Raises:
        SandboxUnavailable: nothing here is strong enough; the message names the remedy.
    """
    if named := named or os.environ.get(NAMED):
        return _choose_named(named, trusted=trusted)
    for backend in _candidates():
        if os.environ.get(PASSED) == _mark(backend):
            return backend
    for backend in _candidates():
        if backend.strength < Strength.NAMESPACES and not trusted:
            break
        if _passes(backend):
            return backend
    found = _diagnose(_bubblewrap())
    leaks = f"{found.sentence} " if found.probes else ""  # else the remedy says it
    raise SandboxUnavailable(
        f"No wall on this machine is strong enough for guests. {leaks}{found.remedy}"
    )


def _choose_named(name: str, *, trusted: bool) -> SandboxBackend:
    known = {backend.name: backend for backend in _candidates()}
    if name not in known:
        listed = ", ".join(known)
        raise SandboxUnavailable(f"There is no wall {name!r} on this machine; it has {listed}.")
    backend = known[name]
    if backend.strength < Strength.NAMESPACES and not trusted:
        raise SandboxUnavailable(f"The wall {name!r} is not strong enough for guests.")
    if os.environ.get(PASSED) != _mark(backend) and not _passes(backend):
        found = _diagnose(backend)
        raise SandboxUnavailable(
            f"The wall {name!r} does not stand: {found.sentence} {found.remedy}"
        )
    return backend


def doctor() -> list[Diagnosis]:
    """What works on this machine, the strongest first, and what to do about the rest."""
    return [_diagnose(backend) for backend in _candidates()]


def strong() -> tuple[SandboxBackend, ...]:
    """Every backend behind which guests may play, the strongest first; works here or not."""
    return tuple(b for b in _candidates() if b.strength >= Strength.NAMESPACES)


@cache
def _bubblewrap() -> BubblewrapBackend:
    return BubblewrapBackend()


@cache
def _zygote() -> ZygoteBackend:
    return ZygoteBackend()


@cache
def _candidates() -> tuple[AnyBackend, ...]:
    return (_zygote(), _bubblewrap(), *gvisor.find_backends(), *bare.find_backends())


def _passes(backend: AnyBackend) -> bool:
    if not _diagnose(backend).works:
        return False
    if backend.strength >= Strength.NAMESPACES:
        os.environ[PASSED] = _mark(backend)
    return True


def _mark(backend: ProbedBackend) -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    name = boot.read_text().strip() if boot.exists() else sys.platform
    return f"{backend.name} {os.geteuid()} {name}"


_known: dict[str, Diagnosis] = {}
"""Filled once per process and backend."""


def _diagnose(backend: AnyBackend) -> Diagnosis:
    if backend.name not in _known:
        _known[backend.name] = _examine(backend)
    return _known[backend.name]


def _examine(backend: AnyBackend) -> Diagnosis:
    if backend.strength is Strength.NONE:
        sentence = "Starts plain processes: no wall but limits on memory and time."
        return Diagnosis(backend.name, backend.strength, works=True, sentence=sentence)
    try:
        results = probe(backend)
    except SandboxUnavailable as error:
        return _failed(backend, str(error), ())
    through = got_through(results)
    if through:
        listed = "; ".join(f"could {result.name} ({result.through})" for result in through)
        return _failed(backend, f"A player in it {listed}.", tuple(results), remedies.LEAKS)
    sentence = f"Stopped all {sum(r.needed for r in results)} attempts of the self-test."
    return Diagnosis(
        backend.name, backend.strength, works=True, sentence=sentence, probes=tuple(results)
    )


def _failed(
    backend: ProbedBackend, sentence: str, results: tuple[ProbeResult, ...], remedy: str = ""
) -> Diagnosis:
    """``remedy``: of a wall that stands and lets something through; else what would start it."""
    if not remedy and isinstance(backend, ZygoteBackend | BubblewrapBackend):
        remedy = remedies.for_bubblewrap(_binary())
    if not remedy and isinstance(backend, gvisor.GvisorBackend):
        remedy = gvisor.REMEDY
    return Diagnosis(
        backend.name,
        backend.strength,
        works=False,
        sentence=sentence,
        remedy=remedy,
        probes=results,
    )


def _binary() -> Path | None:
    try:
        return find_binary()
    except SandboxUnavailable:
        return None
