"""What house models say of an input: least likely targets, and what a transfer started from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.answers import Answers
from arena.errors import PlayerError, RefereeError
from arena.games.base import Table
from arena.packages import Package
from arena.players import Images

BATCH = 256


def reference_scores(table: Table, x: Images) -> NDArray[np.float64]:
    """Probabilities (n, classes) of the house reference.

    Raises:
        RefereeError: the match was given none, or it failed; the house's faults are ours.
    """
    package = table.reference or next(iter(table.related), None)
    if package is None:
        raise RefereeError(
            "Least likely targets need a house reference: give the match one, or choose "
            "target_rule = 'random'."
        )
    return house_answers(table, package, x).probabilities[:, : len(table.task.classes)]


def house_answers(table: Table, package: Package, x: Images) -> Answers:
    """What one house model answers, in a jail of its own."""
    seeds = np.zeros(len(x), np.uint64)
    starts = range(0, len(x), BATCH)
    try:
        with table.open_house(package) as seat:
            parts = [seat.predict(x[i : i + BATCH], seeds[i : i + BATCH]) for i in starts]
        return table.read(np.concatenate(parts), rows=len(x), package=package)
    except PlayerError as error:
        raise RefereeError(f"A house model failed: {error}") from error
