"""What a round is set to where nothing was said: preset, poisoned shares, ε, how many examples.

A file, the API and the command line go by it, and the site's form begins with it.
"""

from __future__ import annotations

from typing import Final

from arena.rounds import POISONED, USUAL_LEVELS, GameName, norm_for
from arena.tasks.fitting import available
from arena.tasks.task import Task
from arena.threat_model import FirstMover

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
EXAMPLES: Final = 200
_UNBOUNDED: Final = POISONED | {GameName.MINIMUM_NORM, GameName.EXTRACTION}


def usual_preset(game: str) -> str:
    """A thief has nothing to steal in a white box, and a mail is sent to a filter of others."""
    return _PRESETS.get(game, "white")


def usual_shares(game: str, *, first_mover: str = FirstMover.DEFENDER) -> tuple[float, ...]:
    """Poisoned shares of the training set, ascending; empty where nothing is poisoned.

    An attacker who moves first publishes one poisoned set: the largest alone.
    """
    shares = _SHARES.get(game, ())
    return shares[-1:] if first_mover == FirstMover.ATTACKER else shares


def usual_examples(game: str, task: Task, split: str) -> int:
    """200, or as many as the split has; an attack that moves first publishes as many again."""
    most = available(task, split)
    return min(EXAMPLES, most // 2 if game == GameName.ATTACKER_FIRST else most)


def usual_published(task: Task, split: str, *, examples: int) -> int:
    """200 beside those that are judged, or as many as are left; at least one."""
    return max(1, min(EXAMPLES, available(task, split) - examples))


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
