"""Rounds whose candidates are moves: what the attack says is done to an example, never pixels.

The referee makes every picture that is judged, so a change of any other kind is impossible. What a
corruption draws at random hangs on the round's secret and the example: the same for every attack,
and known to none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.changes import candidate_shape
from arena.games.admission import Admitted, Budget, admit, admit_moves
from arena.games.base import Table
from arena.games.draws import row_seeds
from arena.games.targets import Cases
from arena.oracle import Maker
from arena.players import Labels
from arena.rounds import MOVES
from arena.seats import Array


def budget_of(table: Table, epsilon: float | None) -> Budget:
    """What a candidate must keep to at this level."""
    task, round_ = table.task, table.round
    return Budget(
        norm=round_.norm,
        epsilon=epsilon,
        grid=task.grid,
        mutable=task.mutable,
        shift=round_.shift_at(epsilon),
        add_only=task.add_only,
    )


def candidate_row(table: Table) -> tuple[int, ...]:
    """The shape of one candidate."""
    return candidate_shape(table.round.norm.value, table.task.shape)


def unchanged(table: Table, cases: Cases) -> NDArray[np.float32]:
    """Candidates that leave each example as it is."""
    if table.round.norm not in MOVES:
        return table.examples.x[cases.example]
    return np.zeros((len(cases), *candidate_row(table)), np.float32)


def draws(table: Table, examples: Labels, epsilon: float | None) -> NDArray[np.uint64]:
    """(n,) seeds of the corruptions of these judged examples, the same for every attack."""
    index = table.examples.index[examples]
    return row_seeds(table.secret, "corruption", index, round(epsilon or 0))


def admitted_as(
    table: Table, cases: Cases, budget: Budget, candidates: NDArray[np.float32]
) -> Admitted:
    """Accept or reject each candidate, whatever it is in this round."""
    clean = table.examples.x[cases.example]
    if budget.norm in MOVES:
        seeds = draws(table, cases.example, budget.epsilon)
        return admit_moves(candidates, clean, budget, seeds)
    return admit(candidates, clean, budget)


def maker(table: Table, dealt: Cases, budget: Budget) -> Maker | None:
    """Rounds of moves: the pictures of those that the attack checks."""
    if budget.norm not in MOVES:
        return None

    def make(moves: Array, cases: Array) -> tuple[Array, NDArray[np.bool_]]:
        rows = dealt.example[cases]
        clean, seeds = table.examples.x[rows], draws(table, rows, budget.epsilon)
        made = admit_moves(moves, clean, budget, seeds)
        return made.x, ~made.rejected

    return make
