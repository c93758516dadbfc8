"""The boards of a trend round: learners by the trends they keep, poisoners by those they remove.

The figure is the share of series whose trend the learner told and still tells after its worst
poisoner, at the round's largest epsilon; of that round and of those in the same norm with no larger
epsilon and no more shown.
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
    no_larger,
)

KEPT: Final = Headline("trends_kept", "Trends kept against the worst poisoner")
REMOVED: Final = Headline("trends_removed", "Trends removed, mean over teams")


def learner_board(records: Records, tier: Tier) -> Board:
    """Higher is better, above the clean floor."""
    return defenses_board(records, tier, TRENDS)


def poisoner_board(records: Records, tier: Tier) -> Board:
    """Mean over teams of the share removed of the trends that each team's best learner told."""
    return attacks_board(records, tier, TRENDS)


def trend_kept(cell: CellResult) -> float | None:
    """A learner that forfeits keeps nothing."""
    return 0.0 if cell.forfeited_by_defense else metric(cell, "trend_kept")


TRENDS: Final = Contest(
    defense=KEPT,
    attack=REMOVED,
    figure=trend_kept,
    clean=lambda cell: metric(cell, "clean_accuracy"),
    gain=lambda cell: metric(cell, "attack_success_rate") or 0.0,
    interval=lambda cell: interval_of(cell, "attack_success_rate"),
    axis="epsilon",
    point="trend_kept",
    counts=no_larger,
)
