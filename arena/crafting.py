"""Lets an attack that asks nothing craft once, for many matches: ``python -m arena.crafting``.

It takes the file that :mod:`arena.runner` takes, starts the attack alone, and writes
``crafted.npz`` (:mod:`arena.games.crafted`) to ``out``. No process of the defense is started, so
that what other matches will judge was never near one: of the defense's package only what the round
shows is read. A crafting that fails is kept as one that failed, and each match lets the attack play
for itself, so that no moment's misfortune decides them all. Exit statuses are the runner's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from arena import runner
from arena.games.ball_attack import craft
from arena.games.base import Progress, Table
from arena.games.blind import crafting_name
from arena.games.crafted import FILE, Crafted
from arena.games.good_words import attackers_examples
from arena.games.transfer import source_labels
from arena.rounds import GameName
from arena.sandbox.backend import SandboxBackend


def main(
    arguments: Sequence[str] | None = None,
    *,
    backend: SandboxBackend | None = None,
    progress: Progress | None = None,
) -> int:
    """Craft for the match of a file."""
    return runner.carried_out(arguments, _craft, backend=backend, progress=progress)


def _craft(order: runner.Order, backend: SandboxBackend | None, progress: Progress) -> int:
    return runner.keep(FILE, crafted, order, backend, progress)


def crafted(table: Table) -> Crafted:
    """What the attack hands in at this table, in a round in which it asks nothing."""
    round_ = table.round
    levels = (None,) if round_.game is GameName.MINIMUM_NORM else round_.epsilons
    attacked = None
    if round_.game is GameName.GOOD_WORDS:
        attacked = np.flatnonzero(attackers_examples(table))
    _, admitted, played = craft(table, levels, attacked=attacked)
    if played.faults:
        return Crafted("")
    source = None
    if round_.game is GameName.TRANSFER and table.related:
        source = np.stack([source_labels(table, level) for level in admitted])
    return Crafted(
        crafting_name(table),
        np.stack([handed.candidates for handed in played.handed]),
        np.array([handed.seconds for handed in played.handed]),
        played.seconds["attack"],
        played.logs["attack"],
        source,
    )


if __name__ == "__main__":
    sys.exit(main())
