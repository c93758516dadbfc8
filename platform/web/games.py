"""How pages speak of each kind of round: who plays, and what a board's column and a cell are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from arena.rounds import GameName


@dataclass(frozen=True)
class Words:
    """``robust`` and ``success`` head the figure of either board; ``cell`` says what a cell is.

    ``judged``: what the examples of a round are, ``compared``: what its boards are compared over.
    ``aimed``: whether a round may be targeted, so that its goal is worth telling.
    """

    defenses: str = "Defenses"
    attacks: str = "Attacks"
    robust: str = "Robust"
    success: str = "Success"
    cell: str = "the share of clean-right examples that the attack broke"
    low: str = "held"
    high: str = "broken"
    judged: str = "examples"
    compared: str = "examples"
    aimed: bool = False


USUAL: Final = Words(aimed=True)
WORDS: Final[dict[str, Words]] = {
    GameName.MINIMUM_NORM: Words(
        robust="Distance",
        success="Distance",
        cell="the share of clean-right examples that the attack broke, however far it went",
        aimed=True,
    ),
    GameName.POISONING: Words(
        defenses="Learners",
        attacks="Poisoners",
        robust="Error",
        success="Added",
        cell="the error that the poison added",
        high="poisoned",
    ),
    GameName.BACKDOOR: Words(
        defenses="Learners",
        attacks="Poisoners",
        robust="Triggered",
        success="Success",
        cell="the share of triggered examples that became the target",
        high="triggered",
    ),
    GameName.TARGETED_POISONING: Words(
        defenses="Learners",
        attacks="Poisoners",
        robust="Lost",
        success="Won",
        cell="the share of chosen points that became their targets",
        high="won",
        compared="chosen points",
    ),
    GameName.ONLINE_POISONING: Words(
        defenses="Learners",
        attacks="Poisoners",
        robust="Error over time",
        success="Added",
        cell="the error over time that the poison added",
        high="poisoned",
    ),
    GameName.CERTIFICATION: Words(robust="Certified"),
    GameName.GOOD_WORDS: Words(
        defenses="Filters",
        success="Passed",
        cell="the share of blocked spam that passed",
        low="blocked",
        high="passed",
    ),
    GameName.REPLAY: Words(
        robust="Repeated",
        success="Again",
        cell="the chance that the mistake is made again",
        low="forgotten",
        high="repeated",
        compared="replays",
        aimed=True,
    ),
    GameName.ATTACKER_FIRST: Words(
        defenses="Learners",
        robust="Fresh error",
        success="Fresh error",
        cell="the error on fresh examples of the attack that was published",
        low="learned",
        high="wrong",
    ),
    GameName.TREND_POISONING: Words(
        defenses="Learners",
        attacks="Poisoners",
        robust="Kept",
        success="Removed",
        cell="the share of trends told that the poisoner removed",
        low="kept",
        high="removed",
        judged="series",
        compared="series",
    ),
    GameName.EXTRACTION: Words(
        attacks="Thieves",
        robust="Stolen",
        success="Fidelity",
        cell="the share of examples on which copy and original agree",
        low="kept",
        high="stolen",
    ),
}


def words_of(game: str) -> Words:
    """Those of a kind of round, by the name that is stored with it."""
    return WORDS.get(game, USUAL)
