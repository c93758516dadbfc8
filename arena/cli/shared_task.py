"""Which task two players meet on where ``--task`` was left out."""

from __future__ import annotations

from arena.cli import rules
from arena.cli.exits import ExitCode, Stop


def shared_task(*, defense: str, attack: str, usual: str, game: str = "evasion") -> str:
    """The only one that they name, both play and the game fits; else ``usual``.

    Raises:
        Stop: one of them does not play ``usual``, and they share several others or none.
    """
    sources = (defense, attack)
    made_for = {source: _made_for(source) for source in sources}
    named = {task: None for tasks in made_for.values() for task in tasks}
    shared = [task for task in named if all(_plays(source, task) for source in sources)]
    if not named or usual in shared:
        return usual
    fitting = [task for task in shared if _fits(task, game)]
    if len(fitting) == 1:
        return fitting[0]
    left_out = f"Left out, --task is {usual}, which one of the two does not play"
    if fitting:
        raise Stop(ExitCode.USAGE, f"{left_out}: say --task {' or --task '.join(fitting)}.")
    if shared:
        raise Stop(
            ExitCode.USAGE,
            f"{left_out}, and no task that both play fits a round of {game}: choose another "
            "opponent, or another --game.",
        )
    told = "; ".join(
        f"{rules.manifest_of(source).name} is for {', '.join(tasks)}"
        for source, tasks in made_for.items()
        if tasks
    )
    raise Stop(
        ExitCode.USAGE, f"There is no --task that both play: {told}. Choose another opponent."
    )


def _fits(task: str, game: str) -> bool:
    """Of a task that is not on this machine nothing is known, but that games with a usual task of
    their own need what few tasks have.
    """
    from arena.errors import TaskError
    from arena.rounds import GameName
    from arena.tasks.fitting import misfit

    try:
        return misfit(rules.load_task(task), GameName(game)) is None
    except TaskError:
        return game not in (rules.GOOD_WORDS, rules.TREND_POISONING)


def _made_for(source: str) -> list[str]:
    """The tasks that a player names; empty where it plays any."""
    from arena.house.registry import tasks_of

    if rules.is_house(source):
        tasks = tasks_of(source.removeprefix(rules.HOUSE))
    else:
        tasks = list(rules.manifest_of(source).tasks)
    return [] if "*" in tasks else tasks


def _plays(source: str, task: str) -> bool:
    """A baseline of the house is fitted for tasks that it does not name."""
    from arena import house

    if not rules.manifest_of(source).plays_task(task):
        return False
    if not rules.is_house(source):
        return True
    return house.cannot_play(source.removeprefix(rules.HOUSE), task) is None
