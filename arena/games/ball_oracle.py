"""What an attack that perturbs examples plays against: the oracle of one level.

It knows what a success is there, whose seeds the defense answers with, and how much of the
defense's time the attack may use up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from arena.answers import ABSTAIN
from arena.games.admission import Budget, within
from arena.games.base import Table
from arena.games.draws import derive
from arena.games.moves import candidate_row, maker
from arena.games.owners import Nearest
from arena.games.reveal import judging_seeds
from arena.games.targets import Cases
from arena.oracle import Oracle, Owners, Sample, SeedSource, Slopes, Success
from arena.rounds import MOVES, Limits
from arena.seats import Array, DefenseSeat
from arena.threat_model import Randomness

DEFENSE_TIME_FOR_ATTACK = 0.8
"""Share of the defense's clock that an attack may use up by asking."""
PROGRESS_SECONDS = 0.5


def oracle_of(
    table: Table,
    dealt: Cases,
    budget: Budget,
    defense: DefenseSeat | None,
    sample: Sample | None,
    *,
    level: int,
    levels: int,
    also: Sequence[Budget] = (),
    slopes: Slopes | None = None,
) -> Oracle:
    """``level`` of ``levels``; ``also``: further budgets whose successes are noted; ``slopes``:
    keeps some of the gradients."""
    granted = _seconds_for_attack(table.round.defense_limits) * (level + 1) / levels
    spent = defense.seconds if defense is not None else 0.0
    oracle: list[Oracle] = []
    made = Oracle(
        defense,
        threat_model=table.round.threat_model,
        shape=table.task.shape,
        classes=len(table.task.classes),
        examples=len(dealt),
        seeds=_seed_source(table, dealt, level=level),
        success=_success(table, dealt, budget),
        also=[_success(table, dealt, other) for other in also],
        owners=_nearest(table, dealt),
        make=maker(table, dealt, budget),
        candidate=candidate_row(table),
        seconds=granted - spent,
        notice=_notice(table, budget, oracle, level=level, levels=levels),
        sample=sample,
        whose=dealt.example,
        slopes=slopes,
    )
    oracle.append(made)
    return made


def _seconds_for_attack(limits: Limits) -> float:
    return DEFENSE_TIME_FOR_ATTACK * min(limits.wall_seconds, limits.cpu_seconds)


def _notice(
    table: Table, budget: Budget, oracle: list[Oracle], *, level: int, levels: int
) -> Callable[[], None]:
    """Reports now and then what the attack has asked so far."""
    last = [time.monotonic()]

    def notice() -> None:
        if time.monotonic() - last[0] < PROGRESS_SECONDS:
            return
        last[0] = time.monotonic()
        spent, steps = int(oracle[0].meter.spent.sum()), oracle[0].record.iterations.sum()
        at = "" if budget.epsilon is None else f" at ε = {budget.epsilon:g}"
        table.report(
            "attack", level, levels, f"{spent:,} probes and {steps:,.0f} gradients asked{at}."
        )

    return notice


def _success(table: Table, dealt: Cases, budget: Budget) -> Success:
    """A row answered as the attack wishes, by an input within the budget of its example.

    What a move makes is within it: whether the move is, is known where the move is.
    """
    clean, y = table.examples.x[dealt.example], table.examples.y[dealt.example]
    targets = dealt.target_or_none

    def success(x: Array, cases: Array, labels: Array) -> NDArray[np.bool_]:
        if dealt.target is not None:
            wished = labels == targets[cases]
        else:
            wished = (labels != y[cases]) & (labels != ABSTAIN)
        if budget.norm in MOVES or not wished.any():
            return np.asarray(wished)
        rows = np.flatnonzero(wished)
        wished[rows] = within(x[rows], clean[cases[rows]], budget)
        return np.asarray(wished)

    return success


def _nearest(table: Table, dealt: Cases) -> Owners | None:
    """The case whose clean example lies nearest; None where several cases share one."""
    if len(dealt) > len(table.examples):
        return None
    return Nearest(table.examples.x[dealt.example])


def _seed_source(table: Table, dealt: Cases, *, level: int) -> SeedSource:
    """Fresh seeds for each row; under S8 = seed the judging seeds, pass after pass."""
    if not table.defense.manifest.stochastic:
        return lambda examples, asked: np.zeros(len(examples), np.uint64)
    if table.round.threat_model.randomness is Randomness.SEED:
        known = judging_seeds(table, dealt.example)
        return lambda examples, asked: known[(asked // max(len(dealt), 1)) % len(known), examples]
    key = int.from_bytes(derive(table.match_secret, "probes", level)[:16], "big")
    philox = np.random.Philox(key=key)
    return lambda examples, asked: philox.random_raw(len(examples)).astype(np.uint64)
