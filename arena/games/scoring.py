"""From ballots to rulings, metrics and the outcome record of rounds within a norm ball.

A *ruling* folds the k ballots of an input. Ties count against the defense: it is clean-right by
more than half, and broken by half or more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena import metrics
from arena.answers import ABSTAIN, NO_ANSWER
from arena.games.admission import Admitted
from arena.games.base import Examples, Table
from arena.games.judgement import Ballots
from arena.games.norms import MEASURED, distance
from arena.games.targets import NO_TARGET, Cases
from arena.metrics import Bits, Metrics
from arena.oracle import Record
from arena.rounds import Norm
from arena.verdict import Outcome

COLUMNS = (
    "match",
    "example",
    "epsilon",
    "y",
    "clean_prediction",
    "clean_confidence",
    "clean_right",
    "attacked_prediction",
    "attacked_confidence",
    "broken",
    "abstained",
    "target",
    "l0",
    "l1",
    "l2",
    "linf",
    "patch",
    "move",
    "queries",
    "queries_to_success",
    "iterations",
    "seconds",
    "wrong",
    "repeats",
    "certified_radius",
    "cost",
    "rejected",
    "seed",
    "attack_sha256",
    "defense_sha256",
)
"""The outcome record, one row per case and epsilon; docs/rules.md says what each column holds."""


@dataclass(frozen=True, eq=False)
class Rulings:
    """(n,) each: the prediction by majority, its confidence, and how many of k were wrong."""

    prediction: NDArray[np.int64]
    confidence: NDArray[np.float64]
    wrong: NDArray[np.int64]
    abstained: Bits
    repeats: int

    @property
    def mostly_wrong(self) -> Bits:
        """Ties are wrong."""
        return np.asarray(2 * self.wrong >= self.repeats)


def rule_clean(ballots: Ballots, y: NDArray[np.int64]) -> Rulings:
    """Clean inputs: an abstention is wrong."""
    return _ruled(ballots, ballots.labels != y[:, None])


def rule_attacked(
    ballots: Ballots,
    y: NDArray[np.int64],
    targets: NDArray[np.int64],
    clean_right: Bits,
    *,
    abstaining_allowed: bool,
) -> Rulings:
    """Attacked inputs of untargeted cases (F(x') ≠ y) and targeted ones (F(x') = t).

    An abstention is safe only where x itself was answered correctly, and where the defense keeps
    to its share of them. No answer is wrong.
    """
    abstained = ballots.labels == ABSTAIN
    safe = abstained & clean_right[:, None] if abstaining_allowed else np.zeros_like(abstained)
    untargeted = (ballots.labels != y[:, None]) & ~safe
    hit = (ballots.labels == targets[:, None]) | (ballots.labels == NO_ANSWER)
    targeted = hit | (abstained & ~safe)
    return _ruled(ballots, np.where((targets == NO_TARGET)[:, None], untargeted, targeted))


def _ruled(ballots: Ballots, wrong: Bits) -> Rulings:
    repeats = ballots.labels.shape[1]
    prediction = _majorities(ballots.labels)
    agreeing = ballots.labels == prediction[:, None]
    known = agreeing & np.isfinite(ballots.confidence)
    total = np.where(known, ballots.confidence, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        confidence = total / known.sum(axis=1)
    abstained = 2 * (ballots.labels == ABSTAIN).sum(axis=1) > repeats
    return Rulings(prediction, confidence, wrong.sum(axis=1), abstained, repeats)


def _majorities(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) the commonest label of each row of (n, k); the lowest on a tie."""
    if not labels.size:
        return np.zeros(len(labels), np.int64)
    values, places = np.unique(labels, return_inverse=True)
    cells = places.reshape(labels.shape) + len(values) * np.arange(len(labels))[:, None]
    counts = np.bincount(cells.ravel(), minlength=len(labels) * len(values))
    return np.asarray(values[counts.reshape(len(labels), -1).argmax(axis=1)])


def abstention_share(*ballots: Ballots) -> float:
    """Share of all ballots that are abstentions; 0 of none."""
    labels = [b.labels.ravel() for b in ballots]
    every = np.concatenate(labels) if labels else np.zeros(0)
    return float((every == ABSTAIN).mean()) if len(every) else 0.0


