"""Minimum-norm evasion: the smallest perturbation with F(x + δ) in the target set.

Scored by distance: a clean mistake costs 0, a miss costs the largest perturbation that any
candidate could have, μ(max(x, 1 - x)). There is no budget; the curve reads robust accuracy off the
distances at the task's usual epsilons.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena import metrics
from arena.games.ball import Scored, kills, play
from arena.games.base import GameResult, Table
from arena.games.norms import farthest
from arena.games.scoring import distances, level_metrics, outcome
from arena.metrics import Metrics


class MinimumNorm:
    def play(self, table: Table) -> GameResult:
        scored = play(table, (None,))
        (level,) = scored.levels
        norm, examples = table.round.norm, table.examples
        found = distances(level, examples, norm)
        miss = farthest(examples.x[level.cases.example], norm)
        cost = np.where(np.isfinite(found), found, miss)
        nearest = np.full(len(examples), np.inf)
        np.minimum.at(nearest, level.cases.example, cost)
        usual = table.task.norms.get(norm.value, ())
        curve = tuple(_point(epsilon, found, level.clean_right) for epsilon in usual)
        figures = level_metrics(level, table)
        robust = [figures["clean_accuracy"], *(point["robust_accuracy"] for point in curve)]
        figures |= {
            "mean_distance": metrics.mean(cost),
            "median_distance": metrics.median_distance(cost),
            "curve_area": metrics.curve_area([0.0, *usual], robust),
        }
        return _result(table, scored, figures, curve, nearest)


def _point(epsilon: float, found: NDArray[np.float64], right: metrics.Bits) -> Metrics:
    robust = metrics.robust_at(found, right, epsilon)
    return {
        "epsilon": float(epsilon),
        **metrics.clean_accuracy(right),
        **metrics.attack_success_rate(right, right & ~robust),
        **metrics.share("robust_accuracy", robust),
    }


def _result(
    table: Table,
    scored: Scored,
    figures: Metrics,
    curve: tuple[Metrics, ...],
    nearest: NDArray[np.float64],
) -> GameResult:
    found = GameResult(
        metrics=figures,
        curve=curve,
        kills=kills(table, scored, sizes=nearest),
        outcome=outcome(scored.levels, table),
    )
    return scored.complete(found)
