"""The referee's side of the table: player handles that games play with.

Games never import the sandbox: the referee hands them :class:`Seats`, which open player
processes on demand. A handle's methods raise :class:`~arena.errors.PlayerError` with the side to
blame; every array they return has been checked for shape, dtype and finiteness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

from arena.manifest import Manifest
from arena.packages import Package
from arena.rounds import RoundSpec

Array = NDArray[Any]


class DefenseSeat(Protocol):
    """A defense (or trained learner) in a jail of its own, at the start of its life.

    A context manager: leaving it kills the jail.
    """

    @property
    def manifest(self) -> Manifest: ...

    @property
    def seconds(self) -> float:
        """Wall time this player has spent answering so far (its own clock)."""

    def predict(self, x: Array, seeds: Array) -> Array:
        """Raw scores (n, classes [+1 when it abstains]) float32; seeds (n,) uint64."""

    def logits(self, x: Array, seeds: Array) -> Array:
        """As predict, for the white-box handle; raises NotDifferentiable never."""

    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        """(logits, gradient): see DefenseView.logits_and_gradient. May raise NotDifferentiable."""

    def certify(self, x: Array, seeds: Array, *, norm: str, effort: int) -> tuple[Array, Array]:
        """Defenses that certify: labels (n,) and radii (n,); see Defense.certify."""

    def fit(self, x: Array, y: Array, seed: int, *, told: Mapping[str, Any] | None = None) -> None:
        """Learners only: train from scratch.

        ``told``: ``share`` and ``mode`` of the poison that may be in it, where the learner moves
        second; or ``batch``, the number of this one in a stream: learn from it as well.
        """

    def close(self) -> str:
        """Kill the jail; the capped log of what the player printed."""

    def __enter__(self) -> DefenseSeat: ...

    def __exit__(self, *exc: object) -> None: ...


class OracleService(Protocol):
    """What answers an attack's requests while it plays: arena.oracle.Oracle implements it.

    Each method either returns the reply or raises an InGameError, which is sent to the attack and
    raised there, or a PlayerError, which ends the game.
    """

    def ask(self, x: Array, examples: Array) -> Array: ...

    def logits(self, x: Array) -> Array: ...

    def gradient(self, x: Array, weights: Array) -> tuple[Array, Array]: ...

    def check(self, x: Array, examples: Array) -> Array: ...

    def submit(self, x: Array, examples: Array) -> None: ...

    def probes_left(self) -> tuple[float, Array]:
        """(left in total, (n,) left per example)."""


@dataclass(frozen=True)
class Revealed:
    """Everything of the opponent that lies in the attack's jail. Empty means nothing."""

    package: Mapping[str, bytes] = field(default_factory=dict)
    architecture: Mapping[str, bytes] = field(default_factory=dict)
    related: tuple[Mapping[str, bytes], ...] = ()
    family: str | None = None
    structure: str | None = None
    randomness: str | None = None


class AttackSeat(Protocol):
    """An attack, poisoner or thief in a jail of its own."""

    @property
    def manifest(self) -> Manifest: ...

    @property
    def seconds(self) -> float:
        """Wall time this player has spent so far, the defense's answers not counted."""

    def evade(
        self, brief: Mapping[str, Any], arrays: Mapping[str, Array], service: OracleService
    ) -> Array:
        """Play one evasion challenge; the candidates (n, *shape), or moves, float32 as handed in.

        ``brief``: JSON-able fields of EvasionChallenge (norm, epsilon, shift, seed, output, ...).
        ``arrays``: x, and y, targets, training_x, training_y where they are granted.

        Raises:
            PlayerError: crash, timeout, protocol, wrong shape; candidates submitted before it
                stay with the service.
        """

    def poison(
        self, brief: Mapping[str, Any], arrays: Mapping[str, Array], service: OracleService
    ) -> tuple[Array, Array, Array | None]:
        """(x, y, replaces or None) as handed in.

        ``arrays``: x and y, and target_x or training_x and training_y in games that have them.
        """

    def backdoor(
        self, brief: Mapping[str, Any], arrays: Mapping[str, Array], service: OracleService
    ) -> tuple[Array, Array, Array | None, Array, Array]:
        """(x, y, replaces or None, mask (1, *shape) bool, pattern (1, *shape)) as handed in."""

    def steal(
        self, brief: Mapping[str, Any], arrays: Mapping[str, Array], service: OracleService
    ) -> bytes:
        """The zip of the stolen copy as handed in.

        ``brief``: JSON-able fields of ExtractionChallenge. ``arrays``: training_x and training_y
        where they are granted.
        """

    def close(self) -> str: ...

    def __enter__(self) -> AttackSeat: ...

    def __exit__(self, *exc: object) -> None: ...


class Seats(Protocol):
    """Opens jails for the two players of one match. Given to a game by the referee."""

    @property
    def round(self) -> RoundSpec: ...

    @property
    def attack(self) -> Package: ...

    @property
    def defense(self) -> Package: ...

    def open_attack(self, revealed: Revealed) -> AttackSeat:
        """A fresh attack process with its own package and what is revealed, ready to play."""

    def open_defense(self, *, in_turn: bool = False) -> DefenseSeat:
        """A fresh defense (or learner) process with its own package, loaded.

        ``in_turn``: it answers the attack, which waits meanwhile.
        """

    def prepare(self, *openers: Callable[[], object]) -> list[Any]:
        """Run openers side by side (jails start in parallel) and return their results."""


@dataclass(frozen=True, eq=False)
class DelegatingSeats:
    """``seats`` as they are: the base of those that differ from others in one thing or two."""

    seats: Seats

    @property
    def round(self) -> RoundSpec:
        return self.seats.round

    @property
    def attack(self) -> Package:
        return self.seats.attack

    @property
    def defense(self) -> Package:
        return self.seats.defense

    def open_attack(self, revealed: Revealed) -> AttackSeat:
        return self.seats.open_attack(revealed)

    def open_defense(self, *, in_turn: bool = False) -> DefenseSeat:
        return self.seats.open_defense(in_turn=in_turn)

    def prepare(self, *openers: Callable[[], object]) -> list[Any]:
        return self.seats.prepare(*openers)
