"""Playing and judging a round in which an attack perturbs examples: what three games share.

:func:`play` lets the attack play each level (an epsilon, or None for any size: see
:mod:`arena.games.ball_attack`), then judges all that it handed in at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from arena import metrics
from arena.errors import PlayerError
from arena.games.admission import Admitted, Budget
from arena.games.ball_attack import Play, craft
from arena.games.base import GameResult, Table, fault_of
from arena.games.battery import Battery, judge_battery
from arena.games.control import asks_noise, judge_noise
from arena.games.heard import asked_again
from arena.games.judgement import AT_A_TIME, CHANGED_OUTPUT, Ballots, Judgement, judge
from arena.games.moves import budget_of
from arena.games.opening import close_all, open_all
from arena.games.scoring import (
    Level,
    abstention_share,
    by_example,
    outcome,
    rule_attacked,
    rule_clean,
)
from arena.games.targets import Cases
from arena.games.uphill import uphill
from arena.metrics import Bits, Metrics
from arena.rounds import Norm
from arena.seats import DefenseSeat
from arena.verdict import Kills


@dataclass(frozen=True, eq=False)
class Scored:
    """A judged match before its game makes metrics of it."""

    levels: tuple[Level, ...]
    play: Play
    judged: Judgement
    flags: tuple[str, ...]
    noise: tuple[Ballots, ...]
    beside: Metrics
    """What is told of the whole match: abstentions, and whether gradients led uphill."""
    battery: Battery | None = None
    """Corruption rounds: what the defense answers under every kind."""

    def complete(self, found: GameResult) -> GameResult:
        """``found`` with everything that the games do not decide themselves."""
        faults = [*self.play.faults, *self.judged.faults]
        flags = [*self.flags, *self.judged.flags, *_second_side(faults)]
        return replace(
            found,
            metrics={**found.metrics, **self.beside},
            flags=tuple(dict.fromkeys(flags)),
            faults=tuple(fault_of(fault) for fault in faults),
            seconds=_sums(self.play.seconds, {"defense": self.judged.seconds}),
            logs={**self.play.logs, "defense": self.play.logs["defense"] + self.judged.log},
        )


def _second_side(faults: Sequence[PlayerError]) -> list[str]:
    """A verdict names one fault; where the other side failed as well, a flag says so."""
    sides = {fault.side for fault in faults}
    others = [fault for fault in faults if fault.side is not faults[0].side]
    return [f"also_{others[0].side.value}_{others[0].code.value}"] if len(sides) > 1 else []


def _sums(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {key: one.get(key, 0.0) + other.get(key, 0.0) for key in one | other}


def play(
    table: Table,
    epsilons: Sequence[float | None],
    *,
    attacked: NDArray[np.int64] | None = None,
) -> Scored:
    """Let the attack play every level, then judge all candidates at once.

    ``attacked``: positions of the examples that the attack gets; None: all. The others are judged
    as they are.
    """
    with ThreadPoolExecutor(1) as pool, ExitStack() as jails:
        # Fresh judges start while the attack plays, so that nobody waits for their imports.
        judges = pool.submit(open_all, table.seats, [table.seats.open_defense] * AT_A_TIME)
        jails.callback(_close_judges, judges)
        cases, admitted, played = craft(table, epsilons, attacked=attacked)
        judged = judge(table, [a.x for a in admitted], cases.example, judges.result())
    if not played.defense_failed:
        judged = _held_to_what_it_said(table, budget_of(table, epsilons[-1]), played, judged)
    if played.defense_failed:
        judged = _unanswered(judged)
    return _score(table, cases, epsilons, admitted, played, judged)


def _close_judges(judges: Future[list[DefenseSeat | PlayerError]]) -> None:
    """Whatever happened, no jail outlives the match."""
    if judges.exception() is None:
        close_all(judges.result())


# ── judging ────────────────────────────────────────────────────────────────────────────────


def _held_to_what_it_said(
    table: Table, widest: Budget, played: Play, judged: Judgement
) -> Judgement:
    """The judgement with its flags; a defense that misled the attack has failed while attacked."""
    doubts = asked_again(table, played.sample.heard() if played.sample else (), widest)
    misled = [fault for doubt in doubts if (fault := doubt.distrusted) is not None]
    played.faults.extend(misled[:1])
    changed = any(doubt.differing for doubt in doubts)
    return replace(
        judged,
        faults=(*judged.faults, *(fault for doubt in doubts for fault in doubt.faults)),
        flags=(*judged.flags, CHANGED_OUTPUT) if changed else judged.flags,
    )


def _unanswered(judged: Judgement) -> Judgement:
    """A defense that failed while it was attacked has answered nothing in this match."""

    def blank(ballots: Ballots) -> Ballots:
        return Ballots.empty(*ballots.labels.shape)

    return replace(
        judged, clean=blank(judged.clean), attacked=tuple(blank(b) for b in judged.attacked)
    )


def _score(
    table: Table,
    cases: Cases,
    epsilons: Sequence[float | None],
    admitted: Sequence[Admitted],
    played: Play,
    judged: Judgement,
) -> Scored:
    noise: tuple[Ballots, ...] = ()
    if asks_noise(table.round, table.defense.manifest) and not played.defense_failed:
        noise, faults = judge_noise(table, epsilons)
        played.faults.extend(faults)
    battery = None
    if table.round.norm is Norm.CORRUPTION and not played.defense_failed:
        table.report("judge", 1, 1, "Asking about every common corruption.")
        battery = judge_battery(table, tuple(budget_of(table, e) for e in epsilons))
        played.faults.extend(battery.faults)
    shares, allowed = _abstentions(table, judged, noise)
    y, targets = table.examples.y[cases.example], cases.target_or_none
    clean = rule_clean(judged.clean, table.examples.y)
    right = ~clean.mostly_wrong[cases.example]
    levels = tuple(
        Level(
            epsilon=epsilon,
            cases=cases,
            admitted=admitted[i],
            record=played.handed[i].record,
            queries=played.handed[i].queries,
            clean=clean,
            attacked=rule_attacked(
                judged.attacked[i], y, targets, right, abstaining_allowed=allowed
            ),
            seconds=played.handed[i].seconds,
        )
        for i, epsilon in enumerate(epsilons)
    )
    flags = () if allowed else ("abstains_too_often",)
    beside = {**shares, **({} if played.defense_failed else uphill(table, played.slopes))}
    return Scored(levels, played, judged, flags, noise, beside, battery)


def _abstentions(
    table: Table, judged: Judgement, noise: Sequence[Ballots]
) -> tuple[dict[str, float | None], bool]:
    """The shares on clean and on noisy inputs, and whether both keep to the task's."""
    if not table.defense.manifest.abstains:
        return {}, True
    clean, noisy = abstention_share(judged.clean), abstention_share(*noise)
    allowed = max(clean, noisy) <= table.task.abstention_share
    return {"abstention_clean": clean, "abstention_noise": noisy}, allowed


