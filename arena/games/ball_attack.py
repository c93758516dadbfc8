"""The attack's part of a round in which it perturbs examples.

Each level (an epsilon, or None for any size) is a challenge of its own, with probes of its own, in
one process and on one clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from arena.errors import FaultCode, PlayerError, Side
from arena.games.admission import Admitted, Budget, Rejection, admit
from arena.games.ball_oracle import oracle_of
from arena.games.base import Table, failed
from arena.games.blind import kept_for, play_secret
from arena.games.crafted import Crafted
from arena.games.draws import seed_of, stream_of
from arena.games.house_models import reference_scores
from arena.games.moves import admitted_as, budget_of, candidate_row, unchanged
from arena.games.opening import open_all
from arena.games.reveal import brief, revealed, training_data
from arena.games.targets import Cases, deal
from arena.games.uphill import slopes_of
from arena.oracle import Oracle, Record, Sample, Slopes
from arena.rounds import MOVES
from arena.seats import Array, AttackSeat, DefenseSeat

Seat = AttackSeat | DefenseSeat


@dataclass
class Handed:
    """What an attack handed in at one level, in the round's order of cases."""

    candidates: NDArray[np.float32]
    record: Record
    queries: NDArray[np.int64]
    seconds: float


@dataclass
class Play:
    """The attack's part of a match: one entry of ``handed`` a level, faults, clocks and logs."""

    handed: list[Handed] = field(default_factory=list)
    faults: list[PlayerError] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"attack": 0.0, "defense": 0.0})
    logs: dict[str, str] = field(default_factory=lambda: {"attack": "", "defense": ""})
    sample: Sample | None = None
    """Some of what the attack was answered."""
    slopes: Slopes | None = None
    """Some of the gradients that an attack of the house was served."""
    source: NDArray[np.int64] | None = None
    """Of a kept crafting: (levels, cases) what the first related model answers."""

    @property
    def defense_failed(self) -> bool:
        return failed(Side.DEFENSE, self.faults)


def craft(
    table: Table,
    epsilons: Sequence[float | None],
    *,
    attacked: NDArray[np.int64] | None = None,
) -> tuple[Cases, list[Admitted], Play]:
    """Let the attack play every level: the cases, what is admitted at each level, and how.

    What it was shown and handed in before, it is not asked for again (:mod:`arena.games.blind`).
    """
    cases = deal(
        table.round,
        table.examples,
        classes=len(table.task.classes),
        stream=table.round_stream("targets"),
        reference=lambda x: reference_scores(table, x),
    )
    if attacked is not None:
        cases = cases.take(np.flatnonzero(np.isin(cases.example, attacked)))
    budgets = tuple(budget_of(table, epsilon) for epsilon in epsilons)
    shape = (len(cases), *candidate_row(table))
    kept = kept_for(table, levels=len(budgets), shape=shape)
    played = _attack(table, cases, budgets) if kept is None else _as_played(kept)
    return cases, _admit_all(table, cases, budgets, played), played


def _as_played(kept: Crafted) -> Play:
    """As if it had been handed in just now."""
    n = kept.candidates.shape[1]
    return Play(
        handed=[
            Handed(candidates, Record.empty(n), np.zeros(n, np.int64), float(seconds))
            for candidates, seconds in zip(kept.candidates, kept.seconds, strict=True)
        ],
        seconds={"attack": kept.spent, "defense": 0.0},
        logs={"attack": kept.log, "defense": ""},
        source=kept.source,
    )


def _admit_all(
    table: Table, cases: Cases, budgets: Sequence[Budget], played: Play
) -> list[Admitted]:
    """Accept or reject; a level that the attack never reached stays clean."""
    while len(played.handed) < len(budgets):
        nothing = np.zeros(len(cases), np.int64)
        still = unchanged(table, cases)
        played.handed.append(Handed(still, Record.empty(len(cases)), nothing, 0.0))
    return [
        admitted_as(table, cases, budget, handed.candidates)
        for handed, budget in zip(played.handed, budgets, strict=True)
    ]


# ── level by level ─────────────────────────────────────────────────────────────────────────


def _attack(table: Table, cases: Cases, budgets: Sequence[Budget]) -> Play:
    """Open the attack, and the defense where anything may be asked of it, and play each level."""
    secret = play_secret(table)
    order = stream_of(secret, "order").permutation(len(cases))
    dealt = cases.take(order)
    model = table.round.threat_model
    openers: list[Callable[[], Seat]] = [
        lambda: table.seats.open_attack(revealed(table, dealt.example))
    ]
    if model.gives_gradients or not model.probes.none:
        openers.append(lambda: table.seats.open_defense(in_turn=True))
    table.report("load", 0, 1, "Starting the players in their jails.")
    opened = open_all(table.seats, openers)
    played = Play(
        faults=[seat for seat in opened if isinstance(seat, PlayerError)],
        sample=Sample(table.match_stream("heard")),
        slopes=slopes_of(table),
    )
    try:
        if not played.faults:
            table.report("load", 1, 1, "Both players are ready.")
            _play_levels(table, dealt, budgets, opened, played, secret=secret)
    finally:
        for seat, side in zip(opened, ("attack", "defense"), strict=False):
            if isinstance(seat, PlayerError):
                played.logs[side] += seat.log
            else:
                played.seconds[side] += seat.seconds
                played.logs[side] += seat.close()
    back = np.argsort(order)
    played.handed = [_reordered(handed, back) for handed in played.handed]
    return played


