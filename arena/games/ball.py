"""Playing and judging a round in which an attack perturbs examples: what three games share.

:func:`play` lets the attack play each level (an epsilon, or None for any size), then judges. Each
level is a challenge of its own, with probes of its own, in one process and on one clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from arena import metrics
from arena.answers import ABSTAIN
from arena.errors import FaultCode, PlayerError, Side
from arena.games.admission import Admitted, Budget, Rejection, admit, within
from arena.games.base import GameResult, Table, failed, fault_of
from arena.games.battery import Battery, judge_battery
from arena.games.blind import kept_for, play_secret
from arena.games.control import asks_noise, judge_noise
from arena.games.crafted import Crafted
from arena.games.draws import derive, seed_of, stream_of
from arena.games.heard import asked_again
from arena.games.house_models import reference_scores
from arena.games.judgement import AT_A_TIME, CHANGED_OUTPUT, Ballots, Judgement, judge
from arena.games.moves import admitted_as, budget_of, candidate_row, maker, unchanged
from arena.games.norms import rows_of
from arena.games.opening import close_all, open_all
from arena.games.reveal import brief, judging_seeds, revealed, training_data
from arena.games.scoring import (
    Level,
    abstention_share,
    by_example,
    outcome,
    rule_attacked,
    rule_clean,
)
from arena.games.targets import Cases, deal
from arena.metrics import Bits, Metrics
from arena.oracle import Oracle, Owners, Record, Sample, SeedSource, Success
from arena.rounds import MOVES, Limits, Norm
from arena.seats import Array, AttackSeat, DefenseSeat
from arena.threat_model import Randomness
from arena.verdict import Kills

DEFENSE_TIME_FOR_ATTACK = 0.8
"""Share of the defense's clock that an attack may use up by asking."""
PROGRESS_SECONDS = 0.5

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
    source: NDArray[np.int64] | None = None
    """Of a kept crafting: (levels, cases) what the first related model answers."""

    @property
    def defense_failed(self) -> bool:
        return failed(Side.DEFENSE, self.faults)


@dataclass(frozen=True, eq=False)
class Scored:
    """A judged match before its game makes metrics of it."""

    levels: tuple[Level, ...]
    play: Play
    judged: Judgement
    flags: tuple[str, ...]
    noise: tuple[Ballots, ...]
    abstention: dict[str, float | None]
    battery: Battery | None = None
    """Corruption rounds: what the defense answers under every kind."""

    def complete(self, found: GameResult) -> GameResult:
        """``found`` with everything that the games do not decide themselves."""
        faults = [*self.play.faults, *self.judged.faults]
        flags = [*self.flags, *self.judged.flags, *_second_side(faults)]
        return replace(
            found,
            metrics={**found.metrics, **self.abstention},
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


def _close_judges(judges: Future[list[DefenseSeat | PlayerError]]) -> None:
    """Whatever happened, no jail outlives the match."""
    if judges.exception() is None:
        close_all(judges.result())


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


# ── the attack plays ───────────────────────────────────────────────────────────────────────


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
        oracle = _oracle(
            table, dealt, budget, defense, played.sample, level=level, levels=len(budgets)
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
    oracle = _oracle(table, dealt, free, defense, played.sample, level=0, levels=1, also=budgets)
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


# ── what it plays against ──────────────────────────────────────────────────────────────────


def _oracle(
    table: Table,
    dealt: Cases,
    budget: Budget,
    defense: DefenseSeat | None,
    sample: Sample | None,
    *,
    level: int,
    levels: int,
    also: Sequence[Budget] = (),
) -> Oracle:
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
    clean = rows_of(table.examples.x[dealt.example])
    squares = (clean**2).sum(axis=1)

    def nearest(x: Array) -> Array:
        return np.asarray((squares - 2 * rows_of(x) @ clean.T).argmin(axis=1))

    return nearest


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


# ── judging ────────────────────────────────────────────────────────────────────────────────


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


def _held_to_what_it_said(
    table: Table, widest: Budget, played: Play, judged: Judgement
) -> Judgement:
    """The judgement with its flags; a defense that misled the attack has failed while attacked."""
    doubt = asked_again(table, played.sample.heard() if played.sample else (), widest)
    if doubt.distrusted is not None:
        played.faults.append(doubt.distrusted)
    flags = (*judged.flags, CHANGED_OUTPUT) if doubt.differing else judged.flags
    return replace(judged, faults=(*judged.faults, *doubt.faults), flags=flags)


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
    return Scored(levels, played, judged, flags, noise, shares, battery)


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
