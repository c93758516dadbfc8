"""The boards of an attacker-first round: learners by their error on fresh examples, attacks too.

The figure is the error on fresh adversarial examples of a learner that was trained on those that
the same attack had published. A learner's is that of its worst match, of this round and of those
in the same norm that showed the attack less, published no fewer examples and were no larger.
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
from arena.rounds import RoundSpec

WORST_FRESH: Final = Headline(
    "worst_fresh_error", "Largest error on fresh examples", higher_is_better=False
)
FRESH_ERROR: Final = Headline("fresh_error", "Error on its fresh examples, mean over teams")


def learner_board(records: Records, tier: Tier) -> Board:
    """Lower is better, above the clean floor."""
    return defenses_board(records, tier, ATTACKER_FIRST)


def attack_board(records: Records, tier: Tier) -> Board:
    """Mean over teams of the error of each team's best learner, which knew what was published."""
    return attacks_board(records, tier, ATTACKER_FIRST)


def fresh_error(cell: CellResult) -> float | None:
    """A learner that forfeits is wrong on everything; an attack that does moved nothing."""
    return lost_share(cell, "fresh_error")


def _shows_no_less(weaker: RoundSpec, stronger: RoundSpec) -> bool:
    return no_larger(weaker, stronger) and weaker.published >= stronger.published


ATTACKER_FIRST: Final = Contest(
    defense=WORST_FRESH,
    attack=FRESH_ERROR,
    figure=fresh_error,
    clean=lambda cell: metric(cell, "clean_accuracy"),
    gain=lambda cell: fresh_error(cell) or 0.0,
    interval=lambda cell: interval_of(cell, "fresh_error"),
    axis="epsilon",
    point="fresh_error",
    counts=_shows_no_less,
)
