"""What games about training have in common: the poisoner moves, then the learner is trained.

The poisoner receives the training set S and what the threat model shows of the learner, never a
held-out point. Two things are kept from a learner. It cannot ignore S, because class names are
permuted per match and undone on its predictions; and it cannot remember clean S, because every
training set is met in a fresh process, which sees nothing else. One that carries knowledge of
published data in its code needs S for the class names alone: nothing here tells it apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from arena.answers import TOLERANCE, Answer, Answers, clear_labels, each, leads
from arena.errors import FaultCode, PlayerError, Side
from arena.games.base import Table, failed
from arena.games.draws import row_seeds, seed_of
from arena.games.heard import ONE_IN, misled, stand_ins
from arena.games.points import Judged, Points
from arena.games.renamed import Renamed
from arena.games.reveal import brief, revealed
from arena.games.trained_alike import (
    MODEL_TOLERANCE,
    ROWS_ALONE,
    TRAINS_OTHERWISE,
    Differing,
    Said,
    SaidAlone,
    depends,
)
from arena.oracle import Heard, Oracle, Sample
from arena.players import Images, Labels
from arena.rounds import PoisonMode
from arena.seats import Array, AttackSeat, DefenseSeat
from arena.threat_model import FirstMover

ROWS_ASKED_AGAIN: Final = 8

Move = TypeVar("Move")


@dataclass(eq=False)
class TrainingStage:
    """One match, as it goes."""

    table: Table
    faults: list[PlayerError] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"attack": 0.0, "defense": 0.0})
    logs: dict[str, str] = field(default_factory=lambda: {"attack": "", "defense": ""})
    queries: list[int] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    sample: Sample | None = None
    """Some of what the poisoner was told."""
    distrusted: bool = False
    """Whether the learner answered one otherwise than another: then no poisoned model counts."""

    def __post_init__(self) -> None:
        classes = len(self.table.task.classes)
        self.permutation = self.table.match_stream("class names").permutation(classes)
        """Class c is called permutation[c] in the learner's jail."""
        round_ = self.table.round
        self.attacker_first = bool(round_.shares) and (
            round_.threat_model.first_mover is FirstMover.ATTACKER
        )
        """Whether the poisoned set is published before a learner is chosen."""
        self.seeds = [self.table.match_seed("training", j) for j in range(self.table.round.seeds)]

    # ── Bob moves ──────────────────────────────────────────────────────────────────────────

    def moves(
        self, ask: Callable[[AttackSeat, Mapping[str, Any], Oracle, int], Move]
    ) -> list[Move | None]:
        """What ``ask`` has of him for each share; None where he failed, and for every share after.

        ``ask(seat, brief, oracle, count)`` puts the question and admits the answer. What the
        learner told him meanwhile is looked at before anything is judged.
        """
        try:
            if not self.probes:
                return self._moves(ask, None)
            self.sample = Sample(self.table.match_stream("heard"))
            with self._trained(None, self._probed_seed, in_turn=True) as probed:
                found = self._moves(ask, probed)
        except PlayerError as error:
            self.faults.append(error)
            return [None] * len(self.table.round.shares)
        self._hold_to_what_it_told(self.sample.heard())
        return found

    @property
    def probes(self) -> bool:
        """Whether he may ask a learner anything before he is done."""
        model = self.table.round.threat_model
        return model.gives_gradients or not model.probes.none

    @property
    def _probed_seed(self) -> int:
        return self.table.match_seed("probed")

    def _hold_to_what_it_told(self, heard: Sequence[Heard]) -> None:
        """Ask some of it again of a learner trained alike, which takes it for the judgement.

        ``heard``: answers of the model that he probed. Each stands in the place of the judged
        example that lies nearest to it, and all are asked at once.
        """
        rows, sampled = stand_ins(self.table, heard)
        self._ask_again(sampled, rows, lambda: self._told_the_judge(rows, sampled))

    def _ask_again(
        self,
        sampled: Sequence[Heard],
        rows: NDArray[np.int64],
        ask: Callable[[], Sequence[Answer]],
    ) -> None:
        """Hold ``sampled`` (k) against what ``ask`` gets of a fresh process, m answers: those to
        the same inputs in its ``rows`` (k,)."""
        if not len(rows):
            return
        told = [heard.answer for heard in sampled]
        try:
            again = ask()
            doubt = Differing.between(told, [again[row] for row in rows])
            if doubt.answers <= max(1, len(rows) // ONE_IN):
                return
            once_more = ask()
        except PlayerError as error:
            self.faults.append(error)
            return
        asked = [[said[row] for row in rows] for said in (again, once_more)]
        apart = replace(
            Differing.between(*asked), answers=Differing.between(again, once_more).answers
        )
        self._held(doubt, apart, misled(doubt.answers, len(rows)))

    def _told_the_judge(self, rows: NDArray[np.int64], sampled: Sequence[Heard]) -> list[Answer]:
        """What a learner trained like the probed one says of the n judged examples, and of
        ``sampled`` in the place of ``rows``."""
        with self._trained(None, self._probed_seed) as seat:
            return self._with_stand_ins(seat, rows, sampled)

    def _with_stand_ins(
        self, seat: DefenseSeat, rows: NDArray[np.int64], sampled: Sequence[Heard]
    ) -> list[Answer]:
        j = len(self.seeds)
        x, seeds = self.table.examples.x.copy(), self._row_seeds(j)
        for row, heard in zip(rows.tolist(), sampled, strict=True):
            x[row], seeds[row] = heard.x, heard.seed
        scores = self._scores(seat, x, j, seeds)
        return each(self.table.read(scores, rows=len(x)), scores)

    def _held(self, doubt: Differing, apart: Differing, fault: PlayerError) -> None:
        """Blame the learner for a ``doubt``, unless its training explains that."""
        if doubt.explained_by(apart):
            self.flags.append(TRAINS_OTHERWISE)
            return
        self.faults.append(fault)
        self.distrusted = True

    def _moves(
        self,
        ask: Callable[[AttackSeat, Mapping[str, Any], Oracle, int], Move],
        probed: DefenseSeat | None,
    ) -> list[Move | None]:
        shares = self.table.round.shares
        found: list[Move | None] = []
        try:
            with self._poisoner() as seat:
                for i, share in enumerate(shares):
                    message = f"The poisoner moves, share {share:g}."
                    self.table.report("poison", i, len(shares), message)
                    oracle = self._oracle(probed)
                    move = ask(seat, self._brief(share, i), oracle, self._count(share))
                    self.queries.append(int(oracle.meter.spent.sum()))
                    found.append(move)
        except PlayerError as error:
            self.faults.append(error)
        return found + [None] * (len(shares) - len(found))

    def _count(self, share: float) -> int:
        return int(np.floor(share * len(self.table.task.train) + 1e-9))

    def _brief(self, share: float, level: int) -> Mapping[str, Any]:
        return {
            **brief(self.table, epsilon=None, seed=self._attack_seed(level)),
            "count": self._count(share),
            "mode": self.table.round.poison_mode.value,
        }

    def _attack_seed(self, level: int) -> int:
        """Where he moves first he does not know against whom: the same for every learner."""
        if self.attacker_first:
            return seed_of(self.table.secret, "published", self.table.attack.sha256, level)
        return self.table.match_seed("attack", level)

    def arrays(self) -> dict[str, Array]:
        return {"x": self.table.task.train.x, "y": self.table.task.train.y}

    def _oracle(
        self,
        probed: DefenseSeat | None,
        *,
        examples: int | None = None,
        seconds: float | None = None,
    ) -> Oracle:
        """``examples``: how many points probes are granted for; those of S where left out.

        ``seconds``: what the probed learner may spend on answers; what its clock has left, where
        left out.
        """
        table = self.table
        left = table.round.defense_limits.wall_seconds - (probed.seconds if probed else 0.0)

        def seeds(examples: Array, asked: int) -> NDArray[np.uint64]:
            rows = range(asked, asked + len(examples))
            return row_seeds(table.match_secret, "probe", rows, 0)

        return Oracle(
            probed,
            threat_model=table.round.threat_model,
            shape=table.task.shape,
            classes=len(table.task.classes),
            examples=len(table.task.train) if examples is None else examples,
            seeds=seeds,
            seconds=max(0.0, left) if seconds is None else seconds,
            sample=self.sample,
        )

    def admitted(
        self, x: Array, y: Array, replaces: Array | None, *, count: int, among: int | None = None
    ) -> Points:
        """The referee's checks of the points; the attack's fault where one fails.

        ``among``: how many points there are to be replaced; those of S where left out.
        """
        if len(x) != len(y) or len(x) > count:
            raise attack_fault(
                FaultCode.POISON_BUDGET, f"Handed in {len(x)} points; at most {count}."
            )
        if not np.isfinite(x).all():
            raise attack_fault(FaultCode.NOT_FINITE, "Poisoned points are NaN or infinite.")
        if x.size and (x.min() < 0 or x.max() > 1):
            raise attack_fault(FaultCode.OUT_OF_RANGE, "Poisoned points lie outside [0, 1].")
        if y.size and not (y.min() >= 0 and y.max() < len(self.table.task.classes)):
            raise attack_fault(
                FaultCode.OUT_OF_RANGE, "Poisoned labels are no classes of the task."
            )
        there = len(self.table.task.train) if among is None else among
        rows = self._replaced(replaces, points=len(x), among=there)
        return Points(self.on_grid(x), y.astype(np.int64), rows)

    def on_grid(self, x: Array) -> Images:
        """The nearest inputs of the task's grid, where it has one."""
        grid = self.table.task.grid
        if grid is not None:
            x = np.round(x * (grid - 1)) / (grid - 1)
        return np.asarray(x, np.float32)

    def _replaced(
        self, replaces: Array | None, *, points: int, among: int
    ) -> NDArray[np.int64] | None:
        if self.table.round.poison_mode is PoisonMode.ADD:
            if replaces is not None:
                raise attack_fault(FaultCode.POISON_BUDGET, "This round adds points; replace none.")
            return None
        rows = np.zeros(0, np.int64) if replaces is None else np.asarray(replaces, np.int64)
        if len(rows) != points or len(np.unique(rows)) != points:
            raise attack_fault(
                FaultCode.POISON_BUDGET, f"Name {points} different points of S to be replaced."
            )
        if points and not (rows.min() >= 0 and rows.max() < among):
            raise attack_fault(FaultCode.OUT_OF_RANGE, "A replaced point is not one of S.")
        return rows

    # ── Alice is trained, and judged ───────────────────────────────────────────────────────

    def training_set(self, poison: Points | None) -> tuple[Images, Labels]:
        train = self.table.task.train
        if poison is None:
            return train.x, train.y
        return poison.applied(train.x, train.y)

    def train_and_judge(
        self, poison: Points | None, asked: Images, *, step: int, steps: int
    ) -> Judged:
        """Train with every seed in one fresh process that meets this training set alone.

        ``asked`` (n, *shape): the judged examples, or what became of them, in their order.
        """
        judged = self.nothing
        if poison is not None and self.distrusted:
            return judged
        total = len(self.seeds) * steps
        try:
            with self._opened() as seat:
                answers = self._one_after_the_other(seat, poison, asked)
                for j in range(len(self.seeds)):
                    done = step * len(self.seeds) + j
                    self.table.report("train", done, total, f"Training {done + 1} of {total}.")
                    said = next(answers)
                    judged.labels[j], judged.confidence[j] = said.labels, said.confidence
        except PlayerError as error:
            self.faults.append(error)
        return judged

    @property
    def nothing(self) -> Judged:
        """What a learner that is not trusted has said of the judged examples."""
        return Judged.nothing(len(self.seeds), len(self.table.examples))

    def _one_after_the_other(
        self, seat: DefenseSeat, poison: Points | None, asked: Images
    ) -> Iterator[Answers]:
        """Train with each seed in turn; what each model says."""
        x, y = self._shuffled(*self.training_set(poison))
        for j, seed in enumerate(self.seeds):
            seat.fit(x, y, seed, told=self._told() if j == 0 else None)
            yield self._predicted(seat, asked, j)

    def in_two_processes(
        self, poison: Points | None, one: Images, other: Images, *, step: int, steps: int
    ) -> tuple[Judged, Judged]:
        """What two processes, trained alike, say of ``one`` and of ``other`` (n, *shape).

        Half of the rows of each bear the same trigger, say, and a learner could look for what they
        share: see :meth:`hold_together`.
        """
        judged = (
            self.train_and_judge(poison, one, step=step, steps=steps),
            self.train_and_judge(poison, other, step=step + 1, steps=steps),
        )
        if poison is not None:
            self.hold_together(poison, (one, other), judged, step)
        return (self.nothing, self.nothing) if poison and self.distrusted else judged

    def hold_one_together(
        self, models: Sequence[tuple[Points, Judged]], about: Sequence[int] = ()
    ) -> None:
        """Look at one of the poisoned ``models``, all of which were asked for the judged examples:
        none knows that it is the one. ``about``: the example that each of them is about."""
        if not models:
            return
        which = int(self.table.match_stream("which alone").randint(len(models)))
        poison, judged = models[which]
        first = about[which] if len(about) else None
        self.hold_together(poison, [self.table.examples.x], [judged], which, first=first)

    def hold_together(
        self,
        poison: Points,
        asked: Sequence[Images],
        judged: Sequence[Judged],
        *purpose: int,
        first: int | None = None,
    ) -> None:
        """Ask a few rows alone of one more process, trained alike: they must get what counted.

        ``asked``: what each process was asked, and ``judged`` what it said. The model is that of a
        seed that is drawn, or a learner could be honest under the first alone. Where answers
        differ, another process goes through just what the first did up to that seed. ``first``: an
        example that is among the rows, on which a single other label is one too many.
        """
        if self._learner_failed:
            return
        stream = self.table.match_stream("alone", *purpose)
        j = int(stream.randint(len(self.seeds)))
        rows = stream.permutation(len(self.table.examples))
        if first is not None:
            rows = np.concatenate([[first], rows[rows != first]])
        rows = rows[:ROWS_ALONE]
        parts = np.array_split(rows, len(asked))

        def again() -> Differing:
            with self._opened() as seat:
                answers = self._one_after_the_other(seat, poison, asked[0])
                last = [next(answers) for _ in range(j + 1)][-1]
            said = Said(last.labels, last.confidence)
            return said.differing(judged[0].said(j), tolerance=TOLERANCE)

        try:
            with self._trained(poison, self.seeds[j]) as seat:
                x = np.concatenate([x[part] for x, part in zip(asked, parts, strict=True)])
                alone = self.said_alone(seat, x, self._row_seeds(j)[rows])
            counted = Said.joined(
                [said.said(j, part) for said, part in zip(judged, parts, strict=True)]
            )
            turned = first is not None and alone.otherwise(counted)[0]
            doubt = alone.differing(counted, tolerance=MODEL_TOLERANCE)
            self.settle(doubt, again, tolerated=0 if turned else 1)
        except PlayerError as error:
            self.faults.append(error)

    def said_alone(self, seat: DefenseSeat, x: Images, seeds: NDArray[np.uint64]) -> SaidAlone:
        """To each row (k, *shape) by itself."""
        scores = np.concatenate(
            [seat.predict(x[i : i + 1], seeds[i : i + 1]) for i in range(len(x))]
        )
        said = self.table.read(scores, rows=len(x))
        return SaidAlone(said.labels, said.confidence, leads(scores))

    def settle(
        self, doubt: Differing, again: Callable[[], Differing], *, tolerated: int = 1
    ) -> None:
        """``doubt``: of rows that were asked alone; ``again``: how two processes differ that were
        trained and asked alike."""
        if doubt.answers > tolerated:
            self._held(doubt, again(), depends(doubt))

    @property
    def _learner_failed(self) -> bool:
        return failed(Side.DEFENSE, self.faults)

    @contextmanager
    def _poisoner(self) -> Iterator[AttackSeat]:
        """A fresh process of his, with what the threat model shows of the learner."""
        seat = self.table.seats.open_attack(revealed(self.table, np.arange(0)))
        try:
            yield seat
        finally:
            self.close(seat, "attack")

    @contextmanager
    def _opened(self, *, in_turn: bool = False) -> Iterator[DefenseSeat]:
        """A fresh process that has met nothing yet."""
        seat = Renamed(self.table.seats.open_defense(in_turn=in_turn), self.permutation)
        try:
            yield seat
        finally:
            self.close(seat, "defense")

    @contextmanager
    def _trained(
        self, poison: Points | None, seed: int, *, in_turn: bool = False
    ) -> Iterator[DefenseSeat]:
        """A fresh process that is trained once, on S with this poison in it."""
        with self._opened(in_turn=in_turn) as seat:
            seat.fit(*self._shuffled(*self.training_set(poison)), seed, told=self._told())
            yield seat

    def _told(self) -> Mapping[str, Any] | None:
        """What a learner that moves second is told of its training set, clean or poisoned."""
        if not self.attacker_first:
            return None
        round_ = self.table.round
        return {"share": round_.shares[-1], "mode": round_.poison_mode.value}

    def _shuffled(self, x: Images, y: Labels) -> tuple[Images, Labels]:
        """In an order that does not tell which points came last."""
        order = self.table.match_stream("order", len(x)).permutation(len(x))
        return x[order], y[order]

    def _row_seeds(self, j: int) -> NDArray[np.uint64]:
        """(n,) of the judged examples, for the ``j``-th training seed."""
        table = self.table
        return row_seeds(table.secret, table.defense.sha256, table.examples.index, j)

    def _predicted(self, seat: DefenseSeat, asked: Images, j: int) -> Answers:
        """Answers on the held-out examples under the ``j``-th training seed. A label that leads by
        a hair counts as none."""
        scores = self._scores(seat, asked, j, self._row_seeds(j))
        said = self.table.read(scores, rows=len(asked))
        return replace(said, labels=clear_labels(said, scores))

    def _scores(self, seat: DefenseSeat, asked: Images, j: int, seeds: NDArray[np.uint64]) -> Array:
        """Raw scores of (n, *shape), asked in random order, some of them again alone."""
        order = self.table.match_stream("judging", j).permutation(len(asked))
        seeds, x = seeds[order], asked[order]
        scores = seat.predict(x, seeds)
        for row in range(min(ROWS_ASKED_AGAIN, len(x))):
            again = seat.predict(x[row : row + 1], seeds[row : row + 1])
            if np.abs(again - scores[row]).max() > TOLERANCE * np.abs(again).max():
                raise PlayerError(
                    Side.DEFENSE,
                    FaultCode.ROWS_DEPEND,
                    "Predictions of the trained model depend on the other rows of a request.",
                )
        return scores[np.argsort(order)]

    def close(self, seat: DefenseSeat | AttackSeat, side: str) -> None:
        self.seconds[side] += seat.seconds
        self.logs[side] += seat.close()


def attack_fault(code: FaultCode, message: str) -> PlayerError:
    return PlayerError(Side.ATTACK, code, message)
