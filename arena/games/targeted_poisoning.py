"""Targeted poisoning: a few chosen points are to be answered as classes that they are not.

The referee draws points of the split and a target class for each, the same for all attacks. The
poisoner sees one of them at a time, beside S, and returns at most floor(share * m) points; each
chosen point has a poison and trainings of its own, on clean and on poisoned data with the same
seeds. Success is P(F(x) = t) over chosen points and seeds; clean accuracy is that of the other
judged examples. In rounds with an epsilon the poison is clean-label: every point keeps the label
of a point of S and lies within epsilon of it. Shafahi et al. 2018 (arXiv:1804.00792); Geiping et
al. 2021 (arXiv:2009.02276). What keeps a learner honest is in :mod:`arena.games.training`.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from arena.rounds import Norm
from arena.verdict import Kills, Outcome

OUTCOME_KIND: Final = "targeted_poisoning/1"
ROWS_COMPARED: Final = 64
"""Poisoned points that are held against S at a time."""


class TargetedPoisoning:
    """At one share of poison or several, over chosen points and paired seeds."""

    def play(self, table: Table) -> GameResult:
        stage = _Stage(table)
        moves = stage.moves(stage.ask)
        steps = 1 + len(moves) * len(stage.chosen)
        clean = stage.train_and_judge(None, table.examples.x, step=0, steps=steps)
        poisoned = [
            [
                stage.train_and_judge(
                    points,
                    table.examples.x,
                    step=1 + level * len(stage.chosen) + i,
                    steps=steps,
                )
                for i, points in enumerate(move)
            ]
            if move is not None
            else [clean] * len(stage.chosen)
            for level, move in enumerate(moves)
        ]
        models = [zip(m, j, strict=True) for m, j in zip(moves, poisoned, strict=True) if m]
        flat = [model for some in models for model in some]
        stage.hold_one_together(flat, about=[*stage.chosen.tolist()] * len(models))
        if stage.distrusted:
            poisoned = [[stage.nothing] * len(stage.chosen) for _ in moves]
        return _result(stage, clean, poisoned, moves)


class _Stage(TrainingStage):
    """One match, as it goes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        y, stream = self.table.examples.y, self.table.round_stream("chosen points")
        count = min(self.table.round.targets, len(y))
        self.chosen: NDArray[np.int64] = stream.permutation(len(y))[:count]
        """Which of the judged examples are the chosen points, and what each should become."""
        classes = len(self.table.task.classes)
        self.targets = (y[self.chosen] + 1 + stream.randint(classes - 1, size=count)) % classes
        self.others = np.setdiff1d(np.arange(len(y)), self.chosen)

    def ask(self, seat: Any, brief: Any, oracle: Any, count: int) -> list[Points]:
        """A poison for each chosen point."""
        round_, examples = self.table.round, self.table.examples
        found = []
        for i, (row, target) in enumerate(zip(self.chosen, self.targets, strict=True)):
            told_ = {
                **brief,
                "seed": int(brief["seed"]) + i,
                "target": int(target),
                "label": int(examples.y[row]) if round_.threat_model.true_label else None,
                "epsilon": round_.epsilons[-1] if round_.epsilons else None,
            }
            arrays = {**self.arrays(), "target_x": examples.x[row : row + 1]}
            points = self.admitted(*seat.poison(told_, arrays, oracle), count=count)
            if round_.epsilons:
                self.check_clean_label(points)
            found.append(points)
        return found

    def check_clean_label(self, points: Points) -> None:
        """Each point lies within epsilon of one of S with its label, or of the one it replaces."""
        round_, train = self.table.round, self.table.task.train
        slack = 0.0 if round_.norm is Norm.L0 else SLACK
        for i, (x, label) in enumerate(zip(points.x, points.y, strict=True)):
            bases = np.flatnonzero(train.y == label)
            if points.replaces is not None:
                bases = np.intersect1d(bases, points.replaces[i : i + 1])
            if self._nearest(x, bases) > round_.epsilons[-1] + slack:
                which = "the point that it replaces" if points.replaces is not None else "any of S"
                raise attack_fault(
                    FaultCode.POISON_BUDGET,
                    f"Poisoned point {i} is not within {round_.epsilons[-1]:g} in "
                    f"{round_.norm.value} of {which} under the same label.",
                )

    def _nearest(self, x: NDArray[np.float32], bases: NDArray[np.int64]) -> float:
        """The distance to the nearest base from which only features that may change differ."""
        task, norm = self.table.task, self.table.round.norm
        nearest = np.inf
        for start in range(0, len(bases), ROWS_COMPARED):
            origin = task.train.x[bases[start : start + ROWS_COMPARED]].astype(np.float64)
            delta = x[None].astype(np.float64) - origin
            sizes = distance(delta, norm)
            if task.mutable is not None:
                fixed = (np.abs(delta) > CHANGED) & ~task.mutable
                sizes = np.where(fixed.reshape(len(delta), -1).any(axis=1), np.inf, sizes)
            nearest = min(nearest, float(sizes.min()))
        return nearest


# ── the result ─────────────────────────────────────────────────────────────────────────────


