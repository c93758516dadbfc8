"""A learner: trained twice on clean data, and asked; one of trends is fitted to series."""

from __future__ import annotations

from typing import Final

import numpy as np

from arena import house
from arena.errors import FaultCode, PlayerError, Side
from arena.packages import Package
from arena.qualification.check import (
    CLEAN_EXAMPLES,
    FRIENDLY_EXAMPLES,
    SECRET,
    Array,
    Check,
    clean_accuracy,
    differs,
    epsilon_of,
    judged,
    told_as_defense,
)
from arena.referee import MatchSpec, play_match
from arena.rounds import GameName, Norm, RoundSpec, threat_model_for
from arena.threat_model import ThreatModel
from arena.verdict import Verdict

HOUSE_LEVELLER: Final = "level-trend"


def check_learner(check: Check) -> str:
    if check.task.is_regression:
        return _estimator(check)
    train = check.task.train
    x, y = check.examples(CLEAN_EXAMPLES)
    seeds = np.arange(len(x), dtype=np.uint64)
    check.report("Training it on the clean training set.", 2)
    first = _trained(check, train.x, train.y, x, seeds)
    clean_accuracy(check, first, y)
    check.report("Training it again in a fresh process.", 2)
    again = _trained(check, train.x, train.y, x, seeds)
    if differs(again, first):
        raise PlayerError(
            Side.DEFENSE,
            FaultCode.NOT_DETERMINISTIC,
            "The same data and seed trained another model; draw from the given seed alone.",
        )
    return told_as_defense(check)


def _estimator(check: Check) -> str:
    """Fitted to the practice series in a match that nobody attacks, and twice to one of them."""
    split = check.task.practice
    rows = np.flatnonzero(split.x[:, -1] == split.x[0, -1]) if split.x.shape[1] > 1 else slice(None)
    x, y = split.x[rows], split.y[rows]
    seeds = np.zeros(len(x), np.uint64)
    check.report("Fitting it to a series, twice.", 2)
    first, again = (_trained(check, x, y, x, seeds) for _ in range(2))
    if differs(again, first):
        raise PlayerError(
            Side.DEFENSE,
            FaultCode.NOT_DETERMINISTIC,
            "The same data and seed fitted another line; draw from the given seed alone.",
        )
    check.report("Fitting it to the practice series.", 2)
    verdict = friendly_trend(check, house.package(HOUSE_LEVELLER, check.task.name), check.package)
    check.figures["clean_accuracy"] = verdict.metrics["clean_accuracy"]
    check.figures["friendly"] = dict(verdict.metrics)
    return told_as_defense(check)


def friendly_trend(check: Check, attack: Package, defense: Package) -> Verdict:
    norm = Norm((check.manifest.needs.norms or ("l2",))[0])
    round_ = RoundSpec(
        GameName.TREND_POISONING,
        check.task.name,
        threat_model_for(GameName.TREND_POISONING, ThreatModel.white()),
        norm=norm,
        epsilons=(epsilon_of(check.task, norm),),
        examples=FRIENDLY_EXAMPLES,
    )
    match = MatchSpec(round_, attack, defense, seed=1, secret=SECRET)
    verdict = play_match(match, backend=check.backend, task=check.task, progress=check.progress)
    return judged(check, verdict)


def _trained(check: Check, x: Array, y: Array, held_out: Array, seeds: Array) -> Array:
    seat = check.seat()
    try:
        seat.fit(x, y, 1)
        check.figures["seconds_to_train"] = seat.seconds
        return seat.predict(held_out, seeds)
    finally:
        check.log.append(seat.close())
