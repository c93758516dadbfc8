"""The boards of attacks: mean success over teams, and mean distance over teams.

Each team stands for one defense, its best by worst-case robust accuracy, and only above the clean
floor; each house defense is a team of its own. Left out of an attack's mean: its own team and
teams it shared a member with, defenses that forfeited all they said, cells that are not applicable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import Side
from arena.ranking.board import Board, Contender, Headline, pool_met, pool_version, ranked_board
from arena.ranking.defenses import Field, Standing, as_json, fold_defenses, lower_median
from arena.ranking.nesting import broken_within, measured
from arena.ranking.records import (
    CellResult,
    ExampleSet,
    Player,
    Records,
    Tier,
    finite_or_none,
)
from arena.ranking.statistics import (
    Interval,
    bootstrap_means,
    bootstrap_medians,
    count_wins,
    percentile_interval,
)
from arena.ranking.unique_kills import KillTable, count_unique_kills

Floats = NDArray[np.float64]

ATTACK_SUCCESS: Final = Headline("success", "Attack success, mean over teams")
ATTACK_DISTANCE: Final = Headline(
    "mean_distance", "Median distance, mean over teams", higher_is_better=False
)
QUERIES: Final = "median_queries"
"""Name of a verdict's metric: median queries to the first success."""


@dataclass(frozen=True)
class Score:
    """What one attack did to one team's defense.

    ``value``: success rate or median distance. ``credit`` (n,): per example, higher is better.
    ``influence`` (n,): how each example moves ``value``, with mean 0. ``deviations``
    (replicates,): the same by resampling, where the figure is no mean.
    """

    value: float
    credit: Floats
    influence: Floats
    deviations: Floats | None = None


Scorer = Callable[[CellResult, Standing, ExampleSet, float | None], Score | None]


def success_board(records: Records, tier: Tier) -> Board:
    """Evasion and transfer: the share of clean-right examples broken at the round's budget,
    of those that were attacked.
    """
    return _board(records, tier, ATTACK_SUCCESS, success_score)


def attack_distance_board(records: Records, tier: Tier) -> Board:
    """Minimum-norm rounds: how far the attack had to go; lower is better."""
    return _board(records, tier, ATTACK_DISTANCE, distance_score)


def scored_defenses(field: Field) -> dict[str, Standing]:
    """Team -> the defense that stands for it: the best that is above the clean floor.

    A provisional figure is too good by what has not been played; it stands in only where the team
    has nothing better tested.
    """
    best: dict[str, tuple[tuple[Any, ...], Standing]] = {}
    for standing in field.standings:
        clean = standing.survival.clean
        if clean is None or clean < field.tier.floor or not standing.player.in_pool:
            continue
        team = standing.player.team_key
        strength = _strength(standing)
        if team not in best or strength > best[team][0]:
            best[team] = (strength, standing)
    return {team: best[team][1] for team in sorted(best)}


def _strength(standing: Standing) -> tuple[Any, ...]:
    met, applicable = standing.pool
    held = standing.survival
    figure = held.robust() if len(held.survives) else lower_median(held.distances)
    return (met >= 0.95 * applicable, figure, -standing.player.uploaded, standing.player.id)


def success_score(
    cell: CellResult, standing: Standing, examples: ExampleSet, epsilon: float | None
) -> Score | None:
    """None where the defense had nothing right that could be broken."""
    right = np.zeros(len(examples))
    broken = np.zeros(len(examples))
    if cell.kills is None:
        right[:] = standing.survival.clean_right  # the attack forfeited: it broke none of these
    else:
        places, here = examples.places(cell.kills.examples)
        right[places] = cell.kills.at_stake[here]
        broken[places] = kills_of(cell, epsilon)[here]
    if not right.any():
        return None
    value = float(broken.sum() / right.sum())
    scale = right.mean()
    return Score(value, broken / scale, (broken - value * right) / scale)


def distance_score(
    cell: CellResult, standing: Standing, examples: ExampleSet, _epsilon: float | None
) -> Score | None:
    """Over clean-right examples. An attack that forfeited before it moved is a miss on each."""
    if cell.kills is None or cell.kills.distances is None:
        distances = np.where(standing.survival.clean_right, np.inf, np.nan)
    else:
        places, here = examples.places(cell.kills.examples)
        found = measured(cell.kills.distances)[here]
        distances = np.full(len(examples), np.nan)
        distances[places] = np.where(cell.kills.clean_right[here], found, np.nan)
    median = lower_median(distances)
    if median is None:
        return None
    deviations = bootstrap_medians(distances) - median if np.isfinite(median) else None
    credit = -np.nan_to_num(distances, nan=0.0, posinf=np.inf)
    return Score(median, credit, np.zeros(len(examples)), deviations)


