"""The boards of a poisoning round: learners by their worst error, poisoners by what they add.

Alice's figure is the largest over attacks of the mean error after poisoning, at the round's
largest share; Bob's is Δerror = err(S ∪ S_B) - err(S), its mean over teams. A poison made with
less knowledge counts on the learner's board of every stronger round too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import Side
from arena.ranking.attacks import Score, count_wins_over_shared_teams, counts_for_attack
from arena.ranking.board import (
    POOL_SHARE,
    Board,
    Contender,
    Headline,
    points_lacking,
    pool_met,
    pool_version,
    ranked_board,
)
from arena.ranking.defenses import as_json
from arena.ranking.nesting import nested_in
from arena.ranking.records import CellResult, ExampleSet, Player, Records, Tier, finite_or_none
from arena.ranking.statistics import Interval, count_wins, wilson

POISONED_ERROR: Final = Headline(
    "poisoned_error", "Largest mean error after poisoning", higher_is_better=False
)
DELTA_ERROR: Final = Headline("delta_error", "Error added by poisoning, mean over teams")

CLEAN: Final = "clean_error"
POISONED: Final = "poisoned_error"
DELTA: Final = "delta_error"
SHARE: Final = "share"
"""Names in a poisoning verdict's metrics (at the largest share) and curve (by share)."""


@dataclass(frozen=True)
class _Learner:
    player: Player
    cells: tuple[CellResult, ...]
    worst: CellResult | None

    @property
    def error(self) -> float | None:
        return None if self.worst is None else poisoned_error(self.worst)

    @property
    def clean(self) -> float | None:
        known = [clean_error(cell) for cell in self.cells if cell.met]
        errors = [error for error in known if error is not None]
        return 1 - float(np.mean(errors)) if errors else None


@dataclass(frozen=True)
class _Poisoner:
    player: Player
    cells: tuple[CellResult, ...]
    scored: Mapping[str, CellResult]
    """By team."""


def learner_board(records: Records, tier: Tier) -> Board:
    """Lower is better, above the clean floor."""
    learners = [x for x in _learners(records, tier) if x.player.on_board]
    examples = records.examples_of(tier.id, fallback=nested_in(tier, records.tiers.values()))
    table = np.array([_held(x, examples) for x in learners], np.float64)
    cells = [cell for learner in learners for cell in learner.cells]
    return ranked_board(
        [_learner_row(learner, tier) for learner in learners],
        count_wins(table.reshape(len(learners), len(examples))),
        tier=tier.id,
        side=Side.DEFENSE,
        headline=POISONED_ERROR,
        pool_version=pool_version((cell.round, cell.attack) for cell in cells),
        examples=len(examples),
    )


def poisoner_board(records: Records, tier: Tier) -> Board:
    """Mean over teams of what was added to the error of each team's best learner."""
    targets = _scored_learners(records, tier)
    examples = records.examples_of(tier.id)
    poisoners = [
        _Poisoner(player, tuple(cells), _scored_cells(records, tier, player, targets))
        for player in records.players_on(Side.ATTACK)
        if player.on_board and (cells := _cells_of_attack(records, tier, player))
    ]
    scores = [{t: _score(c, examples) for t, c in p.scored.items()} for p in poisoners]
    met = [(cell.round, cell.defense) for poisoner in poisoners for cell in poisoner.cells]
    return ranked_board(
        [_poisoner_row(poisoner, targets) for poisoner in poisoners],
        count_wins_over_shared_teams(scores, len(examples)),
        tier=tier.id,
        side=Side.ATTACK,
        headline=DELTA_ERROR,
        pool_version=pool_version(met),
        examples=len(examples),
    )


def poisoned_error(cell: CellResult) -> float | None:
    """Error after poisoning. A learner that forfeits is wrong on everything."""
    if cell.forfeited_by_defense:
        return 1.0
    error = finite_or_none(cell.metrics.get(POISONED))
    # A poisoner that forfeits has poisoned nothing.
    return clean_error(cell) if error is None else error


def clean_error(cell: CellResult) -> float | None:
    return finite_or_none(cell.metrics.get(CLEAN))


def delta_error(cell: CellResult) -> float | None:
    """A poisoner that forfeits before it moves adds nothing."""
    delta = finite_or_none(cell.metrics.get(DELTA))
    return 0.0 if delta is None and cell.met else delta


def _learners(records: Records, tier: Tier) -> list[_Learner]:
    rounds = [tier.id, *nested_in(tier, records.tiers.values())]
    found: dict[str, list[CellResult]] = {}
    for round_ in rounds:
        share = max(records.tiers[round_].spec.shares, default=0.0)
        if share <= max(tier.spec.shares, default=0.0) + 1e-9:
            for cell in records.cells_of(round_):
                found.setdefault(cell.defense, []).append(cell)
    players = [p for p in records.players_on(Side.DEFENSE) if p.id in found]
    return [_Learner(p, tuple(found[p.id]), _worst(found[p.id])) for p in players]


def _worst(cells: Sequence[CellResult]) -> CellResult | None:
    known = [cell for cell in cells if cell.met and poisoned_error(cell) is not None]
    return max(known, key=lambda c: (poisoned_error(c) or 0.0, c.key), default=None)


