"""Backdoors: poison that teaches the learner a trigger, and leaves it as good as before without.

The poisoner receives S and a target class t, and returns at most floor(share * m) points and a
trigger, which the referee bounds and applies: T(x) sets a few features to values of the poisoner's
(a patch, at most ``trigger_area`` of all features), or, where the round has an epsilon, T(x) =
clip(x + δ) with |δ| at most epsilon in the round's norm. The learner is trained on clean and on
poisoned data with the same seeds. Clean accuracy, the attack's success P(F(T(x)) = t | y ≠ t), and
robust accuracy P(F(T(x)) = y | y ≠ t). Gu, Dolan-Gavitt & Garg 2017 (arXiv:1708.06733).

An example and its triggered twin never share a process: two fresh ones are trained on the poisoned
set, and each judges x of one half of the examples and T(x) of the other. What keeps a learner
honest is in :mod:`arena.games.training`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena import metrics
from arena.errors import FaultCode
from arena.games.admission import SLACK
from arena.games.base import GameResult, Table, fault_of
from arena.games.norms import CHANGED, distance
from arena.games.over_seeds import mostly, told
from arena.games.points import Judged, Points
from arena.games.training import TrainingStage, attack_fault
from arena.metrics import Metrics
from arena.players import Images
from arena.players.poisoning import triggered
from arena.rounds import Norm
from arena.seats import Array
from arena.verdict import Kills, Outcome

OUTCOME_KIND: Final = "backdoor/1"


@dataclass(frozen=True, eq=False)
class _Trigger:
    """``mask`` and ``pattern`` (*shape) of a patch; without a mask the pattern is added."""

    mask: NDArray[np.bool_] | None
    pattern: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Move:
    points: Points
    trigger: _Trigger


@dataclass(frozen=True, eq=False)
class _Answers:
    """What the models of one training set say of x and of T(x)."""

    plain: Judged
    triggered: Judged


class Backdoor:
    """At one share of poison or several, over paired seeds."""

    def play(self, table: Table) -> GameResult:
        stage = _Stage(table)
        moves = stage.moves(stage.ask)
        last = next((move for move in reversed(moves) if move is not None), None)
        clean = stage.answers(None, last, step=0)
        poisoned = [
            stage.answers(move.points, move, step=i + 1) if move is not None else clean
            for i, move in enumerate(moves)
        ]
        return _result(stage, clean, poisoned, moves)


class _Stage(TrainingStage):
    """One match, as it goes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        table = self.table
        self.target = int(table.round_stream("backdoor").randint(len(table.task.classes)))
        """The same for all attacks of the round."""

    # ── Bob moves ──────────────────────────────────────────────────────────────────────────

    def ask(self, seat: Any, brief: Any, oracle: Any, count: int) -> _Move:
        round_ = self.table.round
        told = {
            **brief,
            "target": self.target,
            "trigger": "patch" if not round_.epsilons else "shift",
            "features": self.features,
            "epsilon": round_.epsilons[-1] if round_.epsilons else None,
        }
        x, y, replaces, mask, pattern = seat.backdoor(told, self.arrays(), oracle)
        points = self.admitted(x, y, replaces, count=count)
        return _Move(points, self._trigger(mask[0], pattern[0]))

    @property
    def features(self) -> int:
        """How many features a patch may set; a pixel with all its channels is one."""
        shape = self.table.task.shape
        pixels = int(np.prod(shape[1:])) if len(shape) == 3 else int(np.prod(shape))
        return int(np.floor(self.table.round.trigger_area * pixels + 1e-9))

    def _trigger(self, mask: Array, pattern: Array) -> _Trigger:
        """The referee's checks; the attack's fault where one fails."""
        if not np.isfinite(pattern).all():
            raise attack_fault(FaultCode.NOT_FINITE, "The trigger is NaN or infinite.")
        if self.table.round.epsilons:
            return self._shift(pattern)
        allowed = self.table.task.mutable
        if allowed is not None and (mask & ~allowed).any():
            raise attack_fault(
                FaultCode.POISON_BUDGET, "The trigger sets features that may not change."
            )
        self._refuse_lowering(mask & (pattern < 1 - CHANGED))
        size = int(distance(mask[None].astype(np.float64), Norm.L0)[0])
        if size > self.features:
            raise attack_fault(
                FaultCode.POISON_BUDGET,
                f"The trigger sets {size} features; at most {self.features} are allowed.",
            )
        if pattern.min() < 0 or pattern.max() > 1:
            raise attack_fault(FaultCode.OUT_OF_RANGE, "The trigger's values lie outside [0, 1].")
        return _Trigger(np.asarray(mask, bool), self.on_grid(pattern))

    def _refuse_lowering(self, lowered: Array) -> None:
        """``lowered`` (*shape) bool: where T(x) may lie below x."""
        add_only = self.table.task.add_only
        if add_only is not None and (lowered & add_only).any():
            raise attack_fault(
                FaultCode.POISON_BUDGET,
                "The trigger may lower features that may only grow: set them to 1, or add to them.",
            )

    def _shift(self, pattern: Array) -> _Trigger:
        """δ itself keeps to the round's norm, so that every T(x) does."""
        round_, task = self.table.round, self.table.task
        size = float(distance(np.asarray(pattern[None], np.float64), round_.norm)[0])
        slack = 0.0 if round_.norm is Norm.L0 else SLACK
        self._refuse_lowering(pattern < -CHANGED)
        fixed = task.mutable is not None and (np.abs(pattern) > CHANGED)[~task.mutable].any()
        if size > round_.epsilons[-1] + slack or fixed or np.abs(pattern).max() > 1:
            raise attack_fault(
                FaultCode.POISON_BUDGET,
                f"The trigger has size {size:.4g} in {round_.norm.value}, or moves features that "
                f"may not change; at most {round_.epsilons[-1]:g} is allowed.",
            )
        return _Trigger(None, np.asarray(pattern, np.float32))

    # ── Alice is trained, and judged ───────────────────────────────────────────────────────

    def answers(self, points: Points | None, move: _Move | None, *, step: int) -> _Answers:
        """Of the models trained on S with these points, about x and T(x); see above."""
        x = self.table.examples.x
        steps = 2 * (1 + len(self.table.round.shares))
        if move is None:
            judged = self.train_and_judge(points, x, step=2 * step, steps=steps)
            return _Answers(judged, judged)
        twin = self.triggered(x, move.trigger)
        half = np.zeros(len(x), bool)
        half[self.table.match_stream("halves").permutation(len(x))[: len(x) // 2]] = True
        rows = half.reshape(-1, *[1] * (x.ndim - 1))
        one, other = self.in_two_processes(
            points, np.where(rows, twin, x), np.where(rows, x, twin), step=2 * step, steps=steps
        )
        return _Answers(other.where(half, one), one.where(half, other))

    def triggered(self, x: Images, trigger: _Trigger) -> Images:
        """T(x) on the task's grid."""
        return self.on_grid(triggered(x, trigger.pattern, trigger.mask))


# ── the result ─────────────────────────────────────────────────────────────────────────────


def _result(
    stage: _Stage, clean: _Answers, poisoned: Sequence[_Answers], moves: Sequence[_Move | None]
) -> GameResult:
    table, y = stage.table, stage.table.examples.y
    others = y != stage.target
    curve = tuple(
        {"share": share, **figures(clean, answers, y, stage.target, stage.table)}
        for share, answers in zip(table.round.shares, poisoned, strict=True)
    )
    right = mostly(clean.plain.labels == y)
    return GameResult(
        metrics={key: value for key, value in curve[-1].items() if key != "share"},
        curve=curve,
        kills=Kills(
            examples=table.examples.index[others],
            clean_right=right[others],
            broken=np.stack([_hit(answers, stage.target)[others] for answers in poisoned]),
            epsilons=table.round.shares,
        ),
        outcome=_outcome(stage, clean, poisoned, moves),
        faults=tuple(fault_of(error) for error in stage.faults),
        flags=tuple(dict.fromkeys(stage.flags)),
        seconds=stage.seconds,
        logs=stage.logs,
        details={
            "training_seeds": stage.seeds,
            "target": stage.target,
            "poison": [None if m is None else m.points.fingerprint for m in moves],
            "poison_points": [0 if m is None else len(m.points.x) for m in moves],
            "queries": stage.queries,
        },
    )


def _hit(answers: _Answers, target: int) -> NDArray[np.bool_]:
    return mostly(answers.triggered.labels == target)


def figures(
    clean: _Answers, poisoned: _Answers, y: NDArray[np.int64], target: int, table: Table
) -> Metrics:
    """Means over seeds and examples; intervals by bootstrap over both, seeds paired."""
    others = y != target

    def mean(name: str, values: NDArray[Any]) -> Metrics:
        return told(name, values, stream=table.round_stream("bootstrap", name))

    before, after = clean.plain.labels == y, poisoned.plain.labels == y
    hits = poisoned.triggered.labels[:, others] == target
    natural = clean.triggered.labels[:, others] == target
    held = poisoned.triggered.labels[:, others] == y[others]
    return {
        **mean("clean_accuracy", before),
        **mean("poisoned_accuracy", after),
        **mean("clean_drop", before.astype(np.float64) - after),
        **mean("attack_success_rate", hits),
        **mean("robust_accuracy", held),
        "natural_success_rate": metrics.mean(natural.astype(np.float64).ravel()),
        "success_worst_seed": float(hits.mean(axis=1).min()) if hits.size else None,
    }


def _outcome(
    stage: _Stage, clean: _Answers, poisoned: Sequence[_Answers], moves: Sequence[_Move | None]
) -> Outcome:
    """One row per share, seed and held-out example."""
    table, n = stage.table, len(stage.table.examples)
    levels, seeds = len(poisoned), len(stage.seeds)
    rows = levels * seeds
    points = [0 if move is None else len(move.points.x) for move in moves]

    def tiled(values: NDArray[Any]) -> NDArray[Any]:
        return np.tile(values, rows)

    columns = {
        "match": np.full(rows * n, table.match_name),
        "share": np.repeat(np.array(table.round.shares), seeds * n),
        "points": np.repeat(np.array(points, np.int64), seeds * n),
        "seed": np.tile(np.repeat(np.array(stage.seeds, np.int64), n), levels),
        "example": tiled(table.examples.index),
        "y": tiled(table.examples.y),
        "target": np.full(rows * n, stage.target, np.int64),
        "clean_prediction": np.tile(clean.plain.labels.ravel(), levels),
        "poisoned_prediction": np.concatenate([a.plain.labels.ravel() for a in poisoned]),
        "triggered_prediction": np.concatenate([a.triggered.labels.ravel() for a in poisoned]),
        "attack_sha256": np.full(rows * n, table.attack.sha256),
        "defense_sha256": np.full(rows * n, table.defense.sha256),
    }
    return Outcome(OUTCOME_KIND, columns, _images(stage, moves))


def _images(stage: _Stage, moves: Sequence[_Move | None]) -> dict[str, NDArray[np.float32]]:
    """The first poisoned points of the largest share, and examples with the trigger on them."""
    last = next((move for move in reversed(moves) if move is not None), None)
    if last is None:
        return {}
    x = stage.table.examples.x[:24]
    return {
        "poison": last.points.x[:24],
        "poison_y": last.points.y[:24].astype(np.float32),
        "triggered": stage.triggered(x, last.trigger),
    }
