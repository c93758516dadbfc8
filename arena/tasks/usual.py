"""What a round is set to where nothing was said: its preset, its poisoned shares, its ε.

The command line plays a match by it, and the site's form begins with it.
"""

from __future__ import annotations

from typing import Final

from arena.rounds import POISONED, USUAL_LEVELS, GameName, norm_for
from arena.tasks.task import Task

_PRESETS: Final[dict[str, str]] = {
    GameName.TRANSFER: "transfer",
    GameName.EXTRACTION: "black",
    GameName.GOOD_WORDS: "black",
}
_SHARES: Final[dict[str, tuple[float, ...]]] = {
    GameName.POISONING: (0.03, 0.1),
    GameName.BACKDOOR: (0.03, 0.1),
    GameName.TARGETED_POISONING: (0.03,),
    GameName.ONLINE_POISONING: (0.1,),
}
_LEVELS: Final[dict[str, tuple[float, ...]]] = {norm.value: e for norm, e in USUAL_LEVELS.items()}
_UNBOUNDED: Final = POISONED | {GameName.MINIMUM_NORM, GameName.EXTRACTION}


def usual_preset(game: str) -> str:
    """A thief has nothing to steal in a white box, and a mail is sent to a filter of others."""
    return _PRESETS.get(game, "white")


def usual_shares(game: str) -> tuple[float, ...]:
    """Poisoned shares of the training set, ascending; empty where nothing is poisoned."""
    return _SHARES.get(game, ())


def is_bounded(game: str) -> bool:
    """Whether a round of the game has an ε where nothing is said."""
    return game not in _UNBOUNDED


def usual_epsilons(game: str, norm: str, task: Task) -> tuple[float, ...]:
    """The task's own of that norm, ascending, or what is usual beyond norms; empty where a round
    of the game needs none, or the task names none."""
    if not is_bounded(game):
        return ()
    counted = norm_for(game, norm)
    return tuple(task.norms.get(counted, _LEVELS.get(counted, ())))
