"""The boards of an online poisoning round: by the mean error over time of a poisoned stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from arena.ranking.board import Board, Headline
from arena.ranking.poisoning import POISONING
from arena.ranking.records import CellResult, Records, Tier
from arena.ranking.single_figure import (
    attacks_board,
    defenses_board,
    interval_of,
    metric,
)

ERROR_OVER_TIME: Final = Headline(
    "poisoned_error_over_time", "Largest mean error over a poisoned stream", higher_is_better=False
)
DELTA_OVER_TIME: Final = Headline(
    "delta_error_over_time", "Error added over a stream, mean over teams"
)


def learner_board(records: Records, tier: Tier) -> Board:
    """Lower is better, above the clean floor."""
    return defenses_board(records, tier, ONLINE)


def poisoner_board(records: Records, tier: Tier) -> Board:
    """Mean over teams of what was added to the error over time of each team's best learner."""
    return attacks_board(records, tier, ONLINE)


def error_over_time(cell: CellResult) -> float | None:
    """A learner that forfeits is wrong all the time."""
    if cell.forfeited_by_defense:
        return 1.0
    return metric(cell, "poisoned_error_over_time")


def added_over_time(cell: CellResult) -> float:
    """A poisoner that forfeits before it moves adds nothing."""
    return metric(cell, "delta_error_over_time") or 0.0


ONLINE: Final = replace(
    POISONING,
    defense=ERROR_OVER_TIME,
    attack=DELTA_OVER_TIME,
    figure=error_over_time,
    gain=added_over_time,
    interval=lambda cell: interval_of(cell, "delta_error_over_time"),
    axis="seen",
)
