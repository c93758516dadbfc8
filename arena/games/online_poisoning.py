"""Online poisoning: the training set comes in batches, and a share of each is the attacker's.

S is put into a random order and cut into batches. Before the learner meets a batch, the poisoner
sees its clean points and returns his own for it; he keeps what he saw of earlier batches, but not
the order of later ones. He may own floor(share * seen) points of all that has come so far. Where
the round grants probes or gradients, they are answered by a learner that has met this very stream.
Wang & Chaudhuri 2018 (arXiv:1808.08994); Zhang, Zhu & Lessard 2020 (arXiv:1903.01666).

There is a stream a seed, each with another order and with fresh processes of both players. When a
stream is complete it is played again to a fresh learner that nobody probed, and its clean twin to
another: both are asked for the held-out examples after every batch. The headline is the mean error
over time, beside it the error at the end. What keeps a learner honest is in
:mod:`arena.games.training`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.answers import TOLERANCE, Answer
from arena.errors import PlayerError
from arena.games.base import GameResult, Table, fault_of
from arena.games.heard import MOST, stand_ins
from arena.games.over_seeds import mostly, told
from arena.games.points import Judged, Points
from arena.games.reveal import brief, training_data
from arena.games.trained_alike import MODEL_TOLERANCE, ROWS_ALONE, Differing, Said, SaidAlone
from arena.games.training import TrainingStage
from arena.metrics import Metrics
from arena.oracle import Heard, Sample
from arena.seats import Array, AttackSeat, DefenseSeat
from arena.verdict import Kills, Outcome

OUTCOME_KIND: Final = "online_poisoning/1"

ANSWERING: Final = 0.5
"""The share of its clock that a probed learner may spend on answers in a stream: the rest is for
learning, so that a poisoner cannot run it out."""

Rows = NDArray[np.int64]
Stream = Sequence[Points | None]
"""The poison of each batch; None where there is none."""


class OnlinePoisoning:
    """One poisoned share, over paired streams."""

    def play(self, table: Table) -> GameResult:
        stage = _Stage(table)
        streams = [stage.poisoned(j) for j in range(len(stage.seeds))]
        none: Stream = [None] * table.round.batches
        clean = [stage.judged(j, none, step=2 * j) for j in range(len(stage.seeds))]
        poisoned = [stage.judged_poisoned(j, s, clean[j]) for j, s in enumerate(streams)]
        stage.hold_one_stream_together(streams, poisoned)
        if stage.distrusted:
            poisoned = [stage.no_answers] * len(streams)
        before, after = (np.stack([said.labels for said in some]) for some in (clean, poisoned))
        return _result(stage, before, after, streams)


class _Stage(TrainingStage):
    """One match, as it goes."""

    _answering = 0.0
    """Seconds that the probed learner of this stream may still spend on answers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.watched = int(self.table.match_stream("watched").randint(len(self.seeds)))
        """The stream whose learner is asked again what it told the poisoner."""

    def batches(self, j: int) -> list[Rows]:
        """Rows of S, batch by batch, in the order of stream ``j``."""
        order = self.table.match_stream("stream", j).permutation(len(self.table.task.train))
        return np.array_split(order, self.table.round.batches)

    # ── Bob moves ──────────────────────────────────────────────────────────────────────────

    def poisoned(self, j: int) -> Stream:
        """His poison for each batch of a stream; None from where on somebody failed."""
        batches, found = self.batches(j), list[Points | None]()
        heard = list[list[Heard]]()
        if self.faults:
            return [None] * len(batches)
        asked = 0
        self._answering = ANSWERING * self.table.round.defense_limits.wall_seconds
        try:
            with self._probed() as probed, self._poisoner() as seat:
                for number, rows in enumerate(batches):
                    self._report_poison(j, number)
                    self.sample = Sample(self.table.match_stream("heard", number))
                    points, spent = self._move(seat, probed, j, number, batches)
                    asked += spent
                    found.append(points)
                    heard.append(self.sample.heard())
                    if probed is not None:
                        self._update(probed, rows, points, j, number, self._probed_seed_of(j))
        except PlayerError as error:
            self.faults.append(error)
        self.queries.append(asked)
        if j == self.watched:
            self._hold_stream(j, found, heard)
        return found + [None] * (len(batches) - len(found))

    def _probed(self) -> AbstractContextManager[DefenseSeat | None]:
        """The learner of this stream that he may ask; None where he may not."""
        return self._opened(in_turn=True) if self.probes else nullcontext()

    def _probed_seed_of(self, j: int) -> int:
        return self.table.match_seed("probed", j)

    def _hold_stream(self, j: int, stream: Stream, heard: Sequence[list[Heard]]) -> None:
        """Ask again of a learner that meets the same stream: after each batch, as in the judgement,
        some of what the poisoner was told before he poisoned the next."""
        table = self.table
        most = max(1, MOST // table.round.batches)
        sheets = [stand_ins(table, each, most=most) for each in heard[1:]]
        rows = [number * len(table.examples) + there for number, (there, _) in enumerate(sheets)]

        def ask() -> list[Answer]:
            said: list[Answer] = []
            with self._opened() as seat:
                met = self._met(seat, j, stream, self._probed_seed_of(j))
                for _, (there, sampled) in zip(met, sheets, strict=False):
                    said += self._with_stand_ins(seat, there, sampled)
            return said

        sampled = [each for _, some in sheets for each in some]
        self._ask_again(sampled, np.concatenate([np.zeros(0, np.int64), *rows]), ask)

    def _report_poison(self, j: int, number: int) -> None:
        total = self.table.round.batches * len(self.seeds)
        done = self.table.round.batches * j + number
        self.table.report("poison", done, total, f"The poisoner sees batch {done + 1} of {total}.")

    def _move(
        self,
        seat: AttackSeat,
        probed: DefenseSeat | None,
        j: int,
        number: int,
        batches: Sequence[Rows],
    ) -> tuple[Points, int]:
        """His points for a batch, and the probes that he asked for it."""
        rows, train = batches[number], self.table.task.train
        before = sum(map(len, batches[:number]))
        count = self._count_of(before + len(rows)) - self._count_of(before)
        told_ = {
            **brief(self.table, epsilon=None, seed=self.table.match_seed("attack", j, number)),
            "count": count,
            "mode": self.table.round.poison_mode.value,
            "batch": number,
            "batches": len(batches),
        }
        spent = 0.0 if probed is None else probed.seconds
        oracle = self._oracle(
            probed if number else None, examples=len(rows), seconds=max(0.0, self._answering)
        )
        arrays: dict[str, Array] = {"x": train.x[rows], "y": train.y[rows], **self._given()}
        x, y, replaces = seat.poison(told_, arrays, oracle)
        self._answering -= 0.0 if probed is None else probed.seconds - spent
        points = self.admitted(x, y, replaces, count=count, among=len(rows))
        return points, int(oracle.meter.spent.sum()) if number else 0

    def _count_of(self, seen: int) -> int:
        return int(np.floor(self.table.round.shares[-1] * seen + 1e-9))

    def _given(self) -> Mapping[str, Array]:
        given = training_data(self.table)
        return {} if given is None else {"training_x": given[0], "training_y": given[1]}

    # ── Alice is trained, and judged ───────────────────────────────────────────────────────

    def _update(
        self, seat: DefenseSeat, rows: Rows, points: Points | None, j: int, number: int, seed: int
    ) -> None:
        """One batch with the poison in it, in an order that does not tell which points are his."""
        train = self.table.task.train
        x, y = train.x[rows], train.y[rows]
        if points is not None:
            x, y = points.applied(x, y)
        order = self.table.match_stream("batch", j, number, len(x)).permutation(len(x))
        seat.fit(x[order], y[order], seed, told={"batch": number})

    def _met(self, seat: DefenseSeat, j: int, stream: Stream, seed: int) -> Iterator[int]:
        """Have it meet the stream; the number of each batch, when it has learned from it."""
        for number, (rows, points) in enumerate(zip(self.batches(j), stream, strict=False)):
            self._update(seat, rows, points, j, number, seed)
            yield number

    @property
    def no_answers(self) -> Judged:
        """(batches, n)"""
        return Judged.nothing(self.table.round.batches, len(self.table.examples))

    def judged(self, j: int, stream: Stream, *, step: int) -> Judged:
        """(batches, n) on the held-out examples after each batch, by a fresh learner."""
        judged, total = self.no_answers, 2 * len(self.seeds)
        self.table.report("train", step, total, f"The learner meets stream {step + 1} of {total}.")
        try:
            self._play(j, stream, judged)
        except PlayerError as error:
            self.faults.append(error)
        return judged

    def _play(self, j: int, stream: Stream, judged: Judged) -> None:
        with self._opened() as seat:
            for number in self._met(seat, j, stream, self.seeds[j]):
                said = self._predicted(seat, self.table.examples.x, j)
                judged.labels[number], judged.confidence[number] = said.labels, said.confidence

    def judged_poisoned(self, j: int, stream: Stream, clean: Judged) -> Judged:
        """The same of a stream with poison in it; ``clean``, where there is none."""
        poisoned = any(stream) and not self.distrusted
        return self.judged(j, stream, step=2 * j + 1) if poisoned else clean

    def hold_one_stream_together(self, streams: Sequence[Stream], judged: Sequence[Judged]) -> None:
        """Ask a few rows alone of one more learner that meets one of the poisoned streams: each
        after a batch that is drawn for it. They must get what counted."""
        draw = self.table.match_stream("alone")
        poisoned = [j for j, stream in enumerate(streams) if any(stream)]
        if not poisoned or self._learner_failed:
            return
        j = poisoned[draw.randint(len(poisoned))]
        rows = draw.permutation(len(self.table.examples))[:ROWS_ALONE]
        after = np.sort(draw.randint(self.table.round.batches, size=len(rows)))

        def again() -> Differing:
            played = self.no_answers
            self._play(j, streams[j], played)
            return played.flat().differing(judged[j].flat(), tolerance=TOLERANCE)

        try:
            alone, counted = [], []
            with self._opened() as seat:
                for number in self._met(seat, j, streams[j], self.seeds[j]):
                    some = rows[after == number]
                    if len(some):
                        x = self.table.examples.x[some]
                        alone.append(self.said_alone(seat, x, self._row_seeds(j)[some]))
                        counted.append(judged[j].said(number, some))
            said = SaidAlone.one_by_one(alone)
            doubt = said.differing(Said.joined(counted), tolerance=MODEL_TOLERANCE)
            self.settle(doubt, again)
        except PlayerError as error:
            self.faults.append(error)


# ── the result ─────────────────────────────────────────────────────────────────────────────


def _result(stage: _Stage, clean: Rows, poisoned: Rows, streams: Sequence[Stream]) -> GameResult:
    """``clean`` and ``poisoned`` (seeds, batches, n)."""
    table, y = stage.table, stage.table.examples.y
    before, after = clean != y, poisoned != y
    seen = np.cumsum([len(rows) for rows in stage.batches(0)])
    curve = tuple(
        {
            "seen": float(seen[number]),
            "clean_error": float(before[:, number].mean()),
            **_told(stage, "poisoned_error", after[:, number]),
            **_told(stage, "delta_error", after[:, number].astype(float) - before[:, number]),
        }
        for number in range(len(seen))
    )
    right = mostly(~_flat(before))
    return GameResult(
        metrics=_figures(stage, before, after),
        curve=curve,
        kills=Kills(
            examples=table.examples.index,
            clean_right=right,
            broken=(right & ~mostly(~_flat(after)))[None],
            epsilons=table.round.shares,
        ),
        outcome=_outcome(stage, clean, poisoned, streams),
        faults=tuple(fault_of(error) for error in stage.faults),
        flags=tuple(dict.fromkeys(stage.flags)),
        seconds=stage.seconds,
        logs=stage.logs,
        details={
            "training_seeds": stage.seeds,
            "poison_points": [sum(_counts(stream)) for stream in streams],
            "queries": stage.queries,
        },
    )


def _flat(wrong: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(seeds * batches, n)."""
    return wrong.reshape(-1, wrong.shape[-1])


def _told(stage: _Stage, name: str, values: NDArray[Any]) -> Metrics:
    """Mean and interval of (seeds, n) values."""
    return told(name, values, stream=stage.table.round_stream("bootstrap", name))


def _figures(stage: _Stage, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Metrics:
    """At the end of the stream, and the mean over time; seeds paired."""
    ends = before[:, -1].astype(np.float64), after[:, -1].astype(np.float64)
    means = before.mean(axis=1), after.mean(axis=1)
    return {
        "clean_accuracy": 1.0 - float(ends[0].mean()),
        "clean_error": float(ends[0].mean()),
        "poisoned_error": float(ends[1].mean()),
        **_told(stage, "delta_error", ends[1] - ends[0]),
        "clean_error_over_time": float(means[0].mean()),
        "poisoned_error_over_time": float(means[1].mean()),
        **_told(stage, "delta_error_over_time", means[1] - means[0]),
        "poisoned_error_worst_seed": float(means[1].mean(axis=1).max()),
    }


def _counts(stream: Stream) -> list[int]:
    return [0 if points is None else len(points.x) for points in stream]


def _outcome(stage: _Stage, clean: Rows, poisoned: Rows, streams: Sequence[Stream]) -> Outcome:
    """One row per seed, batch and held-out example."""
    table, (seeds, batches, n) = stage.table, clean.shape
    rows = seeds * batches
    points = np.array([_counts(stream) for stream in streams], np.int64)
    columns = {
        "match": np.full(rows * n, table.match_name),
        "share": np.full(rows * n, table.round.shares[-1]),
        "seed": np.repeat(np.array(stage.seeds, np.int64), batches * n),
        "batch": np.tile(np.repeat(np.arange(batches), n), seeds),
        "points": np.repeat(points.ravel(), n),
        "example": np.tile(table.examples.index, rows),
        "y": np.tile(table.examples.y, rows),
        "clean_prediction": clean.ravel(),
        "poisoned_prediction": poisoned.ravel(),
        "attack_sha256": np.full(rows * n, table.attack.sha256),
        "defense_sha256": np.full(rows * n, table.defense.sha256),
    }
    return Outcome(OUTCOME_KIND, columns, _images(streams))


def _images(streams: Sequence[Stream]) -> dict[str, NDArray[np.float32]]:
    """The first poisoned points, over the batches of the first stream that has any."""
    found = [points for stream in streams for points in stream if points is not None]
    shown = [points for points in found if len(points.x)][:24]
    if not shown:
        return {}
    each = max(1, 24 // len(shown))
    return {
        "poison": np.concatenate([points.x[:each] for points in shown])[:24],
        "poison_y": np.concatenate([p.y[:each] for p in shown])[:24].astype(np.float32),
    }
