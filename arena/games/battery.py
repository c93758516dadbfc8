"""The battery of common corruptions: every kind at each severity of the round, no attack needed.

Hendrycks & Dietterich 2019 report the mean accuracy over kinds and severities. The referee makes
the pictures and asks a process of its own, once each: the figure hangs on the round and the defense
alone. Its draws are those of candidates, so that a kind chosen by an attack is the same picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from arena import metrics
from arena.changes.corruptions import KINDS
from arena.errors import PlayerError
from arena.games.admission import Budget, admit_moves
from arena.games.base import Table
from arena.games.control import answers_to
from arena.games.judgement import Inputs
from arena.games.moves import draws
from arena.metrics import Metrics

BATTERY: Final = "battery"
MOST: Final = 3000
"""Pictures of one battery: more examples than that allows are left out, the same for everyone."""


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


def judge_battery(table: Table, budgets: tuple[Budget, ...]) -> Battery:
    """Accuracy on the first judged examples, under each kind and severity."""
    inputs = battery_inputs(table, budgets)
    said, faults = answers_to(table, inputs, purpose=BATTERY, repeats=1)
    right = said.labels[:, 0] == table.examples.y[inputs.example]
    told = right.reshape(len(budgets), len(KINDS), -1)
    return Battery(
        levels=tuple(metrics.share("corruption_accuracy", level.ravel()) for level in told),
        kinds={kind: float(told[:, k].mean()) for k, kind in enumerate(KINDS)},
        faults=faults,
    )


def battery_inputs(table: Table, budgets: tuple[Budget, ...]) -> Inputs:
    """By severity, kind and example."""
    n = max(1, min(len(table.examples), MOST // (len(KINDS) * len(budgets))))
    asked = np.tile(np.arange(n), len(KINDS))
    kinds = np.repeat(np.arange(len(KINDS)), n)
    clean = table.examples.x[asked]
    pictures = [
        admit_moves(
            np.stack([kinds, np.full(len(kinds), budget.epsilon)], axis=1),
            clean,
            budget,
            draws(table, asked, budget.epsilon),
        ).x
        for budget in budgets
    ]
    return Inputs(np.concatenate(pictures), np.tile(asked, len(budgets)))
