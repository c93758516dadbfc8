"""The battery of common corruptions: every kind at each severity of the round, no attack needed.

Hendrycks & Dietterich 2019 report the mean accuracy over kinds and severities. The referee makes
the pictures and asks each once, in fresh processes: the figure hangs on the round and the defense
alone. Its draws are those of candidates, so that a kind chosen by an attack is the same picture.

No two pictures of an example share a process: a defense could pair them, and say of all what it
says of the least corrupted. So each example gets as many kinds and severities as there are
processes, and each kind and severity as many examples as any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena import metrics
from arena.changes.corruptions import KINDS
from arena.errors import PlayerError
from arena.games.admission import Budget, admit_moves
from arena.games.base import Table
from arena.games.control import kept_answers
from arena.games.judgement import Ballots, Inputs, Sheet, asked_apart
from arena.games.moves import draws
from arena.metrics import Metrics

BATTERY: Final = "battery 2"
"""The first battery laid its pictures out otherwise: what was kept of it is not taken for this."""
MOST: Final = 3000
"""Pictures of one battery, if that is enough for every kind at each severity."""
PROCESSES: Final = 12
"""The same of processes, each of which must be started."""


@dataclass(frozen=True)
class Battery:
    """``levels``: one a severity. ``kinds``: accuracy by kind, over all severities of the round."""

    levels: tuple[Metrics, ...]
    kinds: dict[str, float]
    faults: tuple[PlayerError, ...]

    @property
    def headline(self) -> Metrics:
        """Over all severities of the round."""
        found = [level["corruption_accuracy"] for level in self.levels]
        known = [accuracy for accuracy in found if accuracy is not None]
        return {"corruption_accuracy": float(np.mean(known)) if known else None}


@dataclass(frozen=True, eq=False)
class Deal:
    """``sheet`` of m pictures; the ``level`` (m,) and ``kind`` (m,) of each."""

    sheet: Sheet
    level: NDArray[np.int64]
    kind: NDArray[np.int64]


def judge_battery(table: Table, budgets: tuple[Budget, ...]) -> Battery:
    """Accuracy on the judged examples, under each kind and severity."""
    deal = dealt(table, budgets)
    said, faults = _answers(table, deal)
    right = said.labels[:, 0] == table.examples.y[deal.sheet.inputs.example]
    levels = [right[deal.level == level] for level in range(len(budgets))]
    return Battery(
        levels=tuple(metrics.share("corruption_accuracy", level) for level in levels),
        kinds={kind: float(right[deal.kind == k].mean()) for k, kind in enumerate(KINDS)},
        faults=faults,
    )


def battery_answers(
    table: Table, budgets: tuple[Budget, ...]
) -> tuple[Ballots, tuple[PlayerError, ...]]:
    """What the defense says, as it is kept, and its faults."""
    return _answers(table, dealt(table, budgets))


def _answers(table: Table, deal: Deal) -> tuple[Ballots, tuple[PlayerError, ...]]:
    kept = kept_answers(table, BATTERY, shape=(len(deal.sheet.inputs), 1))
    if kept is not None:
        return kept, ()

    def draw(*purpose: str | int) -> np.random.RandomState:
        return table.round_stream(BATTERY, table.defense.sha256, *purpose)

    told = asked_apart(table, deal.sheet, draw=draw, repeats=1)
    return told.ballots, told.faults


def dealt(table: Table, budgets: tuple[Budget, ...]) -> Deal:
    """The same for every defense of the round."""
    n, cells = len(table.examples), len(KINDS) * len(budgets)
    each = min(cells, max(-(-cells // n), min(PROCESSES, max(1, MOST // n))))
    stream = table.round_stream(BATTERY)
    example = np.repeat(stream.permutation(n), each)
    cell = stream.permutation(cells)[np.arange(n * each) % cells]
    process = (np.repeat(stream.randint(each, size=n), each) + np.arange(n * each)) % each
    level, kind = cell // len(KINDS), cell % len(KINDS)
    x = table.examples.x[example].copy()
    for number, budget in enumerate(budgets):
        rows = np.flatnonzero(level == number)
        moves = np.stack([kind[rows], np.full(len(rows), budget.epsilon)], axis=1)
        chance = draws(table, example[rows], budget.epsilon)
        x[rows] = admit_moves(moves, x[rows], budget, chance).x
    nothing = np.zeros((0, 0), np.int64)
    return Deal(Sheet(Inputs(x, example), process, each, nothing), level, kind)
