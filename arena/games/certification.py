"""Certification: the defense claims a radius for each input, and the attack looks for a lie.

The attack plays as in evasion, at each epsilon of the round. Then, in a process of its own that
met no attack, the defense claims for each judged example a label and a radius R(x): every input
within R(x) is answered so. Certified accuracy at r is the mean of [right and R(x) >= r].

A claim is *refuted* by an x' with F(x') unlike the claimed label and μ(x' - x) <= R(x) - 1e-4; x
itself is such an x'. Where a defense draws at random and its claims hold but for a chance α, x' is
looked at again before a claim counts as refuted: with ten times the samples and, since that tells
what is at stake, in a fresh process that cannot know it. One refuted claim breaks a certificate
that leaves nothing to chance, and its certified accuracy is 0; a probabilistic one breaks where
more claims are refuted than the 99.9 % quantile of the binomial at α, and below that scores 0 on
those inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from arena import metrics
from arena.answers import NO_ANSWER
from arena.errors import FaultCode, PlayerError, Side
from arena.games.ball import Scored, ball_result, play
from arena.games.base import GameResult, Table, fault_of
from arena.games.draws import row_seeds
from arena.games.judgement import Inputs, Judge
from arena.games.norms import distance
from arena.games.scoring import Level, level_metrics, perturbation
from arena.metrics import Bits, Metrics
from arena.seats import DefenseSeat
from arena.verdict import Outcome

MARGIN: Final = 1e-4
"""A counterexample lies so much inside the radius that no rounding put it there."""
EFFORT: Final = 10
QUANTILE: Final = 0.999
ANSWERS: Final = 10
"""Answers of a fresh process, at least, before a claim counts as refuted: what holds in half of all
cases is never seen in ten with chance .001."""
ASKED_ALONE: Final = 4
CLAIMS: Final = 1 << 20
"""The repetition whose seeds claims are drawn from: beyond those of any judgement."""
AGAIN: Final = 1 << 22
"""The same of answers that are looked at again."""
SHOWN: Final = 20
BROKEN: Final = "certificate_broken"
REFUTED: Final = "claims_refuted"


class Certification:
    """An attack of any kind against a defense that certifies the round's norm."""

    def play(self, table: Table) -> GameResult:
        scored = play(table, table.round.epsilons)
        claims = _Claims.empty(len(table.examples))
        faults: list[PlayerError] = []
        if not scored.play.defense_failed:
            faults = _certify(table, scored, claims)
        return _result(table, scored, claims, faults)


@dataclass(eq=False)
class _Claims:
    """(n,) labels (-1: none) and radii as claimed, and which of them were refuted, how near."""

    labels: NDArray[np.int64]
    radii: NDArray[np.float64]
    refuted: Bits
    nearest: NDArray[np.float64]
    seconds: float = 0.0
    log: str = ""
    looked_again: int = 0
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def empty(cls, n: int) -> _Claims:
        return cls(np.full(n, -1), np.zeros(n), np.zeros(n, bool), np.full(n, np.inf))

    @property
    def made(self) -> Bits:
        return np.asarray((self.labels >= 0) & (self.radii > 0))


# ── asking ─────────────────────────────────────────────────────────────────────────────────


def _certify(table: Table, scored: Scored, claims: _Claims) -> list[PlayerError]:
    """Fill in the claims and hold them against every candidate; the defense's faults."""
    seat: DefenseSeat | None = None
    try:
        table.report("certify", 0, 2, "The defense claims its radii.")
        seat = table.seats.open_defense()
        _ask_claims(table, seat, claims)
        table.report("certify", 1, 2, "Every candidate is held against the claims.")
        for level in scored.levels:
            _hold_against(table, seat, level, claims)
    except PlayerError as error:
        claims.labels[:], claims.radii[:] = -1, 0
        claims.refuted[:] = False
        return [error]
    finally:
        if seat is not None:
            claims.seconds += seat.seconds
            claims.log += seat.close()
    return []


