"""The boards of a poisoning round: learners by their worst error, poisoners by what they add.

Alice's figure is the largest over attacks of the mean error after poisoning, at the round's
largest share; Bob's is Δerror = err(S ∪ S_B) - err(S), its mean over teams. A poison made with
less knowledge counts on the learner's board of every stronger round too.
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

POISONED_ERROR: Final = Headline(
    "poisoned_error", "Largest mean error after poisoning", higher_is_better=False
)
DELTA_ERROR: Final = Headline("delta_error", "Error added by poisoning, mean over teams")


def learner_board(records: Records, tier: Tier) -> Board:
    """Lower is better, above the clean floor."""
    return defenses_board(records, tier, POISONING)


def poisoner_board(records: Records, tier: Tier) -> Board:
    """Mean over teams of what was added to the error of each team's best learner."""
    return attacks_board(records, tier, POISONING)


def poisoned_error(cell: CellResult) -> float | None:
    """Error after poisoning. A learner that forfeits is wrong on everything."""
    if cell.forfeited_by_defense:
        return 1.0
    error = metric(cell, "poisoned_error")
    # A poisoner that forfeits has poisoned nothing.
    return clean_error(cell) if error is None else error


def clean_error(cell: CellResult) -> float | None:
    return metric(cell, "clean_error")


def delta_error(cell: CellResult) -> float | None:
    """A poisoner that forfeits before it moves adds nothing."""
    delta = metric(cell, "delta_error")
    return 0.0 if delta is None and cell.met else delta


def _clean_accuracy(cell: CellResult) -> float | None:
    error = clean_error(cell)
    return None if error is None else 1 - error


def _no_larger_share(weaker: RoundSpec, stronger: RoundSpec) -> bool:
    return max(weaker.shares, default=0.0) <= max(stronger.shares, default=0.0) + 1e-9


POISONING: Final = Contest(
    defense=POISONED_ERROR,
    attack=DELTA_ERROR,
    figure=poisoned_error,
    clean=_clean_accuracy,
    gain=lambda cell: delta_error(cell) or 0.0,
    interval=lambda cell: interval_of(cell, "delta_error"),
    axis="share",
    point="poisoned_error",
    counts=_no_larger_share,
)
