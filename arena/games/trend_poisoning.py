"""Trend poisoning: the smallest change of y that makes the slope of a fitted line go away.

A regression task holds series: points (t, y), each series with a trend. The learner is an estimator
of trends, committed as code; the poisoner, who sees the series and what the threat model shows of
the learner, changes y (not t) of each series by at most epsilon in the round's norm (L0: so many
points), within [0, 1]. The learner is then fitted to each series as it was, and in another process
as it was changed. Its *rise* over a series is f(t_last) - f(t_first). A trend that it had right is
*removed* where the rise of the changed series is no more than :data:`LEVEL` of the old direction.
It had it right where its rise on the clean series is within half of that of least squares.

Least squares has a closed form, which is the test of the whole: y' = y - b (t - mean t), with b the
slope, is the L2-smallest change that removes it, at the distance |b| ‖t - mean t‖.

So that a learner cannot ignore what it is given, each series is turned upside down (1 - y) with
probability 1/2, by the match's secret, and its answers are turned back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena import metrics
from arena.errors import FaultCode, PlayerError, RefereeError, Side
from arena.games.admission import SLACK
from arena.games.base import GameResult, Table, fault_of
from arena.games.norms import distance
from arena.games.opening import guarded
from arena.games.over_seeds import bootstrap_mean
from arena.games.reveal import brief, revealed
from arena.metrics import Metrics
from arena.oracle import Oracle
from arena.rounds import Norm
from arena.verdict import Kills, Outcome

OUTCOME_KIND: Final = "trend_poisoning/1"
LEVEL: Final = 1e-6
"""A rise so small is none: what float32 leaves of a difference of two values in [0, 1]."""
RIGHT_WITHIN: Final = 0.5
SHOWN: Final = 6

Floats = NDArray[np.float64]


class TrendPoisoning:
    """At one epsilon or several; each is a change of its own of the same series."""

    def play(self, table: Table) -> GameResult:
        stage = _Stage(table, series_of(table))
        changed = stage.moves()
        clean = stage.rises(None, step=0)
        rises = [
            clean if values is None else stage.rises(values, step=i + 1)
            for i, values in enumerate(changed)
        ]
        return _result(stage, clean, rises, changed)


# ── the series ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Series:
    """The judged series: which, and the rows of each among the points ``x`` (n, features), ``y``.

    Rows of a series are in the order of its time, the first feature.
    """

    names: NDArray[np.int64]
    rows: tuple[NDArray[np.int64], ...]
    x: NDArray[np.float32]
    y: Floats

    def __len__(self) -> int:
        return len(self.rows)

    def times(self, i: int) -> Floats:
        return np.asarray(self.x[self.rows[i], 0], np.float64)


def series_of(table: Table) -> Series:
    """As many series of the split as the round judges, drawn by its secret."""
    x, y = table.examples.x, table.examples.y
    key = x[:, 1] if x.shape[1] > 1 else np.zeros(len(x), np.float32)
    values = np.unique(key)
    drawn = table.round_stream("series").permutation(len(values))[: table.round.examples]
    rows: list[NDArray[np.int64]] = []
    for name in np.sort(drawn):
        members = np.flatnonzero(key == values[name])
        rows.append(members[np.argsort(x[members, 0], kind="stable")])
    if any(len(members) < 3 or np.ptp(x[members, 0]) == 0 for members in rows):
        raise RefereeError("A series needs at least three points, and two different times.")
    kept = np.concatenate(rows)
    ends = np.cumsum([len(members) for members in rows])
    parts = np.split(np.arange(len(kept)), ends[:-1])
    return Series(np.sort(drawn), tuple(parts), x[kept].copy(), y[kept].astype(np.float64))


def slope(times: Floats, values: Floats) -> float:
    """Of the least-squares line."""
    centred = times - times.mean()
    return float(centred @ values / (centred @ centred))


# ── one match ──────────────────────────────────────────────────────────────────────────────


@dataclass(eq=False)
class _Stage:
    table: Table
    series: Series
    faults: list[PlayerError] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"attack": 0.0, "defense": 0.0})
    logs: dict[str, str] = field(default_factory=lambda: {"attack": "", "defense": ""})
    rejected: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.flipped = self.table.match_stream("upside down").randint(0, 2, len(self.series)) == 1

    # ── the poisoner moves ─────────────────────────────────────────────────────────────────

    def moves(self) -> list[Floats | None]:
        """(n,) the changed values at each epsilon; None where he failed, and ever after."""
        table, found = self.table, list[Floats | None]()
        opened = guarded(lambda: table.seats.open_attack(revealed(table, np.arange(0))))()
        if isinstance(opened, PlayerError):
            self.faults.append(opened)
            return [None] * len(table.round.epsilons)
        try:
            for i, epsilon in enumerate(table.round.epsilons):
                table.report(
                    "poison", i, len(table.round.epsilons), f"The poisoner moves, ε {epsilon:g}."
                )
                _, y, _ = opened.poison(self._brief(epsilon, i), self._arrays(), self._oracle())
                found.append(self._admitted(np.asarray(y, np.float64), epsilon))
        except PlayerError as error:
            self.faults.append(error)
        finally:
            self.seconds["attack"] += opened.seconds
            self.logs["attack"] += opened.close()
        return found + [None] * (len(table.round.epsilons) - len(found))

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"x": self.series.x.copy(), "y": self.series.y.copy()}

    def _brief(self, epsilon: float, level: int) -> dict[str, Any]:
        table = self.table
        seed = table.match_seed("attack", level)
        return {
            **brief(table, epsilon=epsilon, seed=seed),
            "count": len(self.series.y),
            "mode": "replace",
        }

    def _oracle(self) -> Oracle:
        """Nothing can be asked: what is shown of the learner lies in the poisoner's jail."""
        table = self.table
        return Oracle(
            None,
            threat_model=table.round.threat_model,
            shape=table.task.shape,
            classes=1,
            examples=len(self.series.y),
            seeds=lambda examples, asked: np.zeros(len(examples), np.uint64),
            seconds=0.0,
        )

    def _admitted(self, y: Floats, epsilon: float) -> Floats:
        """Series by series: one that breaks a rule is rejected, and stays as it was."""
        if y.shape != self.series.y.shape:
            raise PlayerError(
                Side.ATTACK,
                FaultCode.WRONG_SHAPE,
                f"Handed in {len(y)} values; {len(self.series.y)} were asked.",
            )
        admitted, rejected = self.series.y.copy(), 0
        for rows in self.series.rows:
            if self._is_admissible(y[rows], self.series.y[rows], epsilon):
                admitted[rows] = y[rows]
            else:
                rejected += 1
        self.rejected.append(rejected)
        return admitted

    def _is_admissible(self, y: Floats, clean: Floats, epsilon: float) -> bool:
        norm = self.table.round.norm
        if not np.isfinite(y).all() or y.min() < 0 or y.max() > 1:
            return False
        slack = 0.0 if norm is Norm.L0 else SLACK
        return float(distance((y - clean)[None], norm)[0]) <= epsilon + slack

    # ── the learner is fitted ──────────────────────────────────────────────────────────────

    def rises(self, changed: Floats | None, *, step: int) -> Floats:
        """(series,) f(t_last) - f(t_first), in one fresh process; NaN where there is no answer."""
        table, found = self.table, np.full(len(self.series), np.nan)
        seat = guarded(table.seats.open_defense)()
        if isinstance(seat, PlayerError):
            self.faults.append(seat)
            return found
        steps = 1 + len(table.round.epsilons)
        table.report("train", step, steps, f"Fitting {len(self.series)} series.")
        values = self.series.y if changed is None else changed
        try:
            for i in table.match_stream("order", step).permutation(len(self.series)):
                found[i] = self._rise(seat, int(i), values)
        except PlayerError as error:
            self.faults.append(error)
        finally:
            self.seconds["defense"] += seat.seconds
            self.logs["defense"] += seat.close()
        return found

    def _rise(self, seat: Any, i: int, values: Floats) -> float:
        rows = self.series.rows[i]
        x, y = self.series.x[rows], values[rows]
        seat.fit(x, 1.0 - y if self.flipped[i] else y, self.table.match_seed("training", i))
        told = seat.predict(x[[0, -1]], np.zeros(2, np.uint64)).astype(np.float64)[:, 0]
        return float(told[0] - told[1] if self.flipped[i] else told[1] - told[0])


