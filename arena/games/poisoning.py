"""Availability poisoning: the learner is committed as code, the attacker moves after.

The poisoner receives the training set S (|S| = m) and what the threat model shows of the learner,
never a held-out point, and returns at most floor(share * m) points, added to S or replacing points
of his choice. The referee trains the learner on clean and on poisoned data with the same seeds,
and judges on held-out examples. Headline of the poisoner: err(S u S_B) - err(S); of the learner:
its poisoned error. What keeps a learner honest is in :mod:`arena.games.training`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena import metrics
from arena.answers import ABSTAIN
from arena.games.base import GameResult, Table, fault_of
from arena.games.over_seeds import bootstrap_mean, mostly
from arena.games.points import Judged, Points
from arena.games.training import TrainingStage
from arena.verdict import Kills, Outcome

OUTCOME_KIND: Final = "poisoning/1"


class Poisoning:
    """Add or replace, at one share or several, over paired seeds."""

    def play(self, table: Table) -> GameResult:
        stage = TrainingStage(table)
        poisons = stage.moves(
            lambda seat, brief, oracle, count: stage.admitted(
                *seat.poison(brief, stage.arrays(), oracle), count=count
            )
        )
        asked, steps = table.examples.x, 1 + len(poisons)
        clean = stage.train_and_judge(None, asked, step=0, steps=steps)
        judged = [
            stage.train_and_judge(poison, asked, step=i + 1, steps=steps)
            if poison is not None
            else clean
            for i, poison in enumerate(poisons)
        ]
        models = zip(poisons, judged, strict=True)
        stage.hold_one_together([(poison, said) for poison, said in models if poison is not None])
        if stage.distrusted:
            judged = [stage.nothing] * len(poisons)
        return _result(stage, clean, judged, poisons)


def _result(
    stage: TrainingStage,
    clean: Judged,
    judged: Sequence[Judged],
    poisons: Sequence[Points | None],
) -> GameResult:
    table, y = stage.table, stage.table.examples.y
    wrong = [each.wrong(y) for each in judged]
    clean_wrong = clean.wrong(y)
    curve = tuple(
        {"share": share, **figures(clean_wrong, w, stream=table.round_stream("bootstrap"))}
        for share, w in zip(table.round.shares, wrong, strict=True)
    )
    right = mostly(~clean_wrong)
    headline = {key: value for key, value in curve[-1].items() if key != "share"}
    headline |= metrics.clean_accuracy(right)
    headline["clean_accuracy"] = 1.0 - float(clean_wrong.mean())
    return GameResult(
        metrics=headline,
        curve=curve,
        kills=Kills(
            examples=table.examples.index,
            clean_right=right,
            broken=np.stack([right & ~mostly(~w) for w in wrong]),
            epsilons=table.round.shares,
        ),
        outcome=_outcome(stage, clean, judged, poisons),
        faults=tuple(fault_of(error) for error in stage.faults),
        flags=tuple(dict.fromkeys(stage.flags)),
        seconds=stage.seconds,
        logs=stage.logs,
        details={
            "training_seeds": stage.seeds,
            "poison": [None if p is None else p.fingerprint for p in poisons],
            "poison_points": [0 if p is None else len(p.x) for p in poisons],
            "queries": stage.queries,
        },
    )


def _outcome(
    stage: TrainingStage,
    clean: Judged,
    judged: Sequence[Judged],
    poisons: Sequence[Points | None],
) -> Outcome:
    """One row per share, seed and held-out example."""
    table, n = stage.table, len(stage.table.examples)
    levels, seeds = len(judged), len(stage.seeds)
    rows = levels * seeds

    def tiled(values: NDArray[Any]) -> NDArray[Any]:
        return np.tile(values, rows)

    points = [0 if poison is None else len(poison.x) for poison in poisons]
    columns = {
        "match": np.full(rows * n, table.match_name),
        "share": np.repeat(np.array(table.round.shares), seeds * n),
        "points": np.repeat(np.array(points, np.int64), seeds * n),
        "seed": np.tile(np.repeat(np.array(stage.seeds, np.int64), n), levels),
        "example": tiled(table.examples.index),
        "y": tiled(table.examples.y),
        "clean_prediction": np.tile(clean.labels.ravel(), levels),
        "clean_confidence": np.tile(clean.confidence.ravel(), levels),
        "poisoned_prediction": np.concatenate([j.labels.ravel() for j in judged]),
        "poisoned_confidence": np.concatenate([j.confidence.ravel() for j in judged]),
    }
    columns["abstained"] = columns["poisoned_prediction"] == ABSTAIN
    columns["attack_sha256"] = np.full(rows * n, table.attack.sha256)
    columns["defense_sha256"] = np.full(rows * n, table.defense.sha256)
    return Outcome(OUTCOME_KIND, columns, _images(poisons))


def _images(poisons: Sequence[Points | None]) -> dict[str, NDArray[np.float32]]:
    """The first poisoned points of the largest share, for the gallery."""
    last = next((p for p in reversed(poisons) if p is not None), None)
    if last is None:
        return {}
    return {"poison": last.x[:24], "poison_y": last.y[:24].astype(np.float32)}


def figures(
    clean_wrong: NDArray[np.bool_],
    poisoned_wrong: NDArray[np.bool_],
    *,
    stream: np.random.RandomState,
) -> dict[str, float | None]:
    """Errors from (seeds, n) mistakes on clean and on poisoned training sets, seeds paired.

    The interval of delta_error is a paired bootstrap over examples and seeds together (B = 1,000,
    percentiles 2.5 and 97.5). ``success`` is the share of seeds whose error grew.
    """
    difference = poisoned_wrong.astype(np.float64) - clean_wrong
    low, high = bootstrap_mean(difference, stream=stream)
    return {
        "clean_error": float(clean_wrong.mean()),
        "poisoned_error": float(poisoned_wrong.mean()),
        "poisoned_error_worst_seed": float(poisoned_wrong.mean(axis=1).max()),
        "delta_error": float(difference.mean()),
        "delta_error_low": low,
        "delta_error_high": high,
        "success": float((difference.mean(axis=1) > 0).mean()),
    }