def _held(learner: _Learner, examples: ExampleSet) -> NDArray[np.float64]:
    """(n,) 1 where still right after the worst attack, NaN where the verdict does not say."""
    held = np.full(len(examples), np.nan)
    if learner.worst is not None and learner.worst.kills is not None:
        kills = learner.worst.kills
        places, here = examples.places(kills.examples)
        last = kills.broken[-1] if len(kills.broken) else np.zeros(len(kills.examples), bool)
        held[places] = (kills.clean_right & ~last)[here]
    return held


def _learner_row(learner: _Learner, tier: Tier) -> Contender:
    met, applicable = pool_met(learner.cells)
    error, interval = learner.error, None
    examples = 0
    if learner.worst is not None and learner.worst.kills is not None and error is not None:
        examples = len(learner.worst.kills.examples)
        interval = wilson(error * examples, examples)
    return Contender(
        player=learner.player,
        estimate=error,
        interval=interval,
        clean=learner.clean,
        met=met,
        applicable=applicable,
        lacking=points_lacking(learner.clean, tier.floor),
        metrics=_learner_metrics(learner, interval, met, applicable),
    )


def _learner_metrics(
    learner: _Learner, interval: Interval | None, met: int, applicable: int
) -> dict[str, Any]:
    known = [poisoned_error(cell) for cell in learner.cells if cell.met]
    errors = [error for error in known if error is not None]
    return {
        "clean": learner.clean,
        "poisoned_error": learner.error,
        "poisoned_error_wilson": as_json(interval),
        "poisoned_error_mean": float(np.mean(errors)) if errors else None,
        "strongest_attack": learner.worst.attack if learner.worst else None,
        "curve": _curve(learner.cells),
        "pool_met": met,
        "pool_applicable": applicable,
    }


def _curve(cells: Sequence[CellResult]) -> list[dict[str, float]]:
    """Share -> the largest error over attacks."""
    worst: dict[float, float] = {}
    for point in (point for cell in cells if cell.met for point in cell.curve):
        share = finite_or_none(point.get(SHARE))
        error = finite_or_none(point.get(POISONED))
        if share is not None and error is not None:
            worst[share] = max(error, worst.get(share, 0.0))
    return [{"share": share, "poisoned_error": worst[share]} for share in sorted(worst)]


def _scored_learners(records: Records, tier: Tier) -> dict[str, Player]:
    """Team -> its best learner above the floor; tested ones before provisional ones."""
    best: dict[str, tuple[tuple[Any, ...], Player]] = {}
    for learner in _learners(records, tier):
        clean, error, player = learner.clean, learner.error, learner.player
        if clean is None or error is None or clean < tier.floor or not player.in_pool:
            continue
        met, applicable = pool_met(learner.cells)
        strength = (met >= POOL_SHARE * applicable, -error, -player.uploaded, player.id)
        if player.team_key not in best or strength > best[player.team_key][0]:
            best[player.team_key] = (strength, player)
    return {team: best[team][1] for team in sorted(best)}


def _cells_of_attack(records: Records, tier: Tier, player: Player) -> list[CellResult]:
    return [
        cell
        for cell in records.by_round.get(tier.id, [])
        if cell.attack == player.id and records.players[cell.defense].in_pool
    ]


def _scored_cells(
    records: Records, tier: Tier, player: Player, targets: Mapping[str, Player]
) -> dict[str, CellResult]:
    scored = {}
    for team, target in targets.items():
        cell = records.cells.get((tier.id, player.id, target.id))
        if cell is not None and counts_for_attack(cell, player, target):
            scored[team] = cell
    return scored


def _score(cell: CellResult, examples: ExampleSet) -> Score:
    """Per example: right after clean training, wrong after poisoned training, in most seeds."""
    credit = np.zeros(len(examples))
    if cell.kills is not None and len(cell.kills.broken):
        places, here = examples.places(cell.kills.examples)
        credit[places] = (cell.kills.clean_right & cell.kills.broken[-1])[here]
    return Score(delta_error(cell) or 0.0, credit, np.zeros(len(examples)))


def _poisoner_row(poisoner: _Poisoner, targets: Mapping[str, Player]) -> Contender:
    deltas = {team: delta_error(cell) or 0.0 for team, cell in poisoner.scored.items()}
    house = [delta for team, delta in deltas.items() if targets[team].house]
    met, applicable = pool_met(poisoner.cells)
    estimate = float(np.mean(list(deltas.values()))) if deltas else None
    interval = _delta_interval(list(poisoner.scored.values()))
    return Contender(
        player=poisoner.player,
        estimate=estimate,
        interval=interval,
        clean=None,
        met=met,
        applicable=applicable,
        metrics={
            "delta_error": estimate,
            "delta_error_bootstrap": as_json(interval),
            "delta_error_on_house": float(np.mean(house)) if house else None,
            "teams": len(deltas),
            "pool_met": met,
            "pool_applicable": applicable,
        },
    )


def _delta_interval(cells: Sequence[CellResult]) -> Interval | None:
    """The mean of the matches' own intervals: they share examples, so it is on the safe side."""
    ends = [(cell.metrics.get(f"{DELTA}_low"), cell.metrics.get(f"{DELTA}_high")) for cell in cells]
    known = [(low, high) for low, high in ends if low is not None and high is not None]
    if not known or len(known) < len(cells):
        return None
    low, high = np.mean(known, axis=0)
    return Interval(float(low), float(high))
