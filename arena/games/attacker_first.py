"""Attacker-first evasion: the attack commits, its examples are published, the learner comes after.

No defense is there when the attack moves. It crafts its examples on the house's reference model, of
which it sees what the threat model shows; which of them are *published* and which are *fresh* it
cannot tell, since both are drawn from the same split and asked in one challenge. So the fresh ones
are made by the same attack in the same way, and neither set hangs on who defends: every learner of
the round meets the same ones. Then the learner is trained on the training set S and the published
(x', y), over several seeds, and judged on fresh x' and on their clean x; the same learner, trained
on S alone with the same seeds, is told beside it. Static adversarial training, as in Szegedy et al.
2014 (arXiv:1312.6199), section 4.3.

A fresh x' and its x never share a process: two are trained on each set, and each judges x of one
half of the examples and x' of the other. What keeps a learner honest is in
:mod:`arena.games.training`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import RefereeError, Side
from arena.games.admission import Admitted
from arena.games.ball_attack import Play, craft
from arena.games.base import Examples, GameResult, Table, fault_of
from arena.games.over_seeds import bootstrap_mean, mostly
from arena.games.points import Judged, Points
from arena.games.training import TrainingStage
from arena.metrics import Metrics
from arena.packages import Package
from arena.players import Images
from arena.seats import DefenseSeat, DelegatingSeats
from arena.verdict import Kills, Outcome

OUTCOME_KIND: Final = "attacker_first/1"
SHOWN: Final = 24


class AttackerFirst:
    """At one epsilon or several, each with a published set of its own, over paired seeds."""

    def play(self, table: Table) -> GameResult:
        sets, crafted, examples = _parted(table), _crafted(table), table.examples
        stage = _Stage(replace(table, examples=_taken(examples, sets.judged)), crafted.play)
        labels = examples.y[sets.published]
        answers = [
            stage.answers(
                Points(admitted.x[sets.published], labels, None),
                admitted.x[sets.judged],
                level=level,
            )
            for level, admitted in enumerate(crafted.admitted)
        ]
        return _result(stage, crafted, answers, sets)


# ── the attack moves ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class _Crafted:
    """(levels) candidates for all examples, in their order, and how the attack played."""

    admitted: tuple[Admitted, ...]
    play: Play


@dataclass(frozen=True, eq=False)
class _ReferenceSeats(DelegatingSeats):
    """The seats of a match against the house's reference model."""

    reference: Package
    open_house: Callable[[Package], DefenseSeat]

    @property
    def defense(self) -> Package:
        return self.reference

    def open_defense(self, *, in_turn: bool = False) -> DefenseSeat:
        return self.open_house(self.reference)


@dataclass(frozen=True, eq=False)
class _Sets:
    """Positions among the table's examples: which are published, and which are judged."""

    published: NDArray[np.int64]
    judged: NDArray[np.int64]


def _parted(table: Table) -> _Sets:
    """By the round's secret alone, in the proportion that the round asks for."""
    round_, n = table.round, len(table.examples)
    judged = round(n * round_.examples / (round_.examples + round_.published))
    if not 0 < judged < n:
        raise RefereeError(
            f"{n} examples are too few to publish some and judge others: choose examples and "
            "published so that the split holds both."
        )
    order = table.round_stream("published").permutation(n)
    return _Sets(np.sort(order[judged:]), np.sort(order[:judged]))


def _taken(examples: Examples, rows: NDArray[np.int64]) -> Examples:
    return Examples(examples.index[rows], examples.x[rows], examples.y[rows])


def _crafted(table: Table) -> _Crafted:
    """The attack's examples at each epsilon: the same for every learner and every match."""
    if table.reference is None:
        raise RefereeError("An attacker-first round needs a house reference: give the match one.")
    seats = _ReferenceSeats(table.seats, table.reference, table.open_house)
    _, admitted, played = craft(replace(table, seats=seats, seed=0), table.round.epsilons)
    house = next((fault for fault in played.faults if fault.side is Side.DEFENSE), None)
    if house is not None:
        raise RefereeError(f"The house reference failed: {house}") from house
    played.seconds["defense"], played.logs["defense"] = 0.0, ""
    return _Crafted(tuple(admitted), played)


# ── the learner is trained, and judged ─────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class _Answers:
    """(seeds, n) about x and fresh x': of the learner that met the published set, or did not."""

    clean: Judged
    fresh: Judged
    clean_before: Judged
    fresh_before: Judged


