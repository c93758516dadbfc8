"""The board of defenses in a certification round: certified accuracy at the round's radius.

A claim must hold against every adversarial example that is known: those of the round itself were
held against it by the referee, with the example at hand; here the kills of all other rounds in the
same norm are. A kill within a radius that was claimed for certain breaks the certificate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
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
    changed = {
        cell.key: _broken(cell)
        for cells in _by_defense(records, tier).values()
        for cell in cells
        if next(_contradictions(cell, cells), None)
    }
    if not changed:
        return records
    every = [changed.get(key, cell) for key, cell in records.cells.items()]
    return Records(records.players.values(), records.tiers.values(), every)


@dataclass(frozen=True)
class Refutation:
    """``by``: the match in which the counterexamples were found; ``examples``: how many."""

    by: CellResult
    examples: int


def refutations(records: Records, tier: Tier) -> dict[str, Refutation]:
    """Defense -> the match that refutes most of its claims, where its certificate is broken."""
    found = {}
    for defense, cells in _by_defense(records, tier).items():
        every = [refutation for cell in cells for refutation in _refutations(cell, cells)]
        if every:
            found[defense] = max(every, key=lambda r: (r.examples, r.by.key))
    return found


def _refutations(cell: CellResult, others: Iterable[CellResult]) -> Iterator[Refutation]:
    if metric(cell, "certificate_broken"):
        yield Refutation(cell, int(metric(cell, "claims_refuted") or 0))
    yield from _contradictions(cell, others)


def _by_defense(records: Records, tier: Tier) -> dict[str, list[CellResult]]:
    """The cells that tell who fell, of this tier and of those nested in it."""
    rounds = [tier.id, *nested_in(tier, records.tiers.values())]
    found: dict[str, list[CellResult]] = {}
    for cell in records.cells.values():
        if cell.round in rounds and cell.kills is not None:
            found.setdefault(cell.defense, []).append(cell)
    return found


def _contradictions(cell: CellResult, others: Iterable[CellResult]) -> Iterator[Refutation]:
    """Claims that leave something to chance are judged where they can be looked at again."""
    if cell.kills is None or cell.kills.radii is None or metric(cell, "claim_alpha") != 0:
        return
    known = ExampleSet(np.sort(cell.kills.examples))
    radii = cell.kills.radii[np.argsort(cell.kills.examples)]
    for other in others:
        kills = other.kills
        if kills is None or other.key == cell.key:
            continue
        places, here = known.places(kills.examples)
        within = int((distance_bound(kills)[here] <= radii[places] - MARGIN).sum())
        if within:
            yield Refutation(other, within)


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
