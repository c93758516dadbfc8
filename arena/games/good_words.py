"""Good words: spam that is blocked is padded with words until it passes (Lowd & Meek 2005).

The budget is a number of words that may be added; none may be taken out. Only the examples of the
task's ``attacker_class`` are attacked, and the others are judged as they are, so that a filter that
blocks every mail has no clean accuracy. Without probes the attack is *passive*, with probes it may
find the filter's best words; the threat model says which.

The headline is the share of blocked spam that passes, with a point of the curve for each budget;
the same number of random words is judged beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from arena import metrics
from arena.errors import RefereeError
from arena.games.ball import Scored, ball_result, noise_wrong, play
from arena.games.base import GameResult, Table
from arena.games.scoring import (
    Level,
    by_example,
    clean_costs,
    distances,
    level_metrics,
    mistaken,
)
from arena.metrics import Bits, Metrics


class GoodWords:
    """An attack of any kind that plays evasion in L0 and keeps to what the task allows."""

    def play(self, table: Table) -> GameResult:
        owned = attackers_examples(table)
        scored = play(table, table.round.epsilons, attacked=np.flatnonzero(owned))
        curve = [_point(table, scored, number, owned=owned) for number in range(len(scored.levels))]
        found = ball_result(table, scored, curve)
        assert found.kills is not None
        return replace(
            found,
            metrics={**found.metrics, "median_words": median_words(table, scored.levels)},
            kills=replace(found.kills, attackable=owned),
        )


def attackers_examples(table: Table) -> Bits:
    """(examples,) those of the class that attackers own.

    Raises:
        RefereeError: none of its examples is judged.
    """
    owned: Bits = table.examples.y == table.task.attacker_class
    if not owned.any():
        raise RefereeError("No example of the attackers' class is judged: judge more examples.")
    return owned


def _point(table: Table, scored: Scored, number: int, *, owned: Bits) -> Metrics:
    """Success is counted over blocked spam; robust accuracy over all mails, as on the board."""
    level = scored.levels[number]
    right = ~level.clean.mostly_wrong
    broken = by_example(level, level.broken, examples=len(table.examples), every=False)
    ever = by_example(level, level.broken_ever, examples=len(table.examples), every=False)
    noise = noise_wrong(table, scored, number)
    return {
        **level_metrics(level, table),
        **metrics.robust_accuracy(right, broken),
        **metrics.share("robust_accuracy_any", right & ~ever),
        "value_loss": metrics.mean(_costs(table, level)),
        **metrics.share("blocked", right[owned]),
        **metrics.share("false_alarms", ~right[~owned]),
        **metrics.share("noise_success_rate", noise[level.clean_right]),
    }


def _costs(table: Table, level: Level) -> NDArray[np.float64]:
    """(examples,) what answers cost, to spam as it was padded and to other mails as they are."""
    costs, rows = clean_costs(level, table), level.cases.example
    wrong = mistaken(level, table.examples)
    costs[rows] = metrics.costs(
        table.examples.y[rows], level.attacked.prediction, wrong, table.task.cost
    )
    return costs


def median_words(table: Table, levels: Sequence[Level]) -> float | None:
    """Over blocked spam: the fewest words that were handed in and passed; a miss is infinite."""
    right = levels[0].clean_right
    sizes = np.stack([distances(level, table.examples, table.round.norm) for level in levels])
    return metrics.median_distance(sizes.min(axis=0)[right])
