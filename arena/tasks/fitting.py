"""Whether a round can be played on a task: games about classes need classes, trends need values."""

from __future__ import annotations

from arena.rounds import GameName
from arena.tasks.task import Task


def misfit(task: Task, game: GameName) -> str | None:
    """Why this game cannot be played on this task, one sentence with the remedy; None if it can."""
    trend = game is GameName.TREND_POISONING
    if trend and not task.is_regression:
        return (
            f"Task {task.name!r} has classes and no values: a trend round needs a regression task, "
            "such as ice-cover."
        )
    if task.is_regression and not trend:
        return (
            f"Task {task.name!r} has values and no classes: it is for trend_poisoning rounds; "
            f"choose a task of classes for {game.value}."
        )
    return None
