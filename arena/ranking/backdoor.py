"""The boards of a backdoor round: learners by the best trigger, poisoners by their triggers.

The figure is P(F(T(x)) = t | y ≠ t) at the round's largest share. A poisoner whose poison costs
more clean accuracy than :data:`STEALTH` has planted no backdoor but done damage, for which there
are poisoning rounds: it scores nothing, though the learner's figure counts it.
"""

from __future__ import annotations

from typing import Final

from arena.ranking.board import Board, Headline
from arena.ranking.records import CellResult, Records, Tier
from arena.ranking.single_figure import (
    Contest,
    attacks_board,
    defenses_board,
    interval_of,
    metric,
)
from arena.rounds import RoundSpec

TRIGGERED: Final = Headline(
    "triggered", "Success of the best trigger, P(F(T(x)) = t)", higher_is_better=False
)
TRIGGER_SUCCESS: Final = Headline("trigger_success", "Success of its triggers, mean over teams")
STEALTH: Final = 0.02
"""The most clean accuracy that a backdoor may cost."""


def learner_board(records: Records, tier: Tier) -> Board:
    """Lower is better, above the clean floor."""
    return defenses_board(records, tier, BACKDOOR)


def poisoner_board(records: Records, tier: Tier) -> Board:
    """Mean over teams of what the triggers reach on each team's best learner."""
    return attacks_board(records, tier, BACKDOOR)


def triggered(cell: CellResult) -> float | None:
    """A learner that forfeits is the trigger's; a poisoner that forfeits has none."""
    if cell.forfeited_by_defense:
        return 1.0
    rate = metric(cell, "attack_success_rate")
    return 0.0 if rate is None and cell.met else rate


def trigger_success(cell: CellResult) -> float:
    """Nothing for a poison that shows."""
    drop = metric(cell, "clean_drop")
    if drop is not None and drop > STEALTH:
        return 0.0
    return metric(cell, "attack_success_rate") or 0.0


def _interval(cell: CellResult) -> tuple[float, float] | None:
    return interval_of(cell, "attack_success_rate") if trigger_success(cell) else (0.0, 0.0)


def _no_more_given(weaker: RoundSpec, stronger: RoundSpec) -> bool:
    """No larger share of poison, and no larger trigger."""
    share = max(weaker.shares, default=0.0) <= max(stronger.shares, default=0.0) + 1e-9
    sizes = max(weaker.epsilons, default=0.0) <= max(stronger.epsilons, default=0.0) + 1e-9
    return share and sizes and weaker.trigger_area <= stronger.trigger_area + 1e-9


BACKDOOR: Final = Contest(
    defense=TRIGGERED,
    attack=TRIGGER_SUCCESS,
    figure=triggered,
    clean=lambda cell: metric(cell, "clean_accuracy"),
    gain=trigger_success,
    interval=_interval,
    axis="share",
    point="attack_success_rate",
    counts=_no_more_given,
)