# ── one level: one epsilon, or a minimum-norm round as a whole ─────────────────────────────


@dataclass(frozen=True, eq=False)
class Level:
    """All that is known of one epsilon; arrays have one row per case."""

    epsilon: float | None
    cases: Cases
    admitted: Admitted
    record: Record
    queries: NDArray[np.int64]
    clean: Rulings
    attacked: Rulings
    seconds: float

    @property
    def clean_right(self) -> Bits:
        return ~self.clean.mostly_wrong[self.cases.example]

    @property
    def broken(self) -> Bits:
        """A kill: broken, and the clean example was answered correctly."""
        return self.clean_right & self.attacked.mostly_wrong

    @property
    def broken_ever(self) -> Bits:
        """Broken by any of the k ballots."""
        return self.clean_right & (self.attacked.wrong > 0)


def by_example(level: Level, hits: Bits, *, examples: int, every: bool) -> Bits:
    """(examples,) whether ``hits`` holds for any (or ``every``) of an example's cases."""
    hit = np.bincount(level.cases.example[hits], minlength=examples)
    asked = np.bincount(level.cases.example, minlength=examples)
    return np.asarray(hit == asked if every else hit > 0)


def mistaken(level: Level, examples: Examples) -> Bits:
    """(cases,) whether F(x') is no right answer, whatever the goal; a safe abstention is none."""
    ruling = level.attacked
    safe = ruling.abstained & ~ruling.mostly_wrong
    return np.asarray((ruling.prediction != examples.y[level.cases.example]) & ~safe)


def perturbation(level: Level, examples: Examples) -> NDArray[np.float64]:
    return level.admitted.x.astype(np.float64) - examples.x[level.cases.example]


def distances(level: Level, examples: Examples, norm: Norm) -> NDArray[np.float64]:
    """(cases,) size of a successful perturbation; infinite for a miss, 0 for a clean mistake.

    ``norm`` must be one of ``arena.games.norms.MEASURED``.
    """
    size = distance(perturbation(level, examples), norm)
    found = np.where(level.broken, size, np.inf)
    return np.where(level.clean_right, found, 0.0)


def level_metrics(level: Level, table: Table) -> Metrics:
    """The metrics of one epsilon, by the names of docs/rules.md."""
    examples, rows = table.examples, level.cases.example
    right, broken = level.clean_right, level.broken
    clean_right = ~level.clean.mostly_wrong
    wrong = mistaken(level, examples)
    cost = metrics.costs(examples.y[rows], level.attacked.prediction, wrong, table.task.cost)
    return {
        "epsilon": level.epsilon,
        "examples": len(examples),
        **level.admitted.tally,
        **metrics.clean_accuracy(clean_right),
        **metrics.attack_success_rate(right, broken),
        **metrics.robust_accuracy(right, broken),
        **metrics.share("robust_accuracy_any", right & ~level.broken_ever),
        **_confidence(level, wrong),
        **_hardness(level),
        "repeatability": metrics.repeatability(level.attacked.wrong, level.attacked.repeats),
        "clean_value_loss": metrics.mean(clean_costs(level, table)),
        "value_loss": metrics.mean(cost),
        "median_distance": _median_distance(level, table, right),
        **_over_targets(level, examples),
    }


def clean_costs(level: Level, table: Table) -> NDArray[np.float64]:
    """(examples,) C[y, F(x)]: what answers cost before anything was attacked."""
    clean = level.clean
    costs = metrics.costs(table.examples.y, clean.prediction, clean.mostly_wrong, table.task.cost)
    return np.asarray(costs, np.float64)


def _median_distance(level: Level, table: Table, right: Bits) -> float | None:
    """None where changes have no distance: turns, shifts and corruptions."""
    if table.round.norm not in MEASURED:
        return None
    return metrics.median_distance(distances(level, table.examples, table.round.norm)[right])


def _confidence(level: Level, wrong: Bits) -> Metrics:
    """Mistakes are those on attacked inputs; right answers, on clean inputs as well."""
    clean_wrong = level.clean.mostly_wrong
    told = metrics.confidence_on_mistakes(level.attacked.confidence, wrong)
    everything = np.concatenate([level.attacked.confidence, level.clean.confidence])
    mistakes = np.concatenate([wrong, clean_wrong])
    both = metrics.confidence_on_mistakes(everything, mistakes)
    return {**told, "confidence_auroc": both["confidence_auroc"]}


