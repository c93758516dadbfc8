"""Boards of games in which a match costs the defense one figure: poisoning, extraction, ...

A defense's figure is that of the worst attack on it, its own round's and those of rounds with
less knowledge; an attack's is the mean over teams, each of which stands with its best defense
above the clean floor. What a game means by cost, clean accuracy and gain is a :class:`Contest`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.errors import Side
from arena.ranking.attacks import Score, counts_for_attack, duels
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
from arena.rounds import RoundSpec

Figure = Callable[[CellResult], float | None]


def _nothing_gained(cell: CellResult, _tier: Tier) -> NDArray[np.bool_] | None:
    """(n,) right, and the attack got nothing there at the last level."""
    kills = cell.kills
    if kills is None:
        return None
    last = kills.broken[-1] if len(kills.broken) else np.zeros(len(kills.examples), bool)
    return np.asarray(kills.clean_right & ~last)


def _any(_weaker: RoundSpec, _stronger: RoundSpec) -> bool:
    return True


@dataclass(frozen=True)
class Contest:
    """How a game is told on its boards. A figure is None where a match does not tell it.

    ``defense``, ``attack``: what each side ranks by. ``figure``: of the defense in one match;
    ``clean``: its clean accuracy there; ``gain``: the attack's, and ``interval`` its interval.
    ``axis``, ``point``: names in the verdicts' curve. ``counts``: whether matches of a nested
    round count on this one, beside what nesting says of the threat models. ``held``: the examples
    on which the defense has what it ranks by, in the order of the cell's kills.
    """

    defense: Headline
    attack: Headline
    figure: Figure
    clean: Figure
    gain: Callable[[CellResult], float]
    interval: Callable[[CellResult], tuple[float, float] | None]
    axis: str
    point: str
    counts: Callable[[RoundSpec, RoundSpec], bool] = field(default=_any)
    held: Callable[[CellResult, Tier], NDArray[np.bool_] | None] = field(default=_nothing_gained)

    def cost(self, cell: CellResult) -> float | None:
        """The figure turned so that more is worse for the defense."""
        figure = self.figure(cell)
        if figure is None or not self.defense.higher_is_better:
            return figure
        return -figure


@dataclass(frozen=True)
class _Defense:
    player: Player
    cells: tuple[CellResult, ...]
    worst: CellResult | None
    figure: float | None
    clean: float | None


@dataclass(frozen=True)
class _Attack:
    player: Player
    cells: tuple[CellResult, ...]
    scored: Mapping[str, CellResult]
    """By team."""


def defenses_board(records: Records, tier: Tier, contest: Contest) -> Board:
    """By the worst match, above the clean floor."""
    defenses = [x for x in _defenses(records, tier, contest) if x.player.on_board]
    examples = records.examples_of(tier.id, fallback=nested_in(tier, records.tiers.values()))
    table = np.array([_held(x, examples, tier, contest) for x in defenses], np.float64)
    cells = [cell for defense in defenses for cell in defense.cells]
    return ranked_board(
        [_defense_row(defense, tier, contest) for defense in defenses],
        count_wins(table.reshape(len(defenses), len(examples))),
        tier=tier.id,
        side=Side.DEFENSE,
        headline=contest.defense,
        pool_version=pool_version((cell.round, cell.attack) for cell in cells),
        examples=len(examples),
    )


def attacks_board(records: Records, tier: Tier, contest: Contest) -> Board:
    """Mean over teams of what was gained on each team's best defense."""
    targets = _scored_defenses(records, tier, contest)
    examples = records.examples_of(tier.id)
    attacks = [
        _Attack(player, tuple(cells), _scored_cells(records, tier, player, targets))
        for player in records.players_on(Side.ATTACK)
        if player.on_board and (cells := _cells_of_attack(records, tier, player))
    ]
    scores = [{t: _score(c, examples, contest) for t, c in a.scored.items()} for a in attacks]
    met = [(cell.round, cell.defense) for attack in attacks for cell in attack.cells]
    found = duels(scores, len(examples), higher=contest.attack.higher_is_better)
    return ranked_board(
        [_attack_row(attack, targets, contest) for attack in attacks],
        found.wins,
        ahead=found.ahead,
        tier=tier.id,
        side=Side.ATTACK,
        headline=contest.attack,
        pool_version=pool_version(met),
        examples=len(examples),
    )


