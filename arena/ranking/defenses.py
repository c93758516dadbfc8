"""The boards of defenses: robust accuracy in the worst case, and median distance.

The headline is the mean over examples of [clean right and not broken by any attack of the pool]:
a mean of minima, never the minimum of means. A hundred clones of an attack change nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import Side
from arena.ranking.board import (
    Board,
    Contender,
    Headline,
    points_lacking,
    pool_met,
    pool_version,
    ranked_board,
)
from arena.ranking.nesting import measured, nested_in
from arena.ranking.records import CellResult, ExampleSet, Player, Records, Tier, finite_or_none
from arena.ranking.statistics import (
    Interval,
    bootstrap_means,
    bootstrap_medians,
    count_wins,
    percentile_interval,
    wilson,
)
from arena.ranking.survival import Survival, survival

ROBUST_ACCURACY: Final = Headline(
    "robust_worst", "Robust accuracy (worst case, an upper bound)", upper_bound=True
)
MEDIAN_DISTANCE: Final = Headline(
    "median_distance", "Median distance to the nearest mistake (an upper bound)", upper_bound=True
)


@dataclass(frozen=True)
class Standing:
    """A defense, what it met and what it holds; before it becomes a row."""

    player: Player
    survival: Survival
    own: tuple[CellResult, ...]
    nested: tuple[CellResult, ...]

    @property
    def pool(self) -> tuple[int, int]:
        """(met, applicable) over the tier and all that nests in it."""
        return pool_met((*self.own, *self.nested))


@dataclass(frozen=True)
class Field:
    """All defenses of a tier, folded once for both boards."""

    tier: Tier
    examples: ExampleSet
    standings: tuple[Standing, ...]
    pool_version: str


def fold_defenses(records: Records, tier: Tier) -> Field:
    """Fold every cell that counts on ``tier``, its own and those of nested tiers; once."""
    return records.once(_fold, tier)


def _fold(records: Records, tier: Tier) -> Field:
    nested = nested_in(tier, records.tiers.values())
    examples = records.examples_of(tier.id, fallback=nested)
    own = _by_defense(records.cells_of(tier.id))
    others = _by_defense([cell for id_ in nested for cell in records.cells_of(id_)])
    players = [p for p in records.players_on(Side.DEFENSE) if p.id in own or p.id in others]
    standings = tuple(
        Standing(
            player=player,
            survival=survival(
                own[player.id],
                others[player.id],
                examples=examples,
                epsilons=tier.spec.epsilons,
            ),
            own=tuple(own[player.id]),
            nested=tuple(others[player.id]),
        )
        for player in players
    )
    cells = [cell for group in (own, others) for row in group.values() for cell in row]
    pool = pool_version((cell.round, cell.attack) for cell in cells)
    return Field(tier, examples, standings, pool)


def robust_accuracy_board(records: Records, tier: Tier) -> Board:
    """Evasion and transfer at the round's budget, with the curve over smaller ones beside it."""
    return _board(records, tier, ROBUST_ACCURACY, _holds, _accuracy_row)


def distance_board(records: Records, tier: Tier) -> Board:
    """Minimum-norm rounds."""
    return _board(records, tier, MEDIAN_DISTANCE, _distance_values, _distance_row)


_Values = Callable[[Survival], NDArray[np.float64]]
_Rows = Callable[[Field, Sequence[Standing]], list[Contender]]


def _board(records: Records, tier: Tier, headline: Headline, values: _Values, rows: _Rows) -> Board:
    field = fold_defenses(records, tier)
    shown = [s for s in field.standings if s.player.on_board]
    contenders = rows(field, shown)
    n = len(field.examples)
    table = np.array([values(s.survival) for s in shown], np.float64).reshape(len(shown), n)
    return ranked_board(
        contenders,
        count_wins(table),
        tier=tier.id,
        side=Side.DEFENSE,
        headline=headline,
        pool_version=field.pool_version,
        examples=n,
    )


def _holds(held: Survival) -> NDArray[np.float64]:
    return np.where(held.known, held.survives[-1].astype(np.float64), np.nan)


def _distance_values(held: Survival) -> NDArray[np.float64]:
    return held.distances


def _accuracy_row(field: Field, standings: Sequence[Standing]) -> list[Contender]:
    n = len(field.examples)
    table = np.array([_holds(s.survival) for s in standings], np.float64)
    replicates = bootstrap_means(table.reshape(len(standings), n)) if n else table
    return [
        _contender(
            standing,
            field.tier,
            estimate=standing.survival.robust(),
            interval=_wilson(standing.survival),
            metrics=_accuracy_metrics(standing, field.tier, replicates[i] if n else None),
        )
        for i, standing in enumerate(standings)
    ]