def _result(
    stage: _Stage,
    clean: Judged,
    poisoned: Sequence[Sequence[Judged]],
    moves: Sequence[list[Points] | None],
) -> GameResult:
    table, y = stage.table, stage.table.examples.y
    curve = tuple(
        {"share": share, **_figures(stage, clean, judged)}
        for share, judged in zip(table.round.shares, poisoned, strict=True)
    )
    points = [[] if move is None else move for move in moves]
    return GameResult(
        metrics={key: value for key, value in curve[-1].items() if key != "share"},
        curve=curve,
        kills=Kills(
            examples=table.examples.index[stage.chosen],
            clean_right=mostly(clean.labels == y)[stage.chosen],
            broken=np.stack([mostly(_hits(stage, judged)) for judged in poisoned]),
            epsilons=table.round.shares,
        ),
        outcome=_outcome(stage, clean, poisoned, moves),
        faults=tuple(fault_of(error) for error in stage.faults),
        flags=tuple(dict.fromkeys(stage.flags)),
        seconds=stage.seconds,
        logs=stage.logs,
        details={
            "training_seeds": stage.seeds,
            "targets": stage.targets.tolist(),
            "poison": [[p.fingerprint for p in move] for move in points],
            "poison_points": [[len(p.x) for p in move] for move in points],
            "queries": stage.queries,
        },
    )


def _answers(stage: _Stage, judged: Sequence[Judged]) -> NDArray[np.int64]:
    """(seeds, chosen) what each chosen point is answered by the models of its own poison."""
    return np.stack([j.labels[:, row] for j, row in zip(judged, stage.chosen, strict=True)], axis=1)


def _hits(stage: _Stage, judged: Sequence[Judged]) -> NDArray[np.bool_]:
    return np.asarray(_answers(stage, judged) == stage.targets)


def _figures(stage: _Stage, clean: Judged, judged: Sequence[Judged]) -> Metrics:
    """Means over chosen points, seeds and examples; intervals by bootstrap, seeds paired."""

    def mean(name: str, values: NDArray[Any]) -> Metrics:
        return told(name, values, stream=stage.table.round_stream("bootstrap", name))

    y, others = stage.table.examples.y, stage.others
    before = (clean.labels == y)[:, others].astype(np.float64)
    after = np.mean([(j.labels == y)[:, others] for j in judged], axis=0)
    hits = _hits(stage, judged)
    natural = clean.labels[:, stage.chosen] == stage.targets
    held = _answers(stage, judged) == y[stage.chosen]
    return {
        **mean("clean_accuracy", before),
        **mean("poisoned_accuracy", after),
        **mean("clean_drop", before - after),
        **mean("attack_success_rate", hits),
        **mean("robust_accuracy", held),
        "natural_success_rate": metrics.mean(natural.astype(np.float64).ravel()),
        "success_worst_seed": float(hits.mean(axis=1).min()) if hits.size else None,
        "chosen_points": float(len(stage.chosen)),
    }


def _outcome(
    stage: _Stage,
    clean: Judged,
    poisoned: Sequence[Sequence[Judged]],
    moves: Sequence[list[Points] | None],
) -> Outcome:
    """One row per share, chosen point, seed and judged example."""
    table, n = stage.table, len(stage.table.examples)
    levels, chosen, seeds = len(poisoned), len(stage.chosen), len(stage.seeds)
    rows = levels * chosen * seeds
    counts = [[0] * chosen if m is None else [len(p.x) for p in m] for m in moves]
    columns = {
        "match": np.full(rows * n, table.match_name),
        "share": np.repeat(np.array(table.round.shares), chosen * seeds * n),
        "points": np.repeat(np.array(counts, np.int64).ravel(), seeds * n),
        "chosen": np.tile(np.repeat(table.examples.index[stage.chosen], seeds * n), levels),
        "target": np.tile(np.repeat(stage.targets.astype(np.int64), seeds * n), levels),
        "seed": np.tile(np.repeat(np.array(stage.seeds, np.int64), n), levels * chosen),
        "example": np.tile(table.examples.index, rows),
        "y": np.tile(table.examples.y, rows),
        "clean_prediction": np.tile(clean.labels.ravel(), levels * chosen),
        "poisoned_prediction": np.concatenate(
            [judged.labels.ravel() for level in poisoned for judged in level]
        ),
        "attack_sha256": np.full(rows * n, table.attack.sha256),
        "defense_sha256": np.full(rows * n, table.defense.sha256),
    }
    return Outcome(OUTCOME_KIND, columns, _images(stage, moves))


def _images(stage: _Stage, moves: Sequence[list[Points] | None]) -> dict[str, NDArray[np.float32]]:
    """The chosen points, and the first poison of each at the largest share."""
    images = {"chosen": stage.table.examples.x[stage.chosen]}
    last = next((move for move in reversed(moves) if move is not None), None)
    if last is not None and any(len(points.x) for points in last):
        each = max(1, 24 // len(last))
        images["poison"] = np.concatenate([points.x[:each] for points in last])
        images["poison_y"] = np.concatenate([p.y[:each] for p in last]).astype(np.float32)
    return images
