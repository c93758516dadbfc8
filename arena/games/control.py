"""The control of a round: random noise of the same size, which any attack must beat.

It tells how often a defense abstains on harmless inputs near the clean ones, and what a transferred
perturbation does beyond noise. It is judged in a process of its own and hangs on the round alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arena.errors import PlayerError
from arena.games.admission import Budget, admit, admit_moves, random_moves
from arena.games.base import Table
from arena.games.judgement import Ballots, Inputs, Judge
from arena.games.moves import budget_of, draws
from arena.games.norms import random_perturbation
from arena.games.opening import guarded
from arena.players import Images
from arena.rounds import MOVES, Norm


def judge_noise(
    table: Table, epsilons: Sequence[float | None]
) -> tuple[tuple[Ballots, ...], tuple[PlayerError, ...]]:
    """Ballots (n) for noise of each level's size on every example, and the defense's faults."""
    n = len(table.examples)
    sizes = [usual_epsilon(table) if e is None else e for e in epsilons]
    inputs = Inputs(
        np.concatenate([noisy(table, size) for size in sizes]), np.tile(np.arange(n), len(sizes))
    )
    opened = guarded(table.seats.open_defense)()
    judge = Judge(table, purpose="noise", open_defense=table.seats.open_defense)
    session = judge.ask(inputs, opened)
    ballots = [session.ballots.take(np.arange(at, at + n)) for at in range(0, len(inputs), n)]
    return tuple(ballots), tuple(session.faults)


def usual_epsilon(table: Table) -> float:
    """The middle of the task's epsilons for this norm: the size of a minimum-norm round."""
    usual = table.task.norms.get(table.round.norm.value, (0.1,))
    return float(usual[len(usual) // 2])


def noisy(table: Table, epsilon: float) -> Images:
    """The examples plus random noise of that size, within what a candidate may be.

    In rounds of moves a random one: any turn and shift within the bounds, or any corruption.
    """
    clean, task, norm = table.examples.x, table.task, table.round.norm
    if norm in MOVES:
        budget = budget_of(table, epsilon)
        moves = random_moves(len(clean), budget, table.round_stream("noise", str(epsilon)))
        return admit_moves(moves, clean, budget, draws(table, np.arange(len(clean)), epsilon)).x
    delta = random_perturbation(
        clean.shape,
        norm=norm,
        epsilon=epsilon,
        stream=table.round_stream("noise", str(epsilon)),
    )
    if task.grid is not None and norm is Norm.L0:
        delta = np.sign(delta)  # to a wall: a step within the box would be truncated
    if task.mutable is not None:
        delta = delta * task.mutable
    if task.add_only is not None:
        delta = np.where(task.add_only, abs(delta), delta)
    moved = np.clip(clean + delta, 0.0, 1.0).astype(np.float32)
    return admit(moved, clean, Budget(norm, None, table.task.grid)).x