def _ask_claims(table: Table, seat: DefenseSeat, claims: _Claims) -> None:
    """In random order; some are asked again alone, since rows must not depend on one another."""
    examples, norm = table.examples, table.round.norm.value
    order = table.match_stream("claims").permutation(len(examples))
    seeds = row_seeds(table.secret, table.defense.sha256, examples.index[order], CLAIMS)
    x = examples.x[order]
    labels, radii = seat.certify(x, seeds, norm=norm, effort=1)
    for row in range(min(ASKED_ALONE, len(x))):
        alone = slice(row, row + 1)
        label, radius = seat.certify(x[alone], seeds[alone], norm=norm, effort=1)
        if label[0] != labels[row] or abs(float(radius[0]) - float(radii[row])) > MARGIN:
            raise PlayerError(
                Side.DEFENSE,
                FaultCode.ROWS_DEPEND,
                "A claim depends on the other rows of a request.",
            )
    claims.labels[order], claims.radii[order] = labels, radii.astype(np.float64)


def _hold_against(table: Table, seat: DefenseSeat, level: Level, claims: _Claims) -> None:
    """Both the candidates of a level and the clean examples themselves."""
    rows = level.cases.example
    size = distance(perturbation(level, table.examples), table.round.norm)
    _refute(table, seat, claims, rows, level.admitted.x, size, level.attacked.prediction)
    every = np.arange(len(table.examples))
    clean = level.clean.prediction
    _refute(table, seat, claims, every, table.examples.x, np.zeros(len(every)), clean)


def _refute(
    table: Table,
    seat: DefenseSeat,
    claims: _Claims,
    rows: NDArray[np.int64],
    x: NDArray[np.float32],
    size: NDArray[np.float64],
    predicted: NDArray[np.int64],
) -> None:
    """Mark the claims on ``rows`` that an answer to ``x`` refutes. No answer refutes nothing."""
    inside = claims.made[rows] & (size <= claims.radii[rows] - MARGIN)
    other = (predicted != claims.labels[rows]) & (predicted != NO_ANSWER)
    found = np.flatnonzero(inside & other)
    if table.defense.manifest.alpha > 0 and len(found):
        found = found[_confirmed(table, seat, claims, rows[found], x[found])]
    claims.refuted[rows[found]] = True
    np.minimum.at(claims.nearest, rows[found], size[found])


def _confirmed(
    table: Table,
    seat: DefenseSeat,
    claims: _Claims,
    rows: NDArray[np.int64],
    x: NDArray[np.float32],
) -> Bits:
    """Whether x' gets another label than was claimed when it is looked at again; claims already
    refuted do. What a defense that draws nothing at random answers, it answers every time."""
    if not table.defense.manifest.stochastic:
        return np.ones(len(rows), bool)
    confirmed = claims.refuted[rows].copy()
    for look in (partial(_taken_back, table, seat), partial(_answered_otherwise, table)):
        open_ = np.flatnonzero(~confirmed)
        if len(open_):
            confirmed[open_] = look(claims, rows[open_], x[open_])
    return confirmed


def _taken_back(
    table: Table,
    seat: DefenseSeat,
    claims: _Claims,
    rows: NDArray[np.int64],
    x: NDArray[np.float32],
) -> Bits:
    """Whether ten times the samples give x' another label."""
    seeds = row_seeds(table.match_secret, "again", rows, claims.looked_again)
    claims.looked_again += 1
    labels, _ = seat.certify(x, seeds, norm=table.round.norm.value, effort=EFFORT)
    return np.asarray((labels >= 0) & (labels != claims.labels[rows]))