def kills_of(cell: CellResult, epsilon: float | None) -> NDArray[np.bool_]:
    """(n,) in the order of the cell's own examples: clean right and broken."""
    kills = cell.kills
    assert kills is not None
    if epsilon is None:
        return np.asarray(kills.broken.any(axis=0) & kills.clean_right)
    return broken_within(kills, epsilon) & kills.clean_right


@dataclass(frozen=True)
class _Attacker:
    player: Player
    cells: tuple[CellResult, ...]
    scores: Mapping[str, Score]
    """By team."""


def _board(records: Records, tier: Tier, headline: Headline, scorer: Scorer) -> Board:
    field = fold_defenses(records, tier)
    targets = scored_defenses(field)
    attackers = _attackers(records, tier, field, targets, scorer)
    counts = _kill_counts(records, tier, field, targets)
    house = {team for team, s in targets.items() if s.player.house}
    contenders = [
        _contender(attacker, headline, counts.get(attacker.player.id, 0), house)
        for attacker in attackers
    ]
    cells = [cell for attacker in attackers for cell in attacker.cells]
    every = [attacker.scores for attacker in attackers]
    found = duels(every, len(field.examples), higher=headline.higher_is_better)
    return ranked_board(
        contenders,
        found.wins,
        ahead=found.ahead,
        tier=tier.id,
        side=Side.ATTACK,
        headline=headline,
        pool_version=pool_version((cell.round, cell.defense) for cell in cells),
        examples=len(field.examples),
    )


def _attackers(
    records: Records,
    tier: Tier,
    field: Field,
    targets: Mapping[str, Standing],
    scorer: Scorer,
) -> list[_Attacker]:
    cells: dict[str, list[CellResult]] = {}
    for cell in records.by_round.get(tier.id, []):
        if records.players[cell.defense].in_pool:
            cells.setdefault(cell.attack, []).append(cell)
    shown = [p for p in records.players_on(Side.ATTACK) if p.on_board and p.id in cells]
    return [
        _Attacker(
            player=player,
            cells=tuple(cells[player.id]),
            scores=_scores(records, tier, player, targets, scorer, field.examples),
        )
        for player in shown
    ]


def _scores(
    records: Records,
    tier: Tier,
    player: Player,
    targets: Mapping[str, Standing],
    scorer: Scorer,
    examples: ExampleSet,
) -> dict[str, Score]:
    scores = {}
    for team, standing in targets.items():
        cell = records.cells.get((tier.id, player.id, standing.player.id))
        if cell is None or not counts_for_attack(cell, player, standing.player):
            continue
        score = scorer(cell, standing, examples, tier.headline_epsilon)
        if score is not None:
            scores[team] = score
    return scores


def counts_for_attack(cell: CellResult, attack: Player, defense: Player) -> bool:
    """Met, not given away by the defense's forfeit, and not among friends.

    A defense that failed somewhere, and was right elsewhere all the same, gives nothing away: else
    one crash that costs it no example would take from an attack all that it broke there.
    """
    return cell.met and not _given_away(cell) and attack.may_score_on(defense)


def _given_away(cell: CellResult) -> bool:
    """The defense failed so that nothing it said counts: no example is left to break."""
    right = cell.kills is not None and bool(cell.kills.clean_right.any())
    return cell.forfeited_by_defense and not right


def _contender(
    attacker: _Attacker, headline: Headline, unique_kills: int, house: set[str]
) -> Contender:
    estimate, interval = mean_over_teams(list(attacker.scores.values()))
    if interval is not None and headline.higher_is_better:
        interval = Interval(interval.low, min(1.0, interval.high))
    on_house, _ = mean_over_teams([s for t, s in attacker.scores.items() if t in house])
    met, applicable = pool_met(attacker.cells)
    name = headline.name
    return Contender(
        player=attacker.player,
        estimate=estimate,
        interval=interval,
        clean=None,
        met=met,
        applicable=applicable,
        metrics={
            name: finite_or_none(estimate),
            f"{name}_bootstrap": as_json(interval),
            f"{name}_on_house": finite_or_none(on_house),
            "teams": len(attacker.scores),
            "unique_kills": unique_kills,
            "median_queries": _median_queries(attacker.cells),
            "pool_met": met,
            "pool_applicable": applicable,
        },
    )


