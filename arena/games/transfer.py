"""Transfer: no probes; crafted on related models that the attack trains or is given.

Beside what every round over epsilons counts: how often a mistake of the first related model is one
of the defense too, and how that compares with random noise of the same size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena import metrics
from arena.games.admission import Admitted
from arena.games.ball import Scored, ball_result, noise_wrong, play
from arena.games.base import GameResult, Table
from arena.games.house_models import house_answers
from arena.games.scoring import level_metrics
from arena.games.targets import NO_TARGET
from arena.metrics import Bits, Metrics


class Transfer:
    def play(self, table: Table) -> GameResult:
        scored = play(table, table.round.epsilons)
        curve = [
            {**level_metrics(level, table), **_transfer(table, scored, number)}
            for number, level in enumerate(scored.levels)
        ]
        return ball_result(table, scored, curve)


def _transfer(table: Table, scored: Scored, number: int) -> Metrics:
    """Over clean-right cases. Without a related model the rate is told of all of them."""
    level = scored.levels[number]
    right, wrong = level.clean_right, level.broken
    source = _source_wrong(table, scored, number)
    noise = noise_wrong(table, scored, number)
    rate = metrics.transfer_rate(source & right, wrong)
    by_noise = metrics.share("noise_success_rate", noise[right])
    return {
        **(rate if table.related else metrics.share_of("transfer_rate", 0, 0)),
        **by_noise,
        "transfer_ratio": metrics.ratio(rate["transfer_rate"], by_noise["noise_success_rate"]),
    }


def source_labels(table: Table, admitted: Admitted) -> NDArray[np.int64]:
    """(cases,) what the first related model answers to what was crafted."""
    return house_answers(table, table.related[0], admitted.x).labels


def _source_wrong(table: Table, scored: Scored, number: int) -> Bits:
    """(cases,) whether the first related model falls for the candidate; all of them without one."""
    level, kept = scored.levels[number], scored.play.source
    if not table.related:
        return np.ones(len(level.cases), bool)
    labels = source_labels(table, level.admitted) if kept is None else kept[number]
    y, target = table.examples.y[level.cases.example], level.cases.target_or_none
    return np.asarray(np.where(target == NO_TARGET, labels != y, labels == target))
