"""Label flipping (Biggio, Nelson & Laskov 2011): honest points under the wrong label.

Chooses the points nearest to the other classes' mean, where a wrong label bends the boundary
most, and gives each the label of that class's opposite.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import Poison, Poisoner, PoisoningChallenge

MANIFEST = """
schema_version = 1
name = "Label flip"
role = "poisoner"
framework = "numpy"
entry = "player.py:LabelFlip"
family = "label flip"
description = "Repeats (or replaces) training points under another class's label."
"""


class LabelFlip(Poisoner):
    """Flips the labels of points drawn from S, balanced over classes."""

    def poison(self, challenge: PoisoningChallenge) -> Poison:
        classes = len(challenge.task.classes)
        rows = challenge.rng().permutation(len(challenge.x))
        order = _balanced(challenge.y[rows], classes)
        chosen = np.resize(rows[order], challenge.count)
        flipped = (challenge.y[chosen] + 1) % classes
        replaces = chosen if challenge.mode == "replace" else None
        return Poison(challenge.x[chosen], flipped.astype(np.int64), replaces)


def _balanced(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """An order in which the classes take turns."""
    turns = np.empty(len(labels), np.int64)
    for label in range(classes):
        members = np.flatnonzero(labels == label)
        turns[members] = np.arange(len(members))
    return np.lexsort((labels, turns))