def _answered_otherwise(
    table: Table, claims: _Claims, rows: NDArray[np.int64], x: NDArray[np.float32]
) -> Bits:
    """Whether a fresh process gives x' the claimed label in significantly less than half of its
    answers, where the claim says that it does in most: it does not know that it is looked at."""
    others = np.setdiff1d(np.arange(len(table.examples)), rows)
    inputs = Inputs(np.concatenate([x, table.examples.x[others]]), np.concatenate([rows, others]))
    repeats = max(ANSWERS, table.round.repeats)
    judge = Judge(
        table,
        purpose=f"claims {claims.looked_again}",
        open_defense=table.seats.open_defense,
        repeats=repeats,
        first=AGAIN + repeats * claims.looked_again,
    )
    session = judge.ask(inputs)
    claims.seconds += session.seconds
    claims.log += session.log
    if blamed := session.blamed:
        raise blamed[0]
    answers = session.ballots.labels[: len(rows)]
    answered = (answers >= 0).sum(axis=1)
    kept = (answers == claims.labels[rows, None]).sum(axis=1)
    return np.asarray((answered > 0) & (bdtr(kept, answered, 0.5) <= 1 - QUANTILE))


# ── the result ─────────────────────────────────────────────────────────────────────────────


def _result(table: Table, scored: Scored, claims: _Claims, faults: list[PlayerError]) -> GameResult:
    right = ~scored.levels[0].clean.mostly_wrong & (claims.labels == table.examples.y)
    broken = is_broken(int(claims.refuted.sum()), int(claims.made.sum()), _alpha(table))
    standing = np.where(right & ~claims.refuted & (not broken), claims.radii, 0.0)
    curve = [_point(level, table, standing) for level in scored.levels]
    found = ball_result(table, scored, curve)
    assert found.kills is not None
    assert found.outcome is not None
    areas = [found.metrics["clean_accuracy"], *(p["certified_accuracy"] for p in curve)]
    flags = [BROKEN] if broken else [REFUTED] if claims.refuted.any() else []
    return replace(
        found,
        metrics={
            **found.metrics,
            "claims": int(claims.made.sum()),
            "claims_refuted": int(claims.refuted.sum()),
            "claim_alpha": _alpha(table),
            "certificate_broken": float(broken),
            "median_radius": float(np.median(standing)) if len(standing) else None,
            "certified_area": metrics.curve_area([0.0, *table.round.epsilons], areas),
        },
        kills=replace(found.kills, radii=standing.astype(np.float32)),
        outcome=_with_radii(found.outcome, scored, claims),
        flags=(*found.flags, *flags),
        faults=(*found.faults, *(fault_of(error) for error in faults)),
        seconds={**found.seconds, "defense": found.seconds["defense"] + claims.seconds},
        logs={**found.logs, "defense": found.logs["defense"] + claims.log},
        details={**found.details, "refuted": _shown(table, claims)},
    )


def is_broken(refuted: int, claims: int, alpha: float) -> bool:
    """Whether so many refuted claims are more than chance explains."""
    return refuted > metrics.binomial_quantile(claims, alpha, QUANTILE)


def _alpha(table: Table) -> float:
    return table.defense.manifest.alpha


def _point(level: Level, table: Table, standing: NDArray[np.float64]) -> Metrics:
    assert level.epsilon is not None
    found = level_metrics(level, table)
    certified = metrics.share("certified_accuracy", metrics.certified_at(standing, level.epsilon))
    robust, proved = found["robust_accuracy"], certified["certified_accuracy"]
    gap = None if robust is None or proved is None else robust - proved
    return {**found, **certified, "certified_gap": gap}


def _with_radii(outcome: Outcome, scored: Scored, claims: _Claims) -> Outcome:
    """The radius as it was claimed, on every row; NaN where nothing was."""
    claimed = np.where(claims.made, claims.radii, np.nan)
    rows = np.concatenate([claimed[level.cases.example] for level in scored.levels])
    return replace(outcome, columns={**outcome.columns, "certified_radius": rows})


def _shown(table: Table, claims: _Claims) -> list[dict[str, Any]]:
    """The first counterexamples: which example, how far, and what was claimed of it."""
    return [
        {
            "example": int(table.examples.index[i]),
            "distance": round(float(claims.nearest[i]), 6),
            "radius": round(float(claims.radii[i]), 6),
            "label": int(claims.labels[i]),
        }
        for i in np.flatnonzero(claims.refuted)[:SHOWN]
    ]