# ── the result ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class _Found:
    """(series,) each: what least squares says of the clean series, and what became of it."""

    right: NDArray[np.bool_]
    removed: NDArray[np.bool_]
    left: Floats
    """Share of the clean rise that is left, cut off at 0 and 1."""
    size: Floats


def _judged(stage: _Stage, clean: Floats, rise: Floats, changed: Floats | None) -> _Found:
    """No answer on the clean series is not right; none on the changed one has lost its trend."""
    series = stage.series
    truth = np.array(
        [slope(series.times(i), series.y[rows]) * np.ptp(series.times(i))
         for i, rows in enumerate(series.rows)]
    )  # fmt: skip
    direction = np.sign(truth)
    with np.errstate(invalid="ignore", divide="ignore"):
        right = np.abs(clean - truth) <= RIGHT_WITHIN * np.abs(truth)
        left = np.clip(np.nan_to_num(rise / clean, nan=0.0, posinf=0.0, neginf=0.0), 0.0, 1.0)
    right = np.asarray(right & (np.abs(truth) > LEVEL))
    removed = right & ~(np.nan_to_num(rise * direction, nan=-1.0) > LEVEL)
    delta = np.zeros_like(series.y) if changed is None else changed - series.y
    norm = stage.table.round.norm
    size = np.array([float(distance(delta[rows][None], norm)[0]) for rows in series.rows])
    return _Found(right, removed, np.where(right, left, 0.0), size)