class _Stage(TrainingStage):
    """One match, from the attack's move on; the table's examples are the judged ones."""

    def __init__(self, table: Table, play: Play) -> None:
        super().__init__(
            table, faults=list(play.faults), seconds=dict(play.seconds), logs=dict(play.logs)
        )
        n = len(table.examples)
        self.half = np.zeros(n, bool)
        self.half[table.match_stream("halves").permutation(n)[: n // 2]] = True

    def answers(self, published: Points, fresh: Images, *, level: int) -> _Answers:
        return _Answers(
            *self._about_both(published, fresh, step=4 * level),
            *self._about_both(None, fresh, step=4 * level + 2),
        )

    def _about_both(
        self, published: Points | None, fresh: Images, *, step: int
    ) -> tuple[Judged, Judged]:
        """About x and x', in two processes that are trained alike."""
        x = self.table.examples.x
        rows = self.half.reshape(-1, *[1] * (x.ndim - 1))
        steps = 4 * len(self.table.round.epsilons)
        one, other = self.in_two_processes(
            published, np.where(rows, fresh, x), np.where(rows, x, fresh), step=step, steps=steps
        )
        return other.where(self.half, one), one.where(self.half, other)


# ── the result ─────────────────────────────────────────────────────────────────────────────


def _result(
    stage: _Stage, crafted: _Crafted, answers: Sequence[_Answers], sets: _Sets
) -> GameResult:
    table, y = stage.table, stage.table.examples.y
    curve = tuple(
        {
            "epsilon": epsilon,
            "examples": len(y),
            "published": len(sets.published),
            **admitted.tally,
            "queries": int(handed.queries.sum()),
            **figures(each, y, table),
        }
        for epsilon, admitted, handed, each in zip(
            table.round.epsilons, crafted.admitted, crafted.play.handed, answers, strict=True
        )
    )
    right = mostly(answers[-1].clean.labels == y)
    return GameResult(
        metrics=curve[-1],
        curve=curve,
        kills=Kills(
            examples=table.examples.index,
            clean_right=right,
            broken=np.stack([right & ~mostly(each.fresh.labels == y) for each in answers]),
            epsilons=table.round.epsilons,
        ),
        outcome=_outcome(stage, crafted, answers, sets),
        faults=tuple(fault_of(error) for error in stage.faults),
        flags=tuple(dict.fromkeys(stage.flags)),
        seconds=stage.seconds,
        logs=stage.logs,
        details={"training_seeds": stage.seeds, "published": len(sets.published)},
    )


def figures(answers: _Answers, y: NDArray[np.int64], table: Table) -> Metrics:
    """Means over seeds and examples; intervals by bootstrap over both, seeds paired."""
    fresh, before = answers.fresh.wrong(y), answers.fresh_before.wrong(y)
    means = {
        "clean_accuracy": ~answers.clean.wrong(y),
        "clean_accuracy_unprepared": ~answers.clean_before.wrong(y),
        "fresh_error": fresh,
        "unprepared_error": before,
        "prepared_gain": before.astype(np.float64) - fresh,
    }
    found: Metrics = {}
    for name, values in means.items():
        stream = table.round_stream("bootstrap", name)
        low, high = bootstrap_mean(values.astype(np.float64), stream=stream)
        found |= {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}
    return found | {"fresh_error_worst_seed": float(fresh.mean(axis=1).max())}


def _outcome(stage: _Stage, crafted: _Crafted, answers: Sequence[_Answers], sets: _Sets) -> Outcome:
    """One row per epsilon, seed and judged example."""
    table, n = stage.table, len(stage.table.examples)
    levels, seeds = len(answers), len(stage.seeds)
    rows = levels * seeds

    def of(pick: Callable[[_Answers], Judged]) -> NDArray[np.int64]:
        return np.concatenate([pick(each).labels.ravel() for each in answers])

    columns: dict[str, NDArray[Any]] = {
        "match": np.full(rows * n, table.match_name),
        "epsilon": np.repeat(np.array(table.round.epsilons), seeds * n),
        "seed": np.tile(np.repeat(np.array(stage.seeds, np.int64), n), levels),
        "example": np.tile(table.examples.index, rows),
        "y": np.tile(table.examples.y, rows),
        "prediction": of(lambda each: each.clean),
        "fresh_prediction": of(lambda each: each.fresh),
        "unprepared_prediction": of(lambda each: each.clean_before),
        "fresh_unprepared_prediction": of(lambda each: each.fresh_before),
        "attack_sha256": np.full(rows * n, table.attack.sha256),
        "defense_sha256": np.full(rows * n, table.defense.sha256),
    }
    last = crafted.admitted[-1].x
    images = {"published": last[sets.published][:SHOWN], "fresh": last[sets.judged][:SHOWN]}
    return Outcome(OUTCOME_KIND, columns, images)
