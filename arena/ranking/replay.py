"""The boards of a replay round: defenses by the surest mistake, attacks by how sure theirs are.

The figure is P(wrong again), the share of wrong answers when what the attack proposed is played N
times. Rows are compared over the N answers of their worst match: one figure is better than another
of the inputs that were found, not of inputs at large. A mistake found with less knowledge or a
smaller ε in the same norm counts on the defense's board of every stronger round too.
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
    lost_share,
    metric,
    no_larger,
)

REPEATED: Final = Headline(
    "repeated", "Chance that the surest mistake is made again", higher_is_better=False
)
WRONG_AGAIN: Final = Headline(
    "wrong_again", "Chance that its mistake is made again, mean over teams"
)


def defense_board(records: Records, tier: Tier) -> Board:
    """Lower is better, above the clean floor."""
    return defenses_board(records, tier, REPLAY)


def attack_board(records: Records, tier: Tier) -> Board:
    """Mean over teams of how often each team's best defense made the mistake again."""
    return attacks_board(records, tier, REPLAY)


def wrong_again(cell: CellResult) -> float | None:
    """A defense that forfeits is wrong every time; an attack that forfeits early found nothing."""
    return lost_share(cell, "wrong_again")


REPLAY: Final = Contest(
    defense=REPEATED,
    attack=WRONG_AGAIN,
    figure=wrong_again,
    clean=lambda cell: metric(cell, "clean_accuracy"),
    gain=lambda cell: wrong_again(cell) or 0.0,
    interval=lambda cell: interval_of(cell, "wrong_again"),
    axis="epsilon",
    point="wrong_again",
    counts=no_larger,
)
