"""Availability poisoning: the learner is committed as code, the attacker moves after.

The poisoner receives the training set S (|S| = m) and what the threat model shows of the learner,
never a held-out point, and returns at most floor(share * m) points, added to S or replacing points
of his choice. The referee trains the learner on clean and on poisoned data with the same seeds,
and judges on held-out examples. Headline of the poisoner: err(S u S_B) - err(S); of the learner:
its poisoned error.

Two things are kept from a learner. It cannot ignore S, because class names are permuted per match
and undone on its predictions; and it cannot remember clean S, because every training set is met in
a fresh process, which sees nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena import metrics
from arena.answers import ABSTAIN, NO_ANSWER, Answers, read_scores
from arena.errors import FaultCode, PlayerError, Side
from arena.games.base import GameResult, Table, fault_of
from arena.games.draws import derive, row_seeds
from arena.games.opening import guarded
from arena.games.reveal import brief, revealed
from arena.oracle import Oracle
from arena.players import Images, Labels
from arena.rounds import PoisonMode
from arena.seats import Array, DefenseSeat
from arena.verdict import Kills, Outcome

OUTCOME_KIND: Final = "poisoning/1"
RESAMPLES: Final = 1000
ROWS_ASKED_ALONE: Final = 8
ROW_TOLERANCE: Final = 1e-4


class Poisoning:
    """Add or replace, at one share or several, over paired seeds."""

    def play(self, table: Table) -> GameResult:
        stage = _Stage(table)
        poisons = stage.poisoner_moves()
        clean = stage.train_and_judge(None, step=0)
        judged = [
            stage.train_and_judge(poison, step=i + 1) if poison is not None else clean
            for i, poison in enumerate(poisons)
        ]
        return stage.result(clean, judged, poisons)


@dataclass(frozen=True, eq=False)
class _Points:
    """Admitted poison: ``x`` (k, *shape), ``y`` (k,), ``replaces`` (k,) or None."""

    x: Images
    y: Labels
    replaces: NDArray[np.int64] | None

    def applied(self, x: Images, y: Labels) -> tuple[Images, Labels]:
        """S with the poison in it; nothing else of S changes."""
        if self.replaces is None:
            return np.concatenate([x, self.x]), np.concatenate([y, self.y])
        x, y = x.copy(), y.copy()
        x[self.replaces], y[self.replaces] = self.x, self.y
        return x, y


@dataclass(frozen=True, eq=False)
class _Judged:
    """(seeds, n) labels and confidences of the models trained on one training set."""

    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]

    def wrong(self, y: Labels) -> NDArray[np.bool_]:
        """(seeds, n); an abstention or a missing answer is wrong."""
        return np.asarray(self.labels != y[None, :])


@dataclass(eq=False)
class _Stage:
    """One match, as it goes."""

    table: Table
    faults: list[PlayerError] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"attack": 0.0, "defense": 0.0})
    logs: dict[str, str] = field(default_factory=lambda: {"attack": "", "defense": ""})
    queries: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        classes = len(self.table.task.classes)
        self.permutation = self.table.match_stream("class names").permutation(classes)
        """Class c is called permutation[c] in the learner's jail."""
        self.seeds = [self.table.match_seed("training", j) for j in range(self.table.round.seeds)]

    # ── Bob moves ──────────────────────────────────────────────────────────────────────────

    def poisoner_moves(self) -> list[_Points | None]:
        """His points for each share; None where he failed, and for every share after."""
        model, shares = self.table.round.threat_model, self.table.round.shares
        probed: DefenseSeat | None = None
        try:
            if model.gives_gradients or not model.probes.none:
                probed = self._probed_model()
            return self._poisons(probed)
        except PlayerError as error:
            self.faults.append(error)
            return [None] * len(shares)
        finally:
            if probed is not None:
                self._close(probed, "defense")

    def _probed_model(self) -> DefenseSeat:
        """The learner trained on clean S, which the poisoner may probe; gone before judgement."""
        seat = _Renamed(self.table.seats.open_defense(), self.permutation)
        try:
            seat.fit(*self._training_set(None), self.table.match_seed("probed"))
        except PlayerError:
            self._close(seat, "defense")
            raise
        return seat

    def _poisons(self, probed: DefenseSeat | None) -> list[_Points | None]:
        shares = self.table.round.shares
        found: list[_Points | None] = []
        seat = self.table.seats.open_attack(revealed(self.table, np.arange(0)))
        try:
            for i, share in enumerate(shares):
                self.table.report("poison", i, len(shares), f"The poisoner moves, share {share:g}.")
                oracle = self._oracle(probed)
                handed = seat.poison(self._brief(share, i), self._arrays(), oracle)
                self.queries.append(int(oracle.meter.spent.sum()))
                found.append(self._admitted(*handed, count=self._count(share)))
        except PlayerError as error:
            self.faults.append(error)
        finally:
            self.seconds["attack"] += seat.seconds
            self.logs["attack"] += seat.close()
        return found + [None] * (len(shares) - len(found))

    def _count(self, share: float) -> int:
        return int(np.floor(share * len(self.table.task.train) + 1e-9))

    def _brief(self, share: float, level: int) -> Mapping[str, Any]:
        return {
            **brief(self.table, epsilon=None, seed=self.table.match_seed("attack", level)),
            "count": self._count(share),
            "mode": self.table.round.poison_mode.value,
        }

    def _arrays(self) -> dict[str, Array]:
        return {"x": self.table.task.train.x, "y": self.table.task.train.y}

    def _oracle(self, probed: DefenseSeat | None) -> Oracle:
        table = self.table

        def seeds(examples: Array, asked: int) -> NDArray[np.uint64]:
            rows = range(asked, asked + len(examples))
            return row_seeds(table.match_secret, "probe", rows, 0)

        return Oracle(
            probed,
            threat_model=table.round.threat_model,
            shape=table.task.shape,
            classes=len(table.task.classes),
            examples=len(table.task.train),
            seeds=seeds,
            seconds=table.round.defense_limits.wall_seconds,
        )

    def _admitted(self, x: Array, y: Array, replaces: Array | None, *, count: int) -> _Points:
        """The referee's checks of the points; the attack's fault where one fails."""
        if len(x) != len(y) or len(x) > count:
            raise _fault(FaultCode.POISON_BUDGET, f"Handed in {len(x)} points; at most {count}.")
        if not np.isfinite(x).all():
            raise _fault(FaultCode.NOT_FINITE, "Poisoned points are NaN or infinite.")
        if x.size and (x.min() < 0 or x.max() > 1):
            raise _fault(FaultCode.OUT_OF_RANGE, "Poisoned points lie outside [0, 1].")
        if y.size and not (y.min() >= 0 and y.max() < len(self.table.task.classes)):
            raise _fault(FaultCode.OUT_OF_RANGE, "Poisoned labels are no classes of the task.")
        grid = self.table.task.grid
        if grid is not None:
            x = np.round(x * (grid - 1)) / (grid - 1)
        rows = self._replaced(replaces, points=len(x))
        return _Points(np.asarray(x, np.float32), y.astype(np.int64), rows)

    def _replaced(self, replaces: Array | None, *, points: int) -> NDArray[np.int64] | None:
        if self.table.round.poison_mode is PoisonMode.ADD:
            if replaces is not None:
                raise _fault(FaultCode.POISON_BUDGET, "This round adds points; replace none.")
            return None
        rows = np.zeros(0, np.int64) if replaces is None else np.asarray(replaces, np.int64)
        if len(rows) != points or len(np.unique(rows)) != points:
            raise _fault(
                FaultCode.POISON_BUDGET, f"Name {points} different points of S to be replaced."
            )
        if points and not (rows.min() >= 0 and rows.max() < len(self.table.task.train)):
            raise _fault(FaultCode.OUT_OF_RANGE, "A replaced point is not one of S.")
        return rows

    # ── Alice is trained, and judged ───────────────────────────────────────────────────────

    def _training_set(self, poison: _Points | None) -> tuple[Images, Labels]:
        train = self.table.task.train
        if poison is None:
            return train.x, train.y
        return poison.applied(train.x, train.y)

    def train_and_judge(self, poison: _Points | None, *, step: int) -> _Judged:
        """Train with every seed in one fresh process that meets this training set alone."""
        table, n = self.table, len(self.table.examples)
        labels = np.full((len(self.seeds), n), NO_ANSWER, np.int64)
        confidence = np.full((len(self.seeds), n), np.nan)
        opened = guarded(table.seats.open_defense)()
        if isinstance(opened, PlayerError):
            self.faults.append(opened)
            return _Judged(labels, confidence)
        seat = _Renamed(opened, self.permutation)
        x, y = self._shuffled(*self._training_set(poison))
        total = len(self.seeds) * (1 + len(table.round.shares))
        try:
            for j, seed in enumerate(self.seeds):
                done = step * len(self.seeds) + j
                table.report("train", done, total, f"Training {done + 1} of {total}.")
                seat.fit(x, y, seed)
                answers = self._predicted(seat, j)
                labels[j], confidence[j] = answers.labels, answers.confidence
        except PlayerError as error:
            self.faults.append(error)
        finally:
            self._close(seat, "defense")
        return _Judged(labels, confidence)

    def _shuffled(self, x: Images, y: Labels) -> tuple[Images, Labels]:
        """In an order that does not tell which points came last."""
        order = self.table.match_stream("order", len(x)).permutation(len(x))
        return x[order], y[order]

    def _predicted(self, seat: DefenseSeat, j: int) -> Answers:
        """Answers on the held-out examples, in random order, some of them asked again alone."""
        examples, manifest = self.table.examples, self.table.defense.manifest
        order = self.table.match_stream("judging", j).permutation(len(examples))
        seeds = row_seeds(self.table.secret, self.table.defense.sha256, examples.index[order], j)
        x = examples.x[order]
        scores = seat.predict(x, seeds)
        for row in range(min(ROWS_ASKED_ALONE, len(x))):
            again = seat.predict(x[row : row + 1], seeds[row : row + 1])
            if np.abs(again - scores[row]).max() > ROW_TOLERANCE * max(1, np.abs(again).max()):
                raise PlayerError(
                    Side.DEFENSE,
                    FaultCode.ROWS_DEPEND,
                    "Predictions of the trained model depend on the other rows of a request.",
                )
        back = np.argsort(order)
        return read_scores(
            scores[back],
            rows=len(examples),
            classes=len(self.table.task.classes),
            abstains=manifest.abstains,
            output=manifest.output,
        )

    def _close(self, seat: DefenseSeat, side: str) -> None:
        self.seconds[side] += seat.seconds
        self.logs[side] += seat.close()

    # ── the result ─────────────────────────────────────────────────────────────────────────

    def result(
        self, clean: _Judged, judged: Sequence[_Judged], poisons: Sequence[_Points | None]
    ) -> GameResult:
        table, y = self.table, self.table.examples.y
        wrong = [each.wrong(y) for each in judged]
        clean_wrong = clean.wrong(y)
        curve = tuple(
            {"share": share, **figures(clean_wrong, w, stream=table.round_stream("bootstrap"))}
            for share, w in zip(table.round.shares, wrong, strict=True)
        )
        right = _mostly(~clean_wrong)
        headline = {key: value for key, value in curve[-1].items() if key != "share"}
        headline |= metrics.clean_accuracy(right)
        headline["clean_accuracy"] = 1.0 - float(clean_wrong.mean())
        return GameResult(
            metrics=headline,
            curve=curve,
            kills=Kills(
                examples=table.examples.index,
                clean_right=right,
                broken=np.stack([right & ~_mostly(~w) for w in wrong]),
                epsilons=table.round.shares,
            ),
            outcome=self._outcome(clean, judged, poisons),
            faults=tuple(fault_of(error) for error in self.faults),
            seconds=self.seconds,
            logs=self.logs,
            details={
                "training_seeds": self.seeds,
                "poison": [None if p is None else _fingerprint(p) for p in poisons],
                "poison_points": [0 if p is None else len(p.x) for p in poisons],
                "queries": self.queries,
            },
        )

    def _outcome(
        self, clean: _Judged, judged: Sequence[_Judged], poisons: Sequence[_Points | None]
    ) -> Outcome:
        """One row per share, seed and held-out example."""
        table, n = self.table, len(self.table.examples)
        levels, seeds = len(judged), len(self.seeds)
        rows = levels * seeds

        def tiled(values: NDArray[Any]) -> NDArray[Any]:
            return np.tile(values, rows)

        points = [0 if poison is None else len(poison.x) for poison in poisons]
        columns = {
            "match": np.full(rows * n, table.match_name),
            "share": np.repeat(np.array(table.round.shares), seeds * n),
            "points": np.repeat(np.array(points, np.int64), seeds * n),
            "seed": np.tile(np.repeat(np.array(self.seeds, np.int64), n), levels),
            "example": tiled(table.examples.index),
            "y": tiled(table.examples.y),
            "clean_prediction": np.tile(clean.labels.ravel(), levels),
            "clean_confidence": np.tile(clean.confidence.ravel(), levels),
            "poisoned_prediction": np.concatenate([j.labels.ravel() for j in judged]),
            "poisoned_confidence": np.concatenate([j.confidence.ravel() for j in judged]),
        }
        columns["abstained"] = columns["poisoned_prediction"] == ABSTAIN
        columns["attack_sha256"] = np.full(rows * n, table.attack.sha256)
        columns["defense_sha256"] = np.full(rows * n, table.defense.sha256)
        return Outcome(OUTCOME_KIND, columns, self._images(poisons))

    def _images(self, poisons: Sequence[_Points | None]) -> dict[str, NDArray[np.float32]]:
        """The first poisoned points of the largest share, for the gallery."""
        last = next((p for p in reversed(poisons) if p is not None), None)
        if last is None:
            return {}
        return {"poison": last.x[:24], "poison_y": last.y[:24].astype(np.float32)}


