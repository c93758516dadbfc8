"""What a kind of round is: a :class:`Game` plays at a :class:`Table` and returns a result.

The referee lays the table (round, players' seats, task, judged examples, secrets) and turns the
:class:`GameResult` into a verdict. A game knows no jail, no file and no clock but its players'.
One kind of round is one file beside this one, and one line in ``arena/games/__init__.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from arena.answers import Answers, Columns
from arena.applicability import applicability
from arena.errors import PlayerError, RefereeError, Side
from arena.games.controls import Controls
from arena.games.crafted import Crafted
from arena.games.draws import derive, seed_of, stream_of
from arena.packages import Package
from arena.players import Images, Labels
from arena.rounds import RoundSpec
from arena.seats import DefenseSeat, Seats
from arena.tasks import Split, Task
from arena.verdict import Fault, Kills, Outcome

__all__ = [
    "Examples",
    "Game",
    "GameResult",
    "Progress",
    "Step",
    "Table",
    "applicability",
    "choose_examples",
    "failed",
    "fault_of",
]


@dataclass(frozen=True)
class Step:
    """One line of progress: ``done`` of ``total`` in ``stage``, and a sentence for people."""

    stage: str
    done: int
    total: int
    sentence: str


Progress = Callable[[Step], None]


@dataclass(frozen=True, eq=False)
class Examples:
    """The judged examples: ``index`` (n,) into the split, ``x`` (n, *shape), ``y`` (n,)."""

    index: NDArray[np.int64]
    x: Images
    y: Labels

    def __len__(self) -> int:
        return len(self.index)


def _no_related(_package: Package) -> DefenseSeat:
    raise RefereeError("This table has no jail for house models.")


@dataclass(frozen=True, eq=False)
class Table:
    """All that a game plays with.

    ``secret`` is the round's and never leaves the referee; ``seed`` is the match's.
    ``related`` are house models of the opponent's declared family, ``reference`` the house model
    on which least likely targets are chosen; ``open_house`` opens either in a jail of its own.
    ``crafted``: what the attack handed in before, where it asks nothing; ``controls``: what the
    defense answered before to what hangs on it and the round alone. ``house_attack``: the attack
    is the house's, so that what it was told is evidence.
    """

    round: RoundSpec
    seats: Seats
    task: Task
    examples: Examples
    seed: int
    secret: bytes
    related: tuple[Package, ...] = ()
    reference: Package | None = None
    open_house: Callable[[Package], DefenseSeat] = _no_related
    progress: Progress = lambda step: None
    crafted: Crafted | None = None
    controls: Controls | None = None
    house_attack: bool = False

    @property
    def attack(self) -> Package:
        return self.seats.attack

    @property
    def defense(self) -> Package:
        return self.seats.defense

    @property
    def match_secret(self) -> bytes:
        """Unlike that of every other match, and of no use to guess the round's."""
        return derive(self.secret, "match", self.seed, self.attack.sha256, self.defense.sha256)

    @property
    def match_name(self) -> str:
        """A short public name of this very match: same players, round and seed, same name."""
        return derive(self.match_secret, "name").hex()[:16]

    def match_stream(self, *purpose: str | int) -> np.random.RandomState:
        return stream_of(self.match_secret, *purpose)

    def match_seed(self, *purpose: str | int) -> int:
        return seed_of(self.match_secret, *purpose)

    def round_stream(self, *purpose: str | int) -> np.random.RandomState:
        """The same for every match of the round."""
        return stream_of(self.secret, "round", *purpose)

    def read(self, scores: NDArray[Any], *, rows: int, package: Package | None = None) -> Answers:
        """Raw scores (rows, columns) of the defense, or of another model of this task.

        Raises:
            PlayerError: as :meth:`arena.answers.Columns.read`.
        """
        manifest = (package or self.defense).manifest
        return Columns.of(manifest, classes=len(self.task.classes)).read(scores, rows=rows)

    def report(self, stage: str, done: int, total: int, sentence: str) -> None:
        self.progress(Step(stage, done, total, sentence))


@dataclass(frozen=True)
class GameResult:
    """What a game found. ``faults`` in the order in which they happened; empty: all went well.

    ``seconds`` and ``logs`` are by side ("attack", "defense"). See :class:`arena.verdict.Verdict`
    for the rest.
    """

    metrics: Mapping[str, float | None]
    curve: tuple[Mapping[str, float | None], ...] = ()
    kills: Kills | None = None
    outcome: Outcome | None = None
    flags: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    logs: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able facts that belong into the provenance, such as drawn training seeds."""


class Game(Protocol):
    """A kind of round."""

    def play(self, table: Table) -> GameResult:
        """Play one match.

        A player's fault is part of the result wherever something is left to score; a
        :class:`~arena.errors.PlayerError` that escapes ends the match as a forfeit without
        figures. Every other exception is ours and voids the match.
        """


def failed(side: Side, faults: Iterable[PlayerError]) -> bool:
    """Whether one of the ``faults`` is this side's."""
    return any(fault.side is side for fault in faults)


def fault_of(error: PlayerError) -> Fault:
    """A player's error as the verdict shows it."""
    return Fault(Side(error.side), error.code, str(error))


def choose_examples(split: Split, *, count: int, secret: bytes, digest: str) -> Examples:
    """``count`` examples of the split, classes as balanced as the split allows.

    A function of the round's secret and the task's digest alone: all attacks of a round meet the
    same examples. Asking for more than there are gives all of them.
    """
    stream = stream_of(secret, "examples", digest)
    queues = [stream.permutation(np.flatnonzero(split.y == label)) for label in np.unique(split.y)]
    chosen = _round_robin(queues, min(count, len(split)))
    index = stream.permutation(np.array(chosen, np.int64))
    return Examples(index, split.x[index].copy(), split.y[index].copy())


def _round_robin(queues: list[NDArray[np.int64]], count: int) -> list[int]:
    """One of each class in turn; a class that runs dry leaves its turn to the others."""
    depth = max(map(len, queues), default=0)
    dealt = (int(queue[turn]) for turn in range(depth) for queue in queues if turn < len(queue))
    return [example for example, _ in zip(dealt, range(count), strict=False)]
