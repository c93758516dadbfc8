"""Verdicts -> ranked tables with intervals (docs/ranking.md). Pure functions over arrays.

    records = Records(players, tiers, cells)
    board = defense_board(records, tier_id)

A new kind of board is one file here and one line in ``BOARDS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arena.errors import Side
from arena.ranking import (
    attacker_first,
    backdoor,
    online_poisoning,
    replay,
    targeted_poisoning,
    trend_poisoning,
)
from arena.ranking.attacks import attack_distance_board, success_board
from arena.ranking.board import POOL_SHARE, Board, Contender, Headline, Row
from arena.ranking.certification import certified_board
from arena.ranking.defenses import distance_board, robust_accuracy_board
from arena.ranking.extraction import robbed_board, thief_board
from arena.ranking.nesting import fed_by, nested_in, nests
from arena.ranking.poisoning import learner_board, poisoner_board
from arena.ranking.records import CellResult, Player, Records, Tier
from arena.ranking.supersession import kept_attacks, superseded_rows
from arena.rounds import GameName

__all__ = [
    "BOARDS",
    "POOL_SHARE",
    "Board",
    "CellResult",
    "Contender",
    "Headline",
    "Player",
    "Records",
    "Row",
    "Tier",
    "attack_board",
    "board_of",
    "defense_board",
    "fed_by",
    "kept_attacks",
    "nested_in",
    "nests",
    "superseded_rows",
]

Maker = Callable[[Records, Tier], Board]

BOARDS: Final[dict[GameName, dict[Side, Maker]]] = {
    GameName.EVASION: {Side.DEFENSE: robust_accuracy_board, Side.ATTACK: success_board},
    GameName.TRANSFER: {Side.DEFENSE: robust_accuracy_board, Side.ATTACK: success_board},
    GameName.MINIMUM_NORM: {Side.DEFENSE: distance_board, Side.ATTACK: attack_distance_board},
    GameName.POISONING: {Side.DEFENSE: learner_board, Side.ATTACK: poisoner_board},
    GameName.BACKDOOR: {
        Side.DEFENSE: backdoor.learner_board,
        Side.ATTACK: backdoor.poisoner_board,
    },
    GameName.TARGETED_POISONING: {
        Side.DEFENSE: targeted_poisoning.learner_board,
        Side.ATTACK: targeted_poisoning.poisoner_board,
    },
    GameName.ONLINE_POISONING: {
        Side.DEFENSE: online_poisoning.learner_board,
        Side.ATTACK: online_poisoning.poisoner_board,
    },
    GameName.CERTIFICATION: {Side.DEFENSE: certified_board, Side.ATTACK: success_board},
    GameName.GOOD_WORDS: {Side.DEFENSE: robust_accuracy_board, Side.ATTACK: success_board},
    GameName.REPLAY: {Side.DEFENSE: replay.defense_board, Side.ATTACK: replay.attack_board},
    GameName.ATTACKER_FIRST: {
        Side.DEFENSE: attacker_first.learner_board,
        Side.ATTACK: attacker_first.attack_board,
    },
    GameName.TREND_POISONING: {
        Side.DEFENSE: trend_poisoning.learner_board,
        Side.ATTACK: trend_poisoning.poisoner_board,
    },
    GameName.EXTRACTION: {Side.DEFENSE: robbed_board, Side.ATTACK: thief_board},
}


def board_of(records: Records, tier: str, side: Side) -> Board:
    """The live board of one side of a tier.

    A superseded entry that still has a row loses it once its successor's row has met the pool.
    """
    make = BOARDS[records.tiers[tier].spec.game][side]
    board = make(records, records.tiers[tier])
    gone = superseded_rows(board, records.players)
    if not gone:
        return board
    return make(records.without_rows(gone), records.tiers[tier])


def defense_board(records: Records, tier: str) -> Board:
    return board_of(records, tier, Side.DEFENSE)


def attack_board(records: Records, tier: str) -> Board:
    return board_of(records, tier, Side.ATTACK)