def noise_wrong(table: Table, scored: Scored, number: int) -> Bits:
    """(cases,) whether noise of the size of that level breaks the example."""
    level = scored.levels[number]
    if not scored.noise:
        return np.zeros(len(level.cases), bool)
    rows = level.cases.example
    ruling = rule_attacked(
        scored.noise[number].take(rows),
        table.examples.y[rows],
        level.cases.target_or_none,
        level.clean_right,
        abstaining_allowed="abstains_too_often" not in scored.flags,
    )
    return ruling.mostly_wrong


# ── the result ─────────────────────────────────────────────────────────────────────────────


def kills(table: Table, scored: Scored, *, sizes: NDArray[np.float64] | None = None) -> Kills:
    """Bits per example: an example with several targets is broken where any of them is."""
    n = len(table.examples)
    broken = [by_example(level, level.broken, examples=n, every=False) for level in scored.levels]
    return Kills(
        examples=table.examples.index,
        clean_right=~scored.levels[0].clean.mostly_wrong,
        broken=np.stack(broken),
        epsilons=tuple(level.epsilon for level in scored.levels if level.epsilon is not None),
        distances=None if sizes is None else sizes.astype(np.float32),
    )


def ball_result(table: Table, scored: Scored, curve: Sequence[Metrics]) -> GameResult:
    """The result of a round over epsilons; the largest one gives the headline."""
    battery = scored.battery
    if battery is not None:
        curve = [point | told for point, told in zip(curve, battery.levels, strict=True)]
    headline = dict(curve[-1])
    if battery is not None:
        headline = {k: v for k, v in headline.items() if not k.startswith("corruption_accuracy")}
        headline |= battery.headline
    robust = [headline["clean_accuracy"], *(point["robust_accuracy"] for point in curve)]
    headline["curve_area"] = metrics.curve_area([0.0, *table.round.epsilons], robust)
    found = GameResult(
        metrics=headline,
        curve=tuple(curve),
        kills=kills(table, scored),
        outcome=outcome(scored.levels, table),
        details={} if battery is None else {"corruptions": battery.kinds},
    )
    return scored.complete(found)
