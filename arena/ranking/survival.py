"""One defense on one tier: which examples it holds against the whole pool.

Cells of the tier itself say everything: clean mistakes, kills, inputs without an answer. Cells of
nested tiers add kills alone, joined on the index of the example in the split; examples that the
tier does not judge are left aside. A defense that the tier's own attacks cannot meet (no
gradients, say) is judged on what nested tiers know of the tier's examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arena.ranking.nesting import broken_within, distance_bound, measured
from arena.ranking.records import CellResult, ExampleSet
from arena.verdict import Kills

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Survival:
    """Columns over the tier's examples.

    ``known`` (n,): some cell judged it. ``clean_right`` (n,). ``survives`` (epsilons, n): clean
    right and not broken by any attack of the pool. ``distances`` (n,): the smallest perturbation
    any attack found, 0 for clean mistakes, inf where none was found; NaN where unknown.
    ``per_attack``: robust accuracy at the last epsilon against each attack of the tier itself.
    ``strongest``: (attack, round) that breaks most at the last epsilon, in whatever tier it played.
    """

    known: Bits
    clean_right: Bits
    survives: Bits
    distances: NDArray[np.float64]
    per_attack: Mapping[str, float]
    from_nested: int
    """Examples at the last epsilon that only kills of nested tiers break."""
    strongest: tuple[str, str] | None = None
    forfeited: frozenset[str] = frozenset()
    """Attacks of ``per_attack`` that failed in their match: their kills count, no mean does."""

    @property
    def mean(self) -> float | None:
        """Over the attacks that played to the end: a crash must not make a defense look better."""
        whole = [robust for a, robust in self.per_attack.items() if a not in self.forfeited]
        return float(np.mean(whole)) if whole else None

    @property
    def examples(self) -> int:
        return int(self.known.sum())

    @property
    def clean(self) -> float | None:
        return float(self.clean_right[self.known].mean()) if self.examples else None

    def robust(self, row: int = -1) -> float | None:
        return float(self.survives[row][self.known].mean()) if self.examples else None


class Ledger:
    """Folds the cells of one defense, one after the other."""

    def __init__(self, examples: ExampleSet, epsilons: Sequence[float]) -> None:
        n = len(examples)
        self.examples = examples
        self.epsilons = tuple(epsilons)
        self.asked = np.zeros(n, np.int64)
        self.right = np.zeros(n, np.int64)
        self.ever_wrong = np.zeros(n, bool)
        self.nested_asked = np.zeros(n, np.int64)
        self.nested_right = np.zeros(n, np.int64)
        self.lost = np.zeros((len(epsilons), n), bool)
        self.lost_to_nested = np.zeros((len(epsilons), n), bool)
        self.bound = np.full(n, np.inf)
        self.per_attack: dict[str, float] = {}
        self.forfeited: set[str] = set()
        self.strengths: list[tuple[float, bool, str, str]] = []
        """(robust accuracy, in a nested tier, attack, round): the least is the strongest."""

    def add(self, cell: CellResult) -> None:
        """A met cell of the tier itself."""
        if cell.kills is None:
            if cell.forfeited_by_defense:
                self._no_answer(cell)
            return  # the attack forfeited before it moved: nothing is known, nothing is broken
        places, here = self.examples.places(cell.kills.examples)
        right = cell.kills.clean_right[here]
        self.asked[places] += 1
        self.right[places] += right
        self.ever_wrong[places] |= ~right
        broken = self._broken(cell.kills)[:, here]
        self.lost[:, places] |= broken
        self._bound(places, _distances, cell.kills, here)
        if len(right) and len(broken):
            self.per_attack[cell.attack] = float((right & ~broken[-1]).mean())
            self._weigh(cell, nested=False, robust=self.per_attack[cell.attack])
            if cell.forfeited_by_attack:
                self.forfeited.add(cell.attack)

    def add_nested(self, cell: CellResult) -> None:
        """A met cell of a tier that knows no more: its kills count, nothing else does."""
        if cell.kills is None:
            return
        places, here = self.examples.places(cell.kills.examples)
        right = cell.kills.clean_right
        self.nested_asked[places] += 1
        self.nested_right[places] += right[here]
        broken = self._broken(cell.kills)[:, here]
        self.lost_to_nested[:, places] |= broken & right[here]
        if len(places) and len(broken):
            self._weigh(cell, nested=True, robust=float((right[here] & ~broken[-1]).mean()))
        self._bound(places, distance_bound, cell.kills, here)

    def close(self) -> Survival:
        own = self.asked > 0
        known = own | (self.nested_asked > 0)
        right = np.where(
            own, 2 * self.right > self.asked, 2 * self.nested_right > self.nested_asked
        )
        held = known & right & ~self.ever_wrong
        survives = held & ~self.lost & ~self.lost_to_nested
        only_nested = held & ~self.lost & self.lost_to_nested
        distances = np.where(held, self.bound, 0.0)
        return Survival(
            known=known,
            clean_right=right & known,
            survives=survives,
            distances=np.where(known, distances, np.nan),
            per_attack=self.per_attack,
            from_nested=int(only_nested[-1].sum()) if len(only_nested) else 0,
            strongest=min(self.strengths)[2:] if self.strengths else None,
            forfeited=frozenset(self.forfeited),
        )

    def _weigh(self, cell: CellResult, *, nested: bool, robust: float) -> None:
        self.strengths.append((robust, nested, cell.attack, cell.round))

    def _bound(
        self,
        places: NDArray[np.int64],
        measure: Callable[[Kills], NDArray[np.float64]],
        kills: Kills,
        here: Bits,
    ) -> None:
        """Only boards without epsilons rank by distance."""
        if not self.epsilons:
            self.bound[places] = np.minimum(self.bound[places], measure(kills)[here])

    def _broken(self, kills: Kills) -> Bits:
        if kills.epsilons == self.epsilons and len(kills.broken) == len(self.epsilons):
            return np.logical_or.accumulate(kills.broken, axis=0)
        rows = [broken_within(kills, epsilon) for epsilon in self.epsilons]
        return np.array(rows, bool).reshape(len(rows), len(kills.examples))

    def _no_answer(self, cell: CellResult) -> None:
        """A defense that gave no answer at all is wrong on every input of the match."""
        self.asked += 1
        self.ever_wrong |= True
        self.per_attack[cell.attack] = 0.0
        self._weigh(cell, nested=False, robust=0.0)


def survival(
    own: Iterable[CellResult],
    nested: Iterable[CellResult],
    *,
    examples: ExampleSet,
    epsilons: Sequence[float],
) -> Survival:
    """Fold the met cells of one defense. Order does not matter; pending cells are skipped."""
    ledger = Ledger(examples, epsilons)
    for cell in own:
        if cell.met:
            ledger.add(cell)
    for cell in nested:
        if cell.met:
            ledger.add_nested(cell)
    return ledger.close()


def _distances(kills: Kills) -> NDArray[np.float64]:
    """As the referee scored them: a miss has its full cost, which is no kill at any epsilon."""
    if kills.distances is None:
        return distance_bound(kills)
    return measured(kills.distances)
