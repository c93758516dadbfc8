"""Runs one match and finds its verdict.

:func:`play_match` checks that the two can meet, lays the table, lets the game play, and turns
whatever happens into a :class:`~arena.verdict.Verdict`: a player's fault is a forfeit of its side,
anything else that goes wrong is ours and voids the match. It does not raise.
"""

from __future__ import annotations

import platform
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from typing import Any, Final, Protocol

import numpy as np

from arena.applicability import applicability
from arena.errors import MatchUsedUp, PlayerError, RefereeError
from arena.games import game
from arena.games.base import Examples, GameResult, Progress, Step, Table, choose_examples, fault_of
from arena.games.controls import Controls
from arena.games.crafted import Crafted
from arena.packages import Package
from arena.rounds import RoundSpec, SplitName
from arena.sandbox.backend import SandboxBackend
from arena.sandbox.seats import JailSeats
from arena.seats import DefenseSeat, Seats
from arena.tasks import Task
from arena.tasks.fitting import misfit
from arena.timed_seats import TimedSeats
from arena.verdict import Fault, Status, Verdict

LOG: Final = 2**20
"""Characters of what a side printed in all its processes: a verdict too large is no verdict."""
VERSIONED: Final = ("adversarium", "numpy", "torch", "scikit-learn", "onnxruntime")


@dataclass(frozen=True)
class MatchSpec:
    """One attack against one defense in one round.

    ``secret`` is the round's: targets and judging seeds hang on it. ``split_secret`` is the
    tournament's, the round's where it is left out: judged examples hang on it, and the final split
    where it is derived, so that all rounds of a tournament judge the same images and a kill of one
    can count on another. ``seed`` is the match's. ``related`` are house models of the defense's
    declared family; ``reference`` is the house model on which least likely targets are chosen.
    ``versions``: of what is installed, for a referee that cannot see it. ``crafted``: what the
    attack handed in before, in a round in which it asks nothing; ``controls``: what the defense
    answered before to what hangs on it and the round alone. ``seconds``: after so many the match
    is ended from outside; None where it is not.
    """

    round: RoundSpec
    attack: Package
    defense: Package
    seed: int
    secret: bytes
    related: tuple[Package, ...] = ()
    reference: Package | None = field(default=None, repr=False)
    split_secret: bytes | None = field(default=None, repr=False)
    versions: Mapping[str, str] | None = None
    crafted: Crafted | None = None
    controls: Controls | None = None
    seconds: float | None = None
    house_attack: bool = False


class SeatMaker(Protocol):
    """Makes the seats of a match: :class:`arena.sandbox.seats.JailSeats`, or a test's own."""

    def __call__(
        self,
        *,
        round: RoundSpec,  # noqa: A002 (the name of the contract)
        attack: Package,
        defense: Package,
        task: Task,
        backend: SandboxBackend,
    ) -> Seats: ...


def play_match(
    match: MatchSpec,
    *,
    backend: SandboxBackend,
    task: Task,
    progress: Progress | None = None,
    seat_maker: SeatMaker | None = None,
) -> Verdict:
    """Play one match. For deterministic players the verdict hangs on ``match`` alone, clocks aside.

    Never raises but for interrupts: a fault of ours is a verdict with status VOID.
    """
    started = time.monotonic()
    reason = _not_applicable(match)
    if reason is not None:
        verdict = Verdict(Status.NOT_APPLICABLE, fault=Fault(None, None, reason))
    else:
        verdict = _played(match, backend, task, progress or _silent, seat_maker)
    facts = {
        **_provenance(match, backend, task),
        **verdict.provenance,
        "elapsed": round(time.monotonic() - started, 3),
    }
    return replace(verdict, provenance=facts)


def _not_applicable(match: MatchSpec) -> str | None:
    if match.attack.manifest.needs.related and not match.related:
        missing = f"The attack needs related models, and there are none for {match.round.task}."
    else:
        missing = None
    return applicability(match.attack.manifest, match.defense.manifest, match.round) or missing


def _silent(_step: Step) -> None:
    return


