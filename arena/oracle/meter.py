"""What an attack may ask, and what it has asked: probes, in total and per example."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.errors import QueryBudgetExceeded
from arena.threat_model import Probes


class Meter:
    """Counts probes, in total and per example. Charges before anything is answered."""

    def __init__(self, probes: Probes, examples: int) -> None:
        self.spent = np.zeros(examples, np.int64)
        self._total = 0
        self.grant(probes)

    def grant(self, probes: Probes) -> None:
        """Set what may be asked from now on, all that was asked before counted in."""
        self.probes = probes
        self._limit = probes.limit(len(self.spent))

    @property
    def left(self) -> float:
        return self._limit - self._total

    def left_per_example(self) -> NDArray[np.float64]:
        """(n,) probes left for each example; the total binds as well."""
        if self.probes.per_example is None:
            return np.full(len(self.spent), self.left)
        return np.minimum(self.probes.per_example - self.spent, self.left).astype(np.float64)

    def charge(self, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Charge one probe a row; (rows,) how many each example had spent by then, 1 the first.

        Raises:
            QueryBudgetExceeded: nothing is charged.
        """
        if len(examples) > self.left:
            raise QueryBudgetExceeded(_too_many(len(examples), self.left))
        if len(examples) == 1:
            return self._charge_one(int(examples[0]))
        asked = np.bincount(examples, minlength=len(self.spent))
        if self.probes.per_example is not None:
            over = np.flatnonzero(asked > self.probes.per_example - self.spent)
            if len(over):
                worst = int(over[0])
                left = self.probes.per_example - int(self.spent[worst])
                raise QueryBudgetExceeded(
                    _too_many(int(asked[worst]), left) + f" (for example {worst})"
                )
        ordinal = self.spent[examples] + 1
        if asked.max() > 1:
            ordinal += _occurrence(examples)
        self.spent += asked
        self._total += len(examples)
        return np.asarray(ordinal, np.int64)

    def _charge_one(self, example: int) -> NDArray[np.int64]:
        """The same for a single row, which is what most attacks without gradients ask about."""
        spent = int(self.spent[example])
        if self.probes.per_example is not None and spent >= self.probes.per_example:
            raise QueryBudgetExceeded(_too_many(1, 0) + f" (for example {example})")
        self.spent[example] = spent + 1
        self._total += 1
        return np.array([spent + 1], np.int64)


def _too_many(asked: int, left: float) -> str:
    noun = "query" if asked == 1 else "queries"
    return f"Asked {asked:,} {noun} with {left:,.0f} left."


def _occurrence(examples: NDArray[np.int64]) -> NDArray[np.int64]:
    """(rows,) how often the row's example occurred in the rows before it."""
    order = np.argsort(examples, kind="stable")
    ordered = examples[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else order
    run = np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
    result = np.empty(len(examples), np.int64)
    result[order] = np.arange(len(examples)) - run
    return result
