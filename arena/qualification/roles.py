"""One submission: whether it fits the task, then what its role is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arena.errors import PlayerError, Side
from arena.games.base import Progress
from arena.manifest import FILE_NAME, Role
from arena.packages import Package
from arena.qualification.attacks import check_attack
from arena.qualification.check import Check, Qualification, Rejected
from arena.qualification.defenses import check_defense
from arena.qualification.learners import check_learner
from arena.qualification.poisoners import check_poisoner
from arena.qualification.thieves import check_thief
from arena.rounds import GameName
from arena.sandbox.backend import SandboxBackend
from arena.tasks import Task

_CHECKS: Final[dict[Role, Callable[[Check], str]]] = {
    Role.DEFENSE: check_defense,
    Role.ATTACK: check_attack,
    Role.LEARNER: check_learner,
    Role.POISONER: check_poisoner,
    Role.THIEF: check_thief,
}


def qualify(
    package: Package, *, task: Task, backend: SandboxBackend, progress: Progress | None = None
) -> Qualification:
    """Check a package for a task. RefereeError and other exceptions are our fault.

    Never trusts the package with more than a match would: everything runs in the jail.
    """
    check = Check(package, task, backend, progress or (lambda _step: None))
    try:
        if not package.manifest.plays_task(task.name):
            raise Rejected(
                f"{FILE_NAME} says that this plays {', '.join(package.manifest.tasks)}, "
                f"not {task.name}; name the task there or submit it for another one."
            )
        _fits(check)
        sentence = _CHECKS[package.manifest.role](check)
    except Rejected as error:
        return Qualification(False, str(error), check.figures, _text(check))
    except PlayerError as error:
        check.figures["fault"] = error.code.value
        if error.side is Side(package.manifest.role.side) and error.log not in check.log:
            check.log.append(error.log)  # it ended before it could be closed: in loading, say
        return Qualification(False, _blamed(error, check), check.figures, _text(check))
    return Qualification(True, sentence, check.figures, _text(check))


def _fits(check: Check) -> None:
    """Players of trends are tried on values, all others on classes."""
    games, task = check.manifest.needs.games, check.task
    trends = set(games) == {GameName.TREND_POISONING.value}
    if trends and not task.is_regression:
        raise Rejected(
            'A player of trends is tried on a regression task: say task = "ice-cover" in '
            f"{FILE_NAME}, or submit it for one."
        )
    if task.is_regression and not trends:
        raise Rejected(
            f"Task {task.name} has values and no classes: who plays on it says games = "
            '["trend_poisoning"] in [needs], and nothing else.'
        )


def _text(check: Check) -> str:
    return "\n".join(part.rstrip() for part in check.log if part.strip())


def _blamed(error: PlayerError, check: Check) -> str:
    own = Side(check.manifest.role.side)
    if error.side is own:
        return str(error)
    return f"The friendly ended by the other side's fault: {error}"
