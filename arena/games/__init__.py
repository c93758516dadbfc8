"""The kinds of round, by name: one file each, one line here."""

from __future__ import annotations

from importlib import import_module
from typing import Final, cast

from arena.games.base import Game
from arena.rounds import GameName

_GAMES: Final = {
    GameName.EVASION: "arena.games.evasion:Evasion",
    GameName.MINIMUM_NORM: "arena.games.minimum_norm:MinimumNorm",
    GameName.TRANSFER: "arena.games.transfer:Transfer",
    GameName.POISONING: "arena.games.poisoning:Poisoning",
    GameName.BACKDOOR: "arena.games.backdoor:Backdoor",
    GameName.TARGETED_POISONING: "arena.games.targeted_poisoning:TargetedPoisoning",
    GameName.ONLINE_POISONING: "arena.games.online_poisoning:OnlinePoisoning",
    GameName.CERTIFICATION: "arena.games.certification:Certification",
    GameName.GOOD_WORDS: "arena.games.good_words:GoodWords",
    GameName.REPLAY: "arena.games.replay:Replay",
    GameName.ATTACKER_FIRST: "arena.games.attacker_first:AttackerFirst",
    GameName.TREND_POISONING: "arena.games.trend_poisoning:TrendPoisoning",
    GameName.EXTRACTION: "arena.games.extraction:Extraction",
}


def game(name: GameName) -> Game:
    """The game of that name, imported when it is first played."""
    module, _, kind = _GAMES[name].partition(":")
    return cast("Game", getattr(import_module(module), kind)())