# ── defenses ───────────────────────────────────────────────────────────────────────────────


def _defenses(records: Records, tier: Tier, contest: Contest) -> list[_Defense]:
    found: dict[str, list[CellResult]] = {}
    for round_ in (tier.id, *nested_in(tier, records.tiers.values())):
        if contest.counts(records.tiers[round_].spec, tier.spec):
            for cell in records.cells_of(round_):
                found.setdefault(cell.defense, []).append(cell)
    players = [p for p in records.players_on(Side.DEFENSE) if p.id in found]
    return [_defense(p, tuple(found[p.id]), contest) for p in players]


def _defense(player: Player, cells: tuple[CellResult, ...], contest: Contest) -> _Defense:
    worst = _worst(cells, contest)
    known = [contest.clean(cell) for cell in cells if cell.met]
    clean = [accuracy for accuracy in known if accuracy is not None]
    return _Defense(
        player,
        cells,
        worst,
        None if worst is None else contest.figure(worst),
        float(np.mean(clean)) if clean else None,
    )


def _worst(cells: Sequence[CellResult], contest: Contest) -> CellResult | None:
    costs = [(contest.cost(cell), cell) for cell in cells if cell.met]
    known = [(cost, cell) for cost, cell in costs if cost is not None]
    return max(known, key=lambda pair: (pair[0], pair[1].key), default=(0.0, None))[1]


def _held(
    defense: _Defense, examples: ExampleSet, tier: Tier, contest: Contest
) -> NDArray[np.float64]:
    """(n,) 1 where it held in its worst match, NaN where it is not known."""
    held = np.full(len(examples), np.nan)
    bits = None if defense.worst is None else contest.held(defense.worst, tier)
    if bits is not None and defense.worst is not None and defense.worst.kills is not None:
        places, here = examples.places(defense.worst.kills.examples)
        held[places] = bits[here]
    return held


def _defense_row(defense: _Defense, tier: Tier, contest: Contest) -> Contender:
    met, applicable = pool_met(defense.cells)
    interval = None
    if defense.worst is not None and defense.worst.kills is not None and defense.figure is not None:
        examples = len(defense.worst.kills.examples)
        interval = wilson(defense.figure * examples, examples)
    return Contender(
        player=defense.player,
        estimate=defense.figure,
        interval=interval,
        clean=defense.clean,
        met=met,
        applicable=applicable,
        lacking=points_lacking(defense.clean, tier.floor),
        metrics=_defense_metrics(defense, interval, contest, met, applicable),
    )


def _defense_metrics(
    defense: _Defense, interval: Interval | None, contest: Contest, met: int, applicable: int
) -> dict[str, Any]:
    known = [contest.figure(cell) for cell in defense.cells if cell.met]
    figures = [figure for figure in known if figure is not None]
    name = contest.defense.name
    return {
        "clean": defense.clean,
        name: defense.figure,
        f"{name}_wilson": as_json(interval),
        f"{name}_mean": float(np.mean(figures)) if figures else None,
        "strongest_attack": defense.worst.attack if defense.worst else None,
        "curve": _curve(defense.cells, contest),
        "pool_met": met,
        "pool_applicable": applicable,
    }


def _curve(cells: Sequence[CellResult], contest: Contest) -> list[dict[str, float]]:
    """Level -> the worst figure over attacks."""
    worst: dict[float, float] = {}
    pick = min if contest.defense.higher_is_better else max
    for point in (point for cell in cells if cell.met for point in cell.curve):
        level = finite_or_none(point.get(contest.axis))
        figure = finite_or_none(point.get(contest.point))
        if level is not None and figure is not None:
            worst[level] = pick(figure, worst.get(level, figure))
    return [{contest.axis: level, contest.point: worst[level]} for level in sorted(worst)]