def _distance_row(field: Field, standings: Sequence[Standing]) -> list[Contender]:
    rows = []
    for standing in standings:
        distances = standing.survival.distances
        median = lower_median(distances)
        interval = percentile_interval(bootstrap_medians(distances))
        metrics = {
            **_common_metrics(standing),
            "median_distance": finite_or_none(median),
            "median_distance_bootstrap": as_json(interval),
            "median_distance_mean": _mean_over_attacks(standing),
            "curve": distance_curve(distances),
        }
        rows.append(
            _contender(standing, field.tier, estimate=median, interval=interval, metrics=metrics)
        )
    return rows


def _mean_over_attacks(standing: Standing) -> float | None:
    """Of the medians of the round's own matches; None where one of them found next to nothing."""
    medians = [
        lower_median(np.where(kills.clean_right, measured(kills.distances), 0.0))
        for kills in (cell.kills for cell in standing.own if cell.met)
        if kills is not None and kills.distances is not None
    ]
    known = [median for median in medians if median is not None]
    return finite_or_none(np.mean(known)) if known else None


def _contender(
    standing: Standing,
    tier: Tier,
    *,
    estimate: float | None,
    interval: Interval | None,
    metrics: Mapping[str, Any],
) -> Contender:
    met, applicable = standing.pool
    clean = standing.survival.clean
    return Contender(
        player=standing.player,
        estimate=estimate,
        interval=interval,
        clean=clean,
        met=met,
        applicable=applicable,
        lacking=points_lacking(clean, tier.floor),
        metrics=metrics,
    )


def _accuracy_metrics(
    standing: Standing, tier: Tier, replicates: NDArray[np.float64] | None
) -> dict[str, Any]:
    held = standing.survival
    accuracies = [held.robust(row) for row in range(len(tier.spec.epsilons))]
    curve = [
        {"epsilon": epsilon, "robust_worst": accuracy}
        for epsilon, accuracy in zip(tier.spec.epsilons, accuracies, strict=True)
    ]
    strongest, where = held.strongest or (None, None)
    return {
        **_common_metrics(standing),
        "robust_worst": held.robust(),
        "robust_worst_wilson": as_json(_wilson(held)),
        "robust_worst_bootstrap": as_json(
            percentile_interval(replicates) if replicates is not None else None
        ),
        "robust_mean": held.mean,
        **_under_corruptions(standing),
        "strongest_attack": strongest,
        "strongest_round": None if where == tier.id else where,
        "broken_only_with_less": held.from_nested,
        "curve": curve,
        "curve_area": _area(tier.spec.epsilons, accuracies, held.clean),
    }


def _under_corruptions(standing: Standing) -> dict[str, float]:
    """Corruption rounds: what the referee found under every kind, the same in every match."""
    known = [finite_or_none(cell.metrics.get("corruption_accuracy")) for cell in standing.own]
    found = [accuracy for accuracy in known if accuracy is not None]
    return {"corruption_accuracy": float(np.mean(found))} if found else {}


def _common_metrics(standing: Standing) -> dict[str, Any]:
    held = standing.survival
    met, applicable = standing.pool
    right = int((held.clean_right & held.known).sum())
    return {
        "clean": held.clean,
        "clean_wilson": as_json(wilson(right, held.examples) if held.examples else None),
        "examples": held.examples,
        "pool_met": met,
        "pool_applicable": applicable,
        "upper_bound": True,
    }


def _wilson(held: Survival) -> Interval | None:
    if not held.examples:
        return None
    return wilson(int(held.survives[-1][held.known].sum()), held.examples)


def _area(
    epsilons: Sequence[float], accuracies: Sequence[float | None], clean: float | None
) -> float | None:
    """Mean height of the curve from epsilon 0 (clean accuracy) to the largest."""
    known = [a for a in accuracies if a is not None]
    if clean is None or len(known) < len(epsilons) or not epsilons:
        return None
    return float(np.trapezoid([clean, *known], [0.0, *epsilons]) / epsilons[-1])


def lower_median(values: NDArray[np.float64]) -> float | None:
    """The lower of two middle values, so that misses (inf) never average into a number."""
    known = np.sort(values[~np.isnan(values)])
    return float(known[(len(known) - 1) // 2]) if len(known) else None


def distance_curve(distances: NDArray[np.float64], *, points: int = 33) -> list[dict[str, float]]:
    """Robust accuracy at evenly spaced distances up to the largest finite one."""
    known = distances[~np.isnan(distances)]
    finite = known[np.isfinite(known)]
    if not len(known):
        return []
    top = float(finite.max()) if len(finite) else 0.0
    return [
        {"epsilon": float(e), "robust_worst": float((known > e).mean())}
        for e in np.linspace(0.0, top, points)
    ]


def as_json(interval: Interval | None) -> list[float | None] | None:
    """[low, high] as JSON holds it."""
    return None if interval is None else [finite_or_none(end) for end in interval]


def _by_defense(cells: Sequence[CellResult]) -> defaultdict[str, list[CellResult]]:
    grouped: defaultdict[str, list[CellResult]] = defaultdict(list)
    for cell in cells:
        grouped[cell.defense].append(cell)
    return grouped