def mean_over_teams(scores: Sequence[Score]) -> tuple[float | None, Interval | None]:
    """The mean, and its interval over examples against these very teams."""
    if not scores:
        return None, None
    mean = float(np.mean([score.value for score in scores]))
    if not np.isfinite(mean):
        return mean, None
    by_mean = bootstrap_means(np.mean([score.influence for score in scores], axis=0)[None, :])[0]
    by_draw = [score.deviations for score in scores if score.deviations is not None]
    spread = percentile_interval(by_mean + np.sum(by_draw, axis=0) / len(scores))
    if spread is None:
        return mean, None
    return mean, Interval(max(0.0, mean + spread.low), mean + spread.high)


@dataclass(frozen=True, eq=False)
class Duels:
    """Each attack against each, over the teams that both scored on.

    Attacks meet different teams (own team, no gradients): comparing means over different teams
    would rank by whom one was spared, and who needs gradients chooses that herself.
    ``wins`` (m, m): examples on which i does better than j; ``ahead`` (m, m): i's mean is better.
    """

    wins: NDArray[np.int64]
    ahead: NDArray[np.bool_]


def duels(rows: Sequence[Mapping[str, Score]], examples: int, *, higher: bool) -> Duels:
    """``higher``: whether a higher figure is better."""
    wins = np.zeros((len(rows), len(rows)), np.int64)
    ahead = np.zeros((len(rows), len(rows)), bool)
    groups: dict[frozenset[str], list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(frozenset(row), []).append(i)
    for teams, members in groups.items():
        for other_teams, others in groups.items():
            if shared := sorted(teams & other_teams):
                mine, theirs = ([rows[i] for i in group] for group in (members, others))
                cells = np.ix_(members, others)
                wins[cells] = count_wins(
                    _mean_credit(mine, shared, examples), _mean_credit(theirs, shared, examples)
                )
                means = _mean_value(mine, shared)[:, None], _mean_value(theirs, shared)[None, :]
                ahead[cells] = means[0] > means[1] if higher else means[0] < means[1]
    return Duels(wins, ahead)


def _mean_value(rows: Sequence[Mapping[str, Score]], teams: list[str]) -> Floats:
    return np.array([np.mean([row[team].value for team in teams]) for row in rows])


def _mean_credit(rows: Sequence[Mapping[str, Score]], teams: list[str], n: int) -> Floats:
    table = np.array([[row[team].credit for team in teams] for row in rows], np.float64)
    # A sum in a fixed order, rounded: equal credits must compare as equal.
    return np.asarray(table.reshape(len(rows), len(teams), n).mean(axis=1).round(12))


def _kill_counts(
    records: Records, tier: Tier, field: Field, targets: Mapping[str, Standing]
) -> dict[str, int]:
    attacks = [p for p in records.players_on(Side.ATTACK) if p.in_pool or p.on_board]
    tables = [
        _kill_table(records, tier, field.examples, attacks, standing.player)
        for standing in targets.values()
    ]
    return count_unique_kills(attacks, tables)


def _kill_table(
    records: Records,
    tier: Tier,
    examples: ExampleSet,
    attacks: Sequence[Player],
    defense: Player,
) -> KillTable:
    broken = np.zeros((len(attacks), len(examples)), bool)
    met = np.zeros(len(attacks), bool)
    for i, attack in enumerate(attacks):
        cell = records.cells.get((tier.id, attack.id, defense.id))
        if cell is None or cell.kills is None or not counts_for_attack(cell, attack, defense):
            continue
        places, here = examples.places(cell.kills.examples)
        broken[i, places] = kills_of(cell, tier.headline_epsilon)[here]
        met[i] = True
    return KillTable(broken, met)


def _median_queries(cells: Sequence[CellResult]) -> float | None:
    known = [cell.metrics.get(QUERIES) for cell in cells if cell.met]
    finite = [value for value in known if value is not None and np.isfinite(value)]
    return float(np.median(finite)) if finite else None