class _Renamed:
    """A learner whose class names are permuted on the way in, and undone on the way out."""

    def __init__(self, seat: DefenseSeat, permutation: NDArray[np.int64]) -> None:
        self.seat = seat
        self.manifest = seat.manifest
        self.permutation = permutation

    @property
    def seconds(self) -> float:
        return self.seat.seconds

    def fit(self, x: Array, y: Array, seed: int) -> None:
        self.seat.fit(x, self.permutation[y], seed)

    def predict(self, x: Array, seeds: Array) -> Array:
        return self._undone(self.seat.predict(x, seeds))

    def logits(self, x: Array, seeds: Array) -> Array:
        return self._undone(self.seat.logits(x, seeds))

    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        """The gradient of the renamed learner; weights are renamed alike."""
        if weights.ndim == 1:
            renamed = self.permutation[weights]
        else:
            renamed = weights.copy()
            renamed[:, self.permutation] = weights[:, : len(self.permutation)]
        logits, slope = self.seat.gradient(x, renamed, seeds)
        return self._undone(logits), slope

    def certify(self, x: Array, seeds: Array, *, norm: str, effort: int) -> tuple[Array, Array]:
        labels, radii = self.seat.certify(x, seeds, norm=norm, effort=effort)
        names = np.argsort(self.permutation)
        return np.where(labels < 0, labels, names[labels]), radii

    def _undone(self, scores: Array) -> Array:
        """Column c becomes that of permutation[c]; an abstention stays last."""
        classes = len(self.permutation)
        return np.concatenate([scores[:, self.permutation], scores[:, classes:]], axis=1)

    def close(self) -> str:
        return self.seat.close()

    def __enter__(self) -> DefenseSeat:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def figures(
    clean_wrong: NDArray[np.bool_],
    poisoned_wrong: NDArray[np.bool_],
    *,
    stream: np.random.RandomState,
) -> dict[str, float | None]:
    """Errors from (seeds, n) mistakes on clean and on poisoned training sets, seeds paired.

    The interval of delta_error is a paired bootstrap over examples and seeds together (B = 1,000,
    percentiles 2.5 and 97.5). ``success`` is the share of seeds whose error grew.
    """
    difference = poisoned_wrong.astype(np.float64) - clean_wrong
    seeds, n = difference.shape
    draws = np.empty(RESAMPLES)
    for b in range(RESAMPLES):
        picked = difference[stream.randint(0, seeds, seeds)]
        draws[b] = picked.mean(axis=0)[stream.randint(0, n, n)].mean()
    low, high = np.percentile(draws, [2.5, 97.5])
    return {
        "clean_error": float(clean_wrong.mean()),
        "poisoned_error": float(poisoned_wrong.mean()),
        "poisoned_error_worst_seed": float(poisoned_wrong.mean(axis=1).max()),
        "delta_error": float(difference.mean()),
        "delta_error_low": float(low),
        "delta_error_high": float(high),
        "success": float((difference.mean(axis=1) > 0).mean()),
    }


def _mostly(right: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) right under more than half of the seeds; ties are wrong."""
    return np.asarray(right.sum(axis=0) * 2 > len(right))


def _fingerprint(poison: _Points) -> str:
    rows = b"" if poison.replaces is None else poison.replaces.tobytes()
    return derive(poison.x.tobytes(), poison.y.tobytes(), rows).hex()[:16]


def _fault(code: FaultCode, message: str) -> PlayerError:
    return PlayerError(Side.ATTACK, code, message)