def _hardness(level: Level) -> Metrics:
    """Over clean-right cases; an attack that asked nothing has no hardness."""
    right, record = level.clean_right, level.record
    found = record.queries_to_success[right] > 0
    times = np.where(found, record.queries_to_success[right], level.queries[right])
    steps_found = record.iterations_to_success[right] > 0
    steps = np.where(steps_found, record.iterations_to_success[right], record.iterations[right])
    return {
        "queries": int(level.queries.sum()),
        "median_queries": metrics.kaplan_meier_median(times, found),
        "iterations": metrics.mean(record.iterations),
        "median_iterations": metrics.kaplan_meier_median(steps, steps_found),
        **_gradients(level),
    }


def _gradients(level: Level) -> Metrics:
    """What ``arena.evidence`` asks of an attack's gradients; None where it asked for none."""
    record, right = level.record, level.clean_right
    zero = record.zero_gradients / record.gradients if record.gradients else None
    by_case = len(np.unique(level.cases.example)) == len(level.cases)
    halves = metrics.second_half(record.iterations[right], record.iterations_to_success[right])
    return {"zero_gradients": zero, **(halves if by_case else dict.fromkeys(halves))}


def _over_targets(level: Level, examples: Examples) -> Metrics:
    """Target rule ``all``: best case (any target), worst case (every target); else nothing."""
    if len(np.unique(level.cases.example)) == len(level.cases):
        return {}
    right = ~level.clean.mostly_wrong
    n = len(examples)
    best = by_example(level, level.broken, examples=n, every=False)
    worst = by_example(level, level.broken, examples=n, every=True)
    return {
        **metrics.share("attack_success_rate_best", best[right]),
        **metrics.share("attack_success_rate_worst", worst[right]),
    }


# ── the outcome record ─────────────────────────────────────────────────────────────────────


def outcome(levels: Sequence[Level], table: Table) -> Outcome:
    """The columnar record of a match, with the images for gallery and replay."""
    parts = [_columns(level, table) for level in levels]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    attacked = np.stack([level.admitted.x for level in levels])
    rows = levels[0].cases.example
    images = {"clean": table.examples.x[rows], "attacked": attacked}
    return Outcome(kind=table.round.game.value, columns=columns, images=images)


def _columns(level: Level, table: Table) -> Mapping[str, NDArray[Any]]:
    examples, rows, n = table.examples, level.cases.example, len(level.cases)
    delta = perturbation(level, examples)
    y = examples.y[rows]
    return {
        "match": _same(table.match_name, n),
        "example": examples.index[rows],
        "epsilon": np.full(n, np.nan if level.epsilon is None else level.epsilon),
        "y": y,
        "clean_prediction": level.clean.prediction[rows],
        "clean_confidence": level.clean.confidence[rows],
        "clean_right": level.clean_right,
        "attacked_prediction": level.attacked.prediction,
        "attacked_confidence": level.attacked.confidence,
        "broken": level.broken,
        "abstained": level.attacked.abstained,
        "target": level.cases.target_or_none,
        **{norm.value: distance(delta, norm) for norm in MEASURED},
        "move": _same("", n) if level.admitted.moves is None else level.admitted.moves,
        "queries": level.queries,
        "queries_to_success": level.record.queries_to_success,
        "iterations": level.record.iterations,
        "seconds": np.full(n, level.seconds / max(n, 1)),
        "wrong": level.attacked.wrong,
        "repeats": np.full(n, level.attacked.repeats, np.int64),
        "certified_radius": np.full(n, np.nan),
        "cost": metrics.costs(
            y, level.attacked.prediction, mistaken(level, examples), table.task.cost
        ),
        "rejected": level.admitted.rejections.astype(object),
        "seed": np.full(n, table.seed, np.int64),
        "attack_sha256": _same(table.attack.sha256, n),
        "defense_sha256": _same(table.defense.sha256, n),
    }


def _same(text: str, rows: int) -> NDArray[np.object_]:
    return np.full(rows, text, dtype=object)
