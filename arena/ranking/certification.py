"""The board of defenses in a certification round: certified accuracy at the round's radius.

A claim must hold against every adversarial example that is known: those of the round itself were
held against it by the referee, with the example at hand; here the kills of all other rounds in the
same norm are. A kill within a radius that was claimed for certain breaks the certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena.ranking.board import Board, Headline
from arena.ranking.nesting import distance_bound, nested_in
from arena.ranking.records import CellResult, ExampleSet, Records, Tier
from arena.ranking.single_figure import Contest, defenses_board, interval_of, metric
from arena.rounds import GameName, RoundSpec

CERTIFIED: Final = Headline("certified_accuracy", "Certified accuracy at the round's radius")
SUCCESS: Final = Headline("success", "Attack success, mean over teams")
MARGIN: Final = 1e-4


def certified_board(records: Records, tier: Tier) -> Board:
    """Higher is better, above the clean floor."""
    return defenses_board(held_to_every_kill(records, tier), tier, CERTIFICATION)


def certified_accuracy(cell: CellResult) -> float | None:
    """A defense that forfeits has claimed nothing."""
    return 0.0 if cell.forfeited_by_defense else metric(cell, "certified_accuracy")


def held_to_every_kill(records: Records, tier: Tier) -> Records:
    """The same records, with certificates broken that a kill of a nested round contradicts."""
    contradicted = records.once(_contradictions, tier).cells
    if not contradicted:
        return records
    every = [_broken(cell) if key in contradicted else cell for key, cell in records.cells.items()]
    return Records(records.players.values(), records.tiers.values(), every)


@dataclass(frozen=True)
class Refutation:
    """``by``: the match in which the counterexamples were found; ``examples``: how many."""

    by: CellResult
    examples: int


def refutations(records: Records, tier: Tier) -> dict[str, Refutation]:
    """Defense -> the match that refutes most of its claims, where its certificate is broken."""
    return records.once(_contradictions, tier).refutations


@dataclass
class _Contradictions:
    """``cells``: those whose claims do not hold; ``refutations``: by defense, the largest."""

    cells: set[tuple[str, str, str]] = field(default_factory=set)
    refutations: dict[str, Refutation] = field(default_factory=dict)


def _contradictions(records: Records, tier: Tier) -> _Contradictions:
    found = _Contradictions()
    for defense, cells in _by_defense(records, tier).items():
        contradicted, refuted = _held_against_each_other(cells)
        found.cells |= {cells[i].key for i in np.flatnonzero(contradicted)}
        every = [Refutation(cells[i], int(refuted[i])) for i in np.flatnonzero(refuted)]
        every += [
            Refutation(cell, int(metric(cell, "claims_refuted") or 0))
            for cell in cells
            if metric(cell, "certificate_broken")
        ]
        if every:
            found.refutations[defense] = max(every, key=lambda r: (r.examples, r.by.key))
    return found


def _by_defense(records: Records, tier: Tier) -> dict[str, list[CellResult]]:
    """The cells that tell who fell, of this tier and of those nested in it."""
    rounds = {tier.id, *nested_in(tier, records.tiers.values())}
    found: dict[str, list[CellResult]] = {}
    for cell in records.cells.values():
        if cell.round in rounds and cell.kills is not None:
            found.setdefault(cell.defense, []).append(cell)
    return found


def _held_against_each_other(
    cells: Sequence[CellResult],
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Of m matches of one defense: (m,) whether a kill of another lies within what was claimed in
    this one, and (m,) on how many examples a kill of this one refutes what others claimed.

    One pass over (m, n examples): each match is held against the nearest kill and the largest
    claim of all others.
    """
    verdicts = [(cell, cell.kills) for cell in cells if cell.kills is not None]
    examples = ExampleSet.of(kills.examples for _, kills in verdicts)
    radii = np.full((len(verdicts), len(examples)), -np.inf)
    bounds = np.full((len(verdicts), len(examples)), np.inf)
    for row, (cell, kills) in enumerate(verdicts):
        places, _ = examples.places(kills.examples)
        bounds[row, places] = distance_bound(kills)
        if kills.radii is not None and metric(cell, "claim_alpha") == 0:
            # Claims that leave something to chance are judged where they can be looked at again.
            radii[row, places] = kills.radii
    contradicted = _least_of_others(bounds) <= radii - MARGIN
    refuting = bounds <= -_least_of_others(-radii) - MARGIN
    return np.asarray(contradicted.any(axis=1)), np.asarray(refuting.sum(axis=1))


def _least_of_others(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, n) the smallest value of a column beside one's own; inf in a row that is alone."""
    if len(rows) < 2:
        return np.full(rows.shape, np.inf)
    least, second = np.partition(rows, 1, axis=0)[:2]
    alone = (rows == least).sum(axis=0) == 1
    return np.asarray(np.where((rows == least) & alone, second, least))


def _broken(cell: CellResult) -> CellResult:
    assert cell.kills is not None
    radii = np.zeros(len(cell.kills.examples), np.float32)
    nothing = {"certified_accuracy": 0.0, "certificate_broken": 1.0}
    return replace(
        cell,
        kills=replace(cell.kills, radii=radii),
        metrics={**cell.metrics, **nothing},
        curve=tuple({**point, "certified_accuracy": 0.0} for point in cell.curve),
    )


def _certified_bits(cell: CellResult, tier: Tier) -> NDArray[np.bool_] | None:
    if cell.kills is None or cell.kills.radii is None:
        return None
    return np.asarray(cell.kills.radii >= (tier.headline_epsilon or 0.0) - 1e-9)


def _same_game(weaker: RoundSpec, _stronger: RoundSpec) -> bool:
    return weaker.game is GameName.CERTIFICATION


CERTIFICATION: Final = Contest(
    defense=CERTIFIED,
    attack=SUCCESS,
    figure=certified_accuracy,
    clean=lambda cell: metric(cell, "clean_accuracy"),
    gain=lambda cell: metric(cell, "attack_success_rate") or 0.0,
    interval=lambda cell: interval_of(cell, "attack_success_rate"),
    axis="epsilon",
    point="certified_accuracy",
    counts=_same_game,
    held=_certified_bits,
)