def _play_levels(
    table: Table,
    dealt: Cases,
    budgets: Sequence[Budget],
    opened: Sequence[Seat | PlayerError],
    played: Play,
    *,
    secret: bytes,
) -> None:
    attack: AttackSeat = opened[0]  # type: ignore[assignment]
    defense: DefenseSeat | None = opened[1] if len(opened) > 1 else None  # type: ignore[assignment]
    if _once_for_all(table, budgets):
        played.handed = _play_once(table, dealt, budgets, attack, defense, played, secret=secret)
        return
    for level, budget in enumerate(budgets):
        oracle = oracle_of(
            table,
            dealt,
            budget,
            defense,
            played.sample,
            level=level,
            levels=len(budgets),
            slopes=played.slopes,
        )
        seed = seed_of(secret, "attack", level)
        handed = _play_one(table, dealt, budget, attack, oracle, played, seed=seed)
        played.handed.append(handed)
        if played.faults:
            return


def _once_for_all(table: Table, budgets: Sequence[Budget]) -> bool:
    """Whether the attack looks for the smallest perturbation, from which each ε can be read."""
    nearest = table.attack.manifest.needs.nearest
    return nearest and len(budgets) > 1 and table.round.norm not in MOVES


def _play_once(
    table: Table,
    dealt: Cases,
    budgets: Sequence[Budget],
    attack: AttackSeat,
    defense: DefenseSeat | None,
    played: Play,
    *,
    secret: bytes,
) -> list[Handed]:
    """One challenge without ε; at each level a candidate that lies too far stays clean."""
    free = replace(budgets[-1], epsilon=None)
    oracle = oracle_of(
        table,
        dealt,
        free,
        defense,
        played.sample,
        level=0,
        levels=1,
        also=budgets,
        slopes=played.slopes,
    )
    seed = seed_of(secret, "attack", 0)
    handed = _play_one(table, dealt, free, attack, oracle, played, seed=seed)
    clean, found = table.examples.x[dealt.example], []
    for budget, record in zip(budgets, oracle.records, strict=True):
        far = admit(handed.candidates, clean, budget).rejections == Rejection.OVER_BUDGET.value
        candidates = handed.candidates.copy()
        candidates[far] = clean[far]
        found.append(replace(handed, candidates=candidates, record=record))
    return found


def _play_one(
    table: Table,
    dealt: Cases,
    budget: Budget,
    attack: AttackSeat,
    oracle: Oracle,
    played: Play,
    *,
    seed: int,
) -> Handed:
    before = attack.seconds
    still = unchanged(table, dealt)
    try:
        handed = attack.evade(
            brief(table, epsilon=budget.epsilon, seed=seed), _arrays(table, dealt), oracle
        )
        candidates = _shaped(handed, still.shape)
    except PlayerError as error:
        played.faults.append(error)
        candidates = still
        for case, x in oracle.record.candidates.items():
            candidates[case] = x
    return Handed(candidates, oracle.record, oracle.meter.spent, attack.seconds - before)


def _shaped(handed: Array, shape: tuple[int, ...]) -> NDArray[np.float32]:
    handed = np.asarray(handed)
    if handed.shape != shape or handed.dtype.kind != "f":
        raise PlayerError(
            Side.ATTACK,
            FaultCode.WRONG_SHAPE,
            f"attack returned {handed.dtype} of shape {handed.shape}; floating numbers of shape "
            f"{shape} were asked.",
        )
    return handed.astype(np.float32)


def _arrays(table: Table, dealt: Cases) -> dict[str, Array]:
    """Copies: nothing that a player is handed is ever the referee's own."""
    examples, rows = table.examples, dealt.example
    arrays: dict[str, Array] = {"x": examples.x[rows]}
    if table.round.threat_model.true_label:
        arrays["y"] = examples.y[rows]
    if dealt.target is not None:
        arrays["targets"] = dealt.target.copy()
    training = training_data(table)
    if training is not None:
        arrays["training_x"], arrays["training_y"] = training
    return arrays


def _reordered(handed: Handed, back: NDArray[np.int64]) -> Handed:
    record = handed.record
    return Handed(
        handed.candidates[back],
        Record(
            record.queries_to_success[back],
            record.iterations[back],
            record.iterations_to_success[back],
            gradients=record.gradients,
            zero_gradients=record.zero_gradients,
        ),
        handed.queries[back],
        handed.seconds,
    )