def _played(
    match: MatchSpec,
    backend: SandboxBackend,
    task: Task,
    progress: Progress,
    seat_maker: SeatMaker | None,
) -> Verdict:
    try:
        table = lay_table(match, backend=backend, task=task, progress=progress, maker=seat_maker)
        return verdict_of(game(match.round.game).play(table))
    except PlayerError as error:
        return Verdict(Status.FORFEIT, fault=fault_of(error))
    except MatchUsedUp as error:
        return Verdict(Status.FORFEIT, fault=fault_of(error.fault), logs=_capped(error.logs()))
    except RefereeError as error:
        return void(str(error))
    except Exception as error:  # noqa: BLE001 (whatever it is, it is ours, and is shown as such)
        where = traceback.extract_tb(error.__traceback__)[-1]
        return void(f"{type(error).__name__} in {where.name}: {error}", traceback.format_exc())


def void(sentence: str, log: str = "") -> Verdict:
    """Our fault: requeued at most twice, never scored."""
    logs = {"referee": log} if log else {}
    return Verdict(Status.VOID, fault=Fault(None, None, sentence), logs=logs)


def verdict_of(result: GameResult) -> Verdict:
    """A game's result as a verdict: the first fault, if any, makes it a forfeit of that side."""
    return Verdict(
        status=Status.FORFEIT if result.faults else Status.SCORED,
        metrics=result.metrics,
        curve=result.curve,
        fault=result.faults[0] if result.faults else None,
        kills=result.kills,
        outcome=result.outcome,
        flags=result.flags,
        provenance={
            "seconds": {side: round(spent, 3) for side, spent in result.seconds.items()},
            **result.details,
        },
        logs=_capped(result.logs),
    )


def _capped(logs: Mapping[Any, str]) -> dict[str, str]:
    return {str(side): text[:LOG] for side, text in logs.items()}


# ── the table ──────────────────────────────────────────────────────────────────────────────


def lay_table(
    match: MatchSpec,
    *,
    backend: SandboxBackend,
    task: Task,
    progress: Progress,
    maker: SeatMaker | None = None,
) -> Table:
    """Everything that a game plays with."""
    if task.name != match.round.task:
        raise RefereeError(f"The round is on {match.round.task}, the task given is {task.name}.")
    largest = max(match.round.epsilons, default=0.0)
    reason = misfit(task, match.round.game, largest=largest, norm=match.round.norm)
    if reason is not None:
        raise RefereeError(reason)
    seats = _seats(match, backend, task, maker)
    if match.seconds is not None:
        seats = TimedSeats(seats, match.seconds)

    def open_house(package: Package) -> DefenseSeat:
        return _seats(replace(match, defense=package), backend, task, maker).open_defense()

    return Table(
        round=match.round,
        seats=seats,
        task=task,
        examples=judged_examples(match, task),
        seed=match.seed,
        secret=match.secret,
        related=match.related,
        reference=match.reference,
        open_house=open_house,
        progress=progress,
        crafted=match.crafted,
        controls=match.controls,
        house_attack=match.house_attack,
    )


def judged_examples(match: MatchSpec, task: Task) -> Examples:
    """The same for every attack of the round, and for every round with the same split secret."""
    secret = match.secret if match.split_secret is None else match.split_secret
    final = match.round.split is SplitName.FINAL
    split = task.final(secret) if final else task.practice
    if task.is_regression:  # of series, the game chooses whole ones
        return Examples(np.arange(len(split)), split.x.copy(), split.y.copy())
    return choose_examples(split, count=match.round.drawn, secret=secret, digest=task.digest)


def _seats(match: MatchSpec, backend: SandboxBackend, task: Task, maker: SeatMaker | None) -> Seats:
    seats: SeatMaker = maker or JailSeats
    return seats(
        round=match.round, attack=match.attack, defense=match.defense, task=task, backend=backend
    )


# ── where a verdict comes from ─────────────────────────────────────────────────────────────


def _provenance(match: MatchSpec, backend: SandboxBackend, task: Task) -> Mapping[str, Any]:
    return {
        "versions": dict(match.versions or versions()),
        "attack_sha256": match.attack.sha256,
        "defense_sha256": match.defense.sha256,
        "related_sha256": [package.sha256 for package in match.related],
        "task": match.round.task,
        "task_digest": task.digest,
        "split": match.round.split.value,
        "seed": match.seed,
        "backend": backend.name,
        "walls": backend.strength.name.lower(),
    }


@cache
def versions() -> Mapping[str, str]:
    """Of the interpreter and of what verdicts hang on; read once, since metadata is parsed mail."""
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
