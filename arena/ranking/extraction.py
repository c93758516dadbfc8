"""The boards of an extraction round: defenses by the best copy of them, thieves by their copies.

The figure is fidelity at the end of the budget: the share of examples on which copy and original
agree. A copy stolen with fewer probes or poorer replies counts on the defense's board of every
stronger round too. A defense must meet the clean floor as the thief saw it: through the filter,
in the very process that he asked.
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

STOLEN_FIDELITY: Final = Headline(
    "stolen_fidelity", "Fidelity of the best copy stolen", higher_is_better=False
)
FIDELITY: Final = Headline("fidelity", "Fidelity of its copies, mean over teams")


def robbed_board(records: Records, tier: Tier) -> Board:
    """Lower is better, above the clean floor."""
    return defenses_board(records, tier, EXTRACTION)


def thief_board(records: Records, tier: Tier) -> Board:
    """Mean over teams of the fidelity reached on each team's best defense."""
    return attacks_board(records, tier, EXTRACTION)


def stolen_fidelity(cell: CellResult) -> float | None:
    """A defense that forfeits keeps nothing; a thief that forfeits before he moves has nothing."""
    if cell.forfeited_by_defense:
        return 1.0
    fidelity = metric(cell, "fidelity")
    return 0.0 if fidelity is None and cell.met else fidelity


def seen_accuracy(cell: CellResult) -> float | None:
    """Clean accuracy as the thief saw it; the original's own where he never came to ask."""
    seen = metric(cell, "oracle_accuracy")
    return metric(cell, "clean_accuracy") if seen is None else seen


EXTRACTION: Final = Contest(
    defense=STOLEN_FIDELITY,
    attack=FIDELITY,
    figure=stolen_fidelity,
    clean=seen_accuracy,
    gain=lambda cell: metric(cell, "fidelity") or 0.0,
    interval=lambda cell: interval_of(cell, "fidelity"),
    axis="queries",
    point="fidelity",
)
