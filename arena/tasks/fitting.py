"""Whether a round can be played on a task, and which task is usual where none was said.

Games about classes need classes, trends need values, good words need words and whose they are.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

import numpy as np

from arena.manifest import Role
from arena.rounds import MOVES, POISONED, GameName, Norm, RoundSpec, SplitName
from arena.tasks.task import Split, Task

USUAL_TASK: Final = "mnist5k"
USUAL_POISONING_TASK: Final = "mnist-1-7"
USUAL_MAILS: Final = "spamassassin-words"
USUAL_SERIES: Final = "ice-cover"


def usual_task(role: Role, games: Collection[str]) -> str:
    """The task of a player that names none; ``games``: those it plays, empty for all."""
    if set(games) == {GameName.TREND_POISONING}:
        return USUAL_SERIES
    if role in (Role.LEARNER, Role.POISONER):
        return USUAL_POISONING_TASK
    return USUAL_MAILS if set(games) == {GameName.GOOD_WORDS} else USUAL_TASK


def usual_task_of(game: str | None) -> str:
    """The task of a match of this game; None for those that need no task of their own."""
    role = Role.POISONER if game in POISONED else Role.ATTACK
    return usual_task(role, (game,) if game else ())


def misfit(
    task: Task, game: GameName, *, largest: float = 0.0, norm: Norm = Norm.LINF
) -> str | None:
    """Why this game cannot be played on this task, one sentence with the remedy; None if it can.

    ``largest``: the round's largest epsilon; ``norm``: what bounds its changes.
    """
    trend = game is GameName.TREND_POISONING
    if trend and not task.is_regression:
        return (
            f"Task {task.name!r} has classes and no values: a trend round needs a regression task, "
            "such as ice-cover."
        )
    if task.is_regression and not trend:
        return (
            f"Task {task.name!r} has values and no classes: it is for rounds of trend "
            f"poisoning; choose a task of classes for {game.value.replace('_', ' ')}."
        )
    if norm in MOVES and not task.is_image:
        return (
            f"Turns, shifts and corruptions are for pictures, and the task {task.name} has none: "
            "choose another norm, or a task of pictures."
        )
    return _wordless(task, largest) if game is GameName.GOOD_WORDS else None


def available(task: Task, split: str) -> int:
    """How many examples a round on this split can have; of a regression task, series."""
    found = task.splits.final if split == SplitName.FINAL else None
    return _series(found or task.practice) if task.is_regression else len(found or task.practice)


def _series(split: Split) -> int:
    """The second feature says which series a point is of; without one there is one series."""
    return len(np.unique(split.x[:, 1])) if split.x.shape[1] > 1 else 1


def too_many(task: Task, round_: RoundSpec) -> str | None:
    """Why the split does not hold as many examples as the round asks for; None if it does."""
    most = available(task, round_.split)
    if round_.drawn <= most:
        return None
    what = "series" if task.is_regression else "examples"
    has = f"The {round_.split.value} split of the task {task.name} has {most:,} {what}, and "
    if round_.game is GameName.ATTACKER_FIRST:
        return (
            f"{has}examples + published are {round_.examples:,} + {round_.published:,}: ask for "
            f"{most:,} in all at most."
        )
    return f"{has}the round asks for {round_.examples:,}: set examples = {most} at most."


def _wordless(task: Task, largest: float) -> str | None:
    if task.attacker_class is None:
        return (
            f"Good words need a class that attackers own, and the task {task.name} names none: "
            f"choose {USUAL_MAILS}, or a task with attacker_class."
        )
    if task.add_only is None:
        return (
            f"Good words are added, and no feature of the task {task.name} is add-only: choose "
            f"{USUAL_MAILS}, or a task with add_only."
        )
    words = math.prod(task.shape)
    if largest > words:
        return f"The task {task.name} has {words:,} words; allow no more than that."
    return None
