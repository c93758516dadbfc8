"""Which games a task is made for, and which task is usual where none was said."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

from arena.manifest import Role
from arena.rounds import GameName, RoundSpec
from arena.tasks.task import Task

USUAL_TASK: Final = "mnist5k"
USUAL_POISONING_TASK: Final = "mnist-1-7"
USUAL_MAILS: Final = "spamassassin-words"


def usual_task(role: Role, games: Collection[str]) -> str:
    """The task of a player that names none; ``games``: those it plays, empty for all."""
    if role in (Role.LEARNER, Role.POISONER):
        return USUAL_POISONING_TASK
    return USUAL_MAILS if set(games) == {GameName.GOOD_WORDS} else USUAL_TASK


def misfit(round_: RoundSpec, task: Task) -> str | None:
    """Why the round cannot be played on the task, one sentence with the remedy; None if it can."""
    if round_.game is not GameName.GOOD_WORDS:
        return None
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
    features = math.prod(task.shape)
    if round_.epsilons and round_.epsilons[-1] > features:
        return f"The task {task.name} has {features:,} words; allow no more than that."
    return None