# ── attacks ────────────────────────────────────────────────────────────────────────────────


def _scored_defenses(records: Records, tier: Tier, contest: Contest) -> dict[str, Player]:
    """Team -> its best defense above the floor; tested ones before provisional ones."""
    best: dict[str, tuple[tuple[Any, ...], Player]] = {}
    for defense in _defenses(records, tier, contest):
        clean, player = defense.clean, defense.player
        cost = None if defense.worst is None else contest.cost(defense.worst)
        if clean is None or cost is None or clean < tier.floor or not player.in_pool:
            continue
        met, applicable = pool_met(defense.cells)
        strength = (met >= POOL_SHARE * applicable, -cost, -player.uploaded, player.id)
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
        if cell is None or cell.forfeited_by_defense:
            continue  # whoever fails in a match of these games has lost all of it
        if counts_for_attack(cell, player, target):
            scored[team] = cell
    return scored


def _score(cell: CellResult, examples: ExampleSet, contest: Contest) -> Score:
    """Per example: what the attack got at the last level of what the defense had right."""
    credit = np.zeros(len(examples))
    if cell.kills is not None and len(cell.kills.broken):
        places, here = examples.places(cell.kills.examples)
        credit[places] = (cell.kills.clean_right & cell.kills.broken[-1])[here]
    return Score(contest.gain(cell), credit, np.zeros(len(examples)))


def _attack_row(attack: _Attack, targets: Mapping[str, Player], contest: Contest) -> Contender:
    gains = {team: contest.gain(cell) for team, cell in attack.scored.items()}
    house = [gain for team, gain in gains.items() if targets[team].house]
    met, applicable = pool_met(attack.cells)
    estimate = float(np.mean(list(gains.values()))) if gains else None
    interval = _mean_interval(list(attack.scored.values()), contest)
    name = contest.attack.name
    return Contender(
        player=attack.player,
        estimate=estimate,
        interval=interval,
        clean=None,
        met=met,
        applicable=applicable,
        metrics={
            name: estimate,
            f"{name}_bootstrap": as_json(interval),
            f"{name}_on_house": float(np.mean(house)) if house else None,
            "teams": len(gains),
            "pool_met": met,
            "pool_applicable": applicable,
        },
    )


def _mean_interval(cells: Sequence[CellResult], contest: Contest) -> Interval | None:
    """The mean of the matches' own intervals: they share examples, so it is on the safe side."""
    ends = [contest.interval(cell) for cell in cells]
    known = [end for end in ends if end is not None]
    if not known or len(known) < len(cells):
        return None
    low, high = np.mean(known, axis=0)
    return Interval(float(low), float(high))


# ── reading a match ────────────────────────────────────────────────────────────────────────


def metric(cell: CellResult, name: str) -> float | None:
    """A figure of the verdict, where it is a number."""
    return finite_or_none(cell.metrics.get(name))


def interval_of(cell: CellResult, name: str) -> tuple[float, float] | None:
    """``name_low`` and ``name_high`` of the verdict, where both are there."""
    low, high = metric(cell, f"{name}_low"), metric(cell, f"{name}_high")
    return None if low is None or high is None else (low, high)


def lost_share(cell: CellResult, name: str) -> float | None:
    """A share ``name`` that the attack got: all of it where the defense forfeits, else as told.

    An attack that forfeits before there is a figure got nothing.
    """
    if cell.forfeited_by_defense:
        return 1.0
    share = metric(cell, name)
    return 0.0 if share is None and cell.met else share


def no_larger(weaker: RoundSpec, stronger: RoundSpec) -> bool:
    """Whether the budget of the one is within that of the other: :attr:`Contest.counts`."""
    return max(weaker.epsilons) <= max(stronger.epsilons) + 1e-9
