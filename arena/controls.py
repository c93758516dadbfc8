"""Asks a defense what hangs on it and the round alone, once for many matches:
``python -m arena.controls``.

It takes the file that :mod:`arena.runner` takes, starts the defense alone, and writes
``controls.npz`` (:mod:`arena.games.controls`) to ``out``. No process of the attack is started: no
attack can touch what others are measured beside. A defense that fails here is kept as one that
failed, and each match asks for itself. Exit statuses are the runner's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from arena import runner
from arena.errors import PlayerError
from arena.games.base import Progress, Table
from arena.games.battery import BATTERY, battery_answers
from arena.games.control import NOISE, asks_noise, controls_name, noise_answers
from arena.games.controls import FILE, Controls, Said
from arena.games.judgement import Ballots
from arena.games.moves import budget_of
from arena.rounds import Norm
from arena.sandbox.backend import SandboxBackend


def main(
    arguments: Sequence[str] | None = None,
    *,
    backend: SandboxBackend | None = None,
    progress: Progress | None = None,
) -> int:
    """Ask for the match of a file."""
    return runner.carried_out(arguments, _ask, backend=backend, progress=progress)


def _ask(order: runner.Order, backend: SandboxBackend | None, progress: Progress) -> int:
    return runner.keep(FILE, asked, order, backend, progress)


def asked(table: Table) -> Controls:
    """What the defense of this table answers to the controls of its round."""
    round_, said = table.round, dict[str, Said]()
    questions: dict[str, Callable[[], tuple[Ballots, tuple[PlayerError, ...]]]] = {}
    if asks_noise(round_, table.defense.manifest):
        questions[NOISE] = lambda: noise_answers(table, round_.epsilons)
    if round_.norm is Norm.CORRUPTION:
        budgets = tuple(budget_of(table, epsilon) for epsilon in round_.epsilons)
        questions[BATTERY] = lambda: battery_answers(table, budgets)
    for purpose, ask in questions.items():
        ballots, faults = ask()
        if faults:
            return Controls("")
        said[purpose] = ballots.labels, ballots.confidence
    return Controls(controls_name(table), said)


if __name__ == "__main__":
    sys.exit(main())