def _result(
    stage: _Stage, clean: Floats, rises: list[Floats], changed: list[Floats | None]
) -> GameResult:
    table = stage.table
    found = [_judged(stage, clean, rise, y) for rise, y in zip(rises, changed, strict=True)]
    rejected = stage.rejected + [0] * (len(found) - len(stage.rejected))
    curve = tuple(
        {
            "epsilon": epsilon,
            "examples": len(stage.series),
            "rejected": count,
            **figures(each, stream=table.round_stream("bootstrap")),
        }
        for epsilon, count, each in zip(table.round.epsilons, rejected, found, strict=True)
    )
    return GameResult(
        metrics=curve[-1],
        curve=curve,
        kills=Kills(
            examples=stage.series.names,
            clean_right=found[-1].right,
            broken=np.stack([each.removed for each in found]),
            epsilons=table.round.epsilons,
        ),
        outcome=_outcome(stage, clean, rises, found, changed),
        faults=tuple(fault_of(error) for error in stage.faults),
        seconds=stage.seconds,
        logs=stage.logs,
    )


def figures(found: _Found, *, stream: np.random.RandomState) -> Metrics:
    """Shares with Wilson's interval over the series; the slope left by bootstrap over them."""
    right = found.right
    low, high = bootstrap_mean(found.left[None], stream=stream)
    return {
        **metrics.clean_accuracy(right),
        **metrics.share("trend_kept", right & ~found.removed),
        **metrics.attack_success_rate(right, found.removed),
        "slope_left": float(found.left.mean()),
        "slope_left_low": low,
        "slope_left_high": high,
        "median_distance": metrics.median_distance(
            np.where(found.removed, found.size, np.inf)[right]
        ),
    }


def _outcome(
    stage: _Stage,
    clean: Floats,
    rises: list[Floats],
    found: list[_Found],
    changed: list[Floats | None],
) -> Outcome:
    """One row per epsilon and series; the first series themselves beside it."""
    table, series, n = stage.table, stage.series, len(stage.series)

    def of(pick: Callable[[_Found], NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([pick(each) for each in found])

    least = [slope(series.times(i), series.y[rows]) for i, rows in enumerate(series.rows)]
    columns = {
        "match": np.full(len(found) * n, table.match_name),
        "epsilon": np.repeat(np.array(table.round.epsilons), n),
        "example": np.tile(series.names, len(found)),
        "ols_slope": np.tile(np.array(least), len(found)),
        "rise": np.tile(clean, len(found)),
        "rise_changed": np.concatenate(rises),
        "clean_right": of(lambda each: each.right),
        "removed": of(lambda each: each.removed),
        "slope_left": of(lambda each: each.left),
        table.round.norm.value: of(lambda each: each.size),
        "attack_sha256": np.full(len(found) * n, table.attack.sha256),
        "defense_sha256": np.full(len(found) * n, table.defense.sha256),
    }
    return Outcome(OUTCOME_KIND, columns, _pictures(stage, clean, rises[-1], changed[-1]))


def _pictures(
    stage: _Stage, clean: Floats, rise: Floats, changed: Floats | None
) -> dict[str, NDArray[np.float32]]:
    """The first series of one length, (k, points): times, values before and after; and rises."""
    series, after = stage.series, stage.series.y if changed is None else changed
    points = len(series.rows[0])
    chosen = [i for i, rows in enumerate(series.rows) if len(rows) == points][:SHOWN]
    rows = np.stack([series.rows[i] for i in chosen])
    return {
        "times": series.x[rows, 0],
        "values": series.y[rows].astype(np.float32),
        "changed": after[rows].astype(np.float32),
        "rises": np.stack([clean[chosen], rise[chosen]], axis=1).astype(np.float32),
    }
