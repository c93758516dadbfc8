"""The boards of a targeted poisoning round: by P(F(x) = t) over chosen points and seeds.

As for backdoors, a poison that costs more than two points of clean accuracy scores nothing for its
poisoner, and counts against the learner.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from arena.ranking.backdoor import BACKDOOR
from arena.ranking.board import Board, Headline
from arena.ranking.records import Records, Tier
from arena.ranking.single_figure import attacks_board, defenses_board
from arena.rounds import RoundSpec

CHOSEN: Final = Headline(
    "chosen_points_lost", "Chosen points lost to the best poison", higher_is_better=False
)
CHOSEN_SUCCESS: Final = Headline("chosen_points_won", "Chosen points won, mean over teams")


def learner_board(records: Records, tier: Tier) -> Board:
    """Lower is better, above the clean floor."""
    return defenses_board(records, tier, TARGETED)


def poisoner_board(records: Records, tier: Tier) -> Board:
    """Mean over teams of the chosen points won on each team's best learner."""
    return attacks_board(records, tier, TARGETED)


def _no_more_given(weaker: RoundSpec, stronger: RoundSpec) -> bool:
    """No larger share of poison, and no wider bound on it; no bound is the widest."""
    share = max(weaker.shares, default=0.0) <= max(stronger.shares, default=0.0) + 1e-9
    bounds = [max(r.epsilons, default=float("inf")) for r in (weaker, stronger)]
    same = not (weaker.epsilons and stronger.epsilons) or weaker.norm is stronger.norm
    return share and same and bounds[0] <= bounds[1] + 1e-9


TARGETED: Final = replace(BACKDOOR, defense=CHOSEN, attack=CHOSEN_SUCCESS, counts=_no_more_given)
