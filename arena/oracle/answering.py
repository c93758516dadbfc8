"""How the requests of an attack are answered.

The attack's requests end here; the meter is the referee's. A request is checked (shape, finite,
range, examples), then refused or charged, and only then put to the defense, so that a crash still
costs. A refused request costs nothing. A reply holds what the threat model allows and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena.answers import Answers, Columns, labels_of, softmax
from arena.errors import (
    FaultCode,
    NotDifferentiable,
    PlayerError,
    QueryBudgetExceeded,
    Side,
    Withheld,
)
from arena.oracle.meter import Meter
from arena.oracle.record import Record
from arena.oracle.replies import filtered
from arena.oracle.sample import Reader, Sample
from arena.oracle.slopes import Slopes
from arena.ranges import in_order, in_unit_interval
from arena.seats import Array, DefenseSeat
from arena.threat_model import Feedback, OutputKind, ThreatModel

_FLOAT32: Final = np.dtype(np.float32)
BATCH: Final = 256
"""Rows that are put to the defense at a time: what ``Limits.query_seconds`` is about."""
_ASKED: Final = ("iterations", "gradients", "zero_gradients")
"""What a record tells of all requests, whichever budget they are held against."""

Success = Callable[[Array, Array, Array], NDArray[np.bool_]]
"""(rows, their examples, labels answered) -> whether each row is a success within the budget."""
Owners = Callable[[Array], Array]
"""rows -> the example that each is taken to belong to, where the attack does not say."""
Maker = Callable[[Array, Array], tuple[Array, NDArray[np.bool_]]]
"""(moves, their examples) -> the inputs that they make, and whether each keeps to the rules."""
SeedSource = Callable[[Array, int], NDArray[np.uint64]]
"""(examples, number of rows asked before) -> the seeds of the defense's randomness."""


def no_success(x: Array, _examples: Array, _labels: Array) -> NDArray[np.bool_]:
    return np.zeros(len(x), bool)


class Oracle:
    """Answers one attack in one challenge: :class:`arena.seats.OracleService`.

    ``defense`` is None where the threat model grants nothing that could be asked.
    ``seconds`` is the time that the defense may spend on answering the attack.
    Examples are numbered as the attack numbers them. ``notice`` is called before each batch.
    ``also``: further budgets whose first successes are noted too, each in a record of its own.
    ``make``: in rounds whose candidates are moves. An input does not tell whether a move makes it,
    so a success is noted there only of moves that are checked.
    ``sample``: keeps some of what is answered. ``whose``: the judged example that each of the
    attack's is; None where they are none. ``slopes``: keeps some of the gradients.
    """

    def __init__(
        self,
        defense: DefenseSeat | None,
        *,
        threat_model: ThreatModel,
        shape: tuple[int, ...],
        classes: int,
        examples: int,
        seeds: SeedSource,
        success: Success = no_success,
        also: Sequence[Success] = (),
        owners: Owners | None = None,
        make: Maker | None = None,
        candidate: tuple[int, ...] | None = None,
        seconds: float = float("inf"),
        notice: Callable[[], None] = lambda: None,
        sample: Sample | None = None,
        whose: Array | None = None,
        slopes: Slopes | None = None,
    ) -> None:
        self.defense = defense
        self.threat_model = threat_model
        self.shape = shape
        self.classes = classes
        self.examples = examples
        self.meter = Meter(threat_model.probes, examples)
        self.record = Record.empty(examples)
        self._seeds = seeds
        self._success = success
        self._watched = [(self.record, success)]
        self._watched += [(Record.empty(examples), other) for other in also]
        self._notice = notice
        self._owners = owners
        self._make = make
        self._candidate = shape if candidate is None else candidate
        self._deadline = seconds + (defense.seconds if defense is not None else 0.0)
        self._rows_asked = 0
        self._sample = sample
        self._whose = whose
        self._slopes = slopes
        self._unasked = np.zeros(examples, np.bool_)
        """Whose gradients were asked for after the last answer about them."""

    @property
    def records(self) -> list[Record]:
        """Of ``also``, in its order: the successes are their own, what was asked is the same."""
        shared = {name: getattr(self.record, name) for name in _ASKED}
        return [replace(record, **shared) for record, _ in self._watched[1:]]

    # ── what the attack may do ─────────────────────────────────────────────────────────────

    def ask(self, x: Array, examples: Array) -> Array:
        """Replies of the kind S10 allows, one probe a row."""
        x, examples = self._rows(x, examples)
        scores = self._probe(x, examples)
        if self.threat_model.output.kind is OutputKind.LABEL:
            return self._noted(x, examples, *scores)
        answers = self._columns.read(scores[0], rows=len(x))
        self._note_queries(x, examples, answers.labels, scores[1])
        return filtered(answers, scores[0], self.threat_model.output, classes=self.classes)

    def check(self, x: Array, examples: Array) -> Array:
        """S11: (n,) whether each candidate is a success, one probe a row.

        Where the round gives the reply, :meth:`ask` gives it at the same price.
        """
        if self.threat_model.feedback is Feedback.NONE:
            raise Withheld("This round gives no feedback on candidates.")
        if self._make is not None:
            return self._check_moves(self._make, x, examples)
        x, examples = self._rows(x, examples)
        labels = self._noted(x, examples, *self._probe(x, examples))
        return self._success(x, examples, labels)

    def _check_moves(self, make: Maker, moves: Array, examples: Array) -> Array:
        moves, examples = self._rows(moves, examples, candidates=True)
        ordinals = self._charge(examples)
        x, kept = make(moves, examples)
        labels = self._columns.labels(self._answer(x, examples), rows=len(x))
        hits = kept & self._success(x, examples, labels)
        self.record.note_hits(hits, examples, ordinals)
        return hits

    def logits(self, x: Array) -> Array:
        """White-box rounds: scores of the declared forward, free of query charge."""
        self._white_box()
        x = self._images(x)
        defense, seeds = self._defense(), self._draw(x, None)
        scores = self._ask_all(x, seeds, defense.logits)
        self._offer(x, seeds, scores, self._of_logits, self._in_place(x))
        self._note_answers(x, scores)
        return scores

    def gradient(self, x: Array, weights: Array) -> tuple[Array, Array]:
        """White-box rounds: (logits, gradient); see DefenseView.logits_and_gradient."""
        self._white_box()
        defense = self._defense()
        if not defense.manifest.differentiable:
            raise NotDifferentiable("The defense gives no gradients.")
        x = self._images(x)
        weights = self._weights(weights, len(x))
        seeds = self._draw(x, None)
        parts = [
            defense.gradient(x[part], weights[part], seeds[part]) for part in self._parts(len(x))
        ]
        if not parts:
            return np.zeros((0, len(self._columns)), np.float32), x
        scores = np.concatenate([part[0] for part in parts])
        self._note_iteration(x, labels_of(scores, classes=self.classes))
        slopes = np.concatenate([part[1] for part in parts])
        leading = np.flatnonzero(slopes.reshape(len(slopes), -1).any(axis=1))
        if self._slopes is not None:
            whose = partial(self._judged, self._in_place(x))
            self._slopes.offer(x, seeds, weights, slopes, leading, whose)
        self.record.gradients += len(slopes)
        self.record.zero_gradients += len(slopes) - len(leading)
        return scores, slopes

    def submit(self, x: Array, examples: Array) -> None:
        """Keep candidates: at a timeout the last ones handed in are judged."""
        x, examples = self._rows(x, examples, candidates=True)
        self.record.candidates.update(zip(examples.tolist(), x.copy(), strict=True))

    def probes_left(self) -> tuple[float, Array]:
        return self.meter.left, self.meter.left_per_example()

    # ── how it is answered ─────────────────────────────────────────────────────────────────

    def _probe(self, x: Array, examples: Array) -> tuple[Array, Array]:
        """Charge, then ask: scores, and how many probes each row's example had spent by then."""
        ordinals = self._charge(examples)
        return self._answer(x, examples), ordinals

    def _charge(self, examples: Array) -> Array:
        if self.threat_model.probes.none:
            raise Withheld("This round grants no probes.")
        self._in_time()  # before anything is charged
        return self.meter.charge(examples)

    def _answer(self, x: Array, examples: Array) -> Array:
        seeds = self._draw(x, examples)
        scores = self._ask_all(x, seeds, self._defense().predict)
        self._offer(x, seeds, scores, self._of_scores, examples)
        return scores

    def _offer(
        self, x: Array, seeds: Array, scores: Array, read: Reader, examples: Array | None
    ) -> None:
        """Some of it is kept, with the judged examples that it is about where they are known."""
        if self._sample is not None:
            self._sample.offer(x, seeds, scores, read, partial(self._judged, examples))

    def _judged(self, examples: Array | None, row: int) -> int | None:
        """The example that a row is about; hardly any row is kept, and asked for."""
        if self._whose is None or examples is None:
            return None
        return int(self._whose[examples[row]])

    def _in_place(self, x: Array) -> Array | None:
        """Where as many rows are asked about as there are examples, each is that of its place."""
        return np.arange(len(x)) if len(x) == self.examples else None

    def _of_scores(self, scores: Array) -> Answers:
        return self._columns.read(scores, rows=len(scores))

    def _of_logits(self, scores: Array) -> Answers:
        return Answers(labels_of(scores, classes=self.classes), softmax(scores))

    def _noted(self, x: Array, examples: Array, scores: Array, ordinals: Array) -> Array:
        """The labels of an answer, after a look at whether they are the first success."""
        labels = self._columns.labels(scores, rows=len(x))
        self._note_queries(x, examples, labels, ordinals)
        return labels

    def _ask_all(self, x: Array, seeds: Array, call: Callable[[Array, Array], Array]) -> Array:
        if 0 < len(x) <= BATCH:
            self._in_time()
            self._notice()
            return call(x, seeds)
        parts = [call(x[part], seeds[part]) for part in self._parts(len(x))]
        return np.concatenate(parts) if parts else np.zeros((0, len(self._columns)), np.float32)

    def _parts(self, rows: int) -> Iterator[slice]:
        """Slices of at most :data:`BATCH` rows, as long as the defense has time."""
        for start in range(0, rows, BATCH):
            self._in_time()
            self._notice()
            yield slice(start, start + BATCH)

    @cached_property
    def _columns(self) -> Columns:
        return Columns.of(self._defense().manifest, classes=self.classes)

    def _draw(self, x: Array, examples: Array | None) -> NDArray[np.uint64]:
        if examples is None:
            examples = np.arange(len(x)) % max(self.examples, 1)
        seeds = self._seeds(examples, self._rows_asked)
        self._rows_asked += len(x)
        return seeds

    def _defense(self) -> DefenseSeat:
        if self.defense is None:
            raise Withheld("This round gives no access to the defense.")
        return self.defense

    def _white_box(self) -> None:
        if not self.threat_model.gives_gradients:
            raise Withheld("This round withholds weights and gradients.")

    def _in_time(self) -> None:
        """An attack must not be able to run the defense's clock out and so forfeit it."""
        if self.defense is not None and self.defense.seconds >= self._deadline:
            raise QueryBudgetExceeded(
                "The time that the defense may spend on answering in this round is used up; "
                "hand in the candidates."
            )

    # ── what is noted ──────────────────────────────────────────────────────────────────────

    def _note_queries(self, x: Array, examples: Array, labels: Array, ordinals: Array) -> None:
        if self._make is not None:
            return
        for record, success in self._watched:
            self._note_firsts(record, success, x, examples, labels, ordinals)

    def _note_firsts(
        self,
        record: Record,
        success: Success,
        x: Array,
        examples: Array,
        labels: Array,
        ordinals: Array,
    ) -> None:
        first = record.queries_to_success
        if len(x) == 1:
            if first[examples[0]] < 0 and success(x, examples, labels)[0]:
                first[examples[0]] = ordinals[0]
            return
        rows = np.flatnonzero(first[examples] < 0)
        if not len(rows):
            return
        if len(rows) < len(x):  # no copy of everything where all wait, as at the beginning
            x, examples, labels, ordinals = x[rows], examples[rows], labels[rows], ordinals[rows]
        record.note_hits(success(x, examples, labels), examples, ordinals)

    def _note_iteration(self, x: Array, labels: Array) -> None:
        """One gradient a row."""
        record, examples = self.record, self._whose_rows(x)
        if examples is None:
            record.iterations += len(x) / max(self.examples, 1)
            return
        np.add.at(record.iterations, examples, 1)
        self._unasked[examples] = True
        if self._make is not None:
            return
        for noted, success in self._watched:
            rows = np.flatnonzero(noted.iterations_to_success[examples] < 0)
            hits = rows[success(x[rows], examples[rows], labels[rows])]
            noted.note_claims(x[hits], examples[hits], record.iterations)

    def _note_answers(self, x: Array, scores: Array) -> None:
        """Where an attack that follows gradients asks for answers too: one draw of a stochastic
        defense refutes what it claimed, and is no success of a vote yet. What a search without
        gradients finds after the last of them is no success of theirs."""
        if self._make is not None or not self._answers_tell():
            return
        examples, labels = self._whose_rows(x), labels_of(scores, classes=self.classes)
        if examples is None:
            return
        finds = self._unasked[examples] & (not self._defense().manifest.stochastic)
        for noted, success in self._watched:
            fell = success(x, examples, labels)
            noted.note_answers(x, examples, fell, self.record.iterations, finds=finds)
        self._unasked[examples] = False

    def _answers_tell(self) -> bool:
        """Whether an answer can change when anything fell; whose it is need not be known else."""
        return any(
            record.claims or (self._unasked & (record.iterations_to_success < 0)).any()
            for record, _ in self._watched
        )

    def _whose_rows(self, x: Array) -> Array | None:
        """Known by order, or by what each lies nearest to; None where neither tells."""
        whole = self._in_place(x)
        return self._owners(x) if whole is None and self._owners is not None else whole

    # ── never trust a player's array ───────────────────────────────────────────────────────

    def _rows(self, x: Array, examples: Array, *, candidates: bool = False) -> tuple[Array, Array]:
        x = self._shaped(x, self._candidate) if candidates else self._images(x)
        examples = np.asarray(examples)
        if examples.shape != (len(x),) or examples.dtype.kind not in "iu":
            raise _fault(
                FaultCode.WRONG_SHAPE,
                f"examples must hold {len(x)} whole numbers, one for each row that is asked.",
            )
        examples = examples.astype(np.int64, copy=False)
        if not in_order(examples, self.examples):
            raise _fault(
                FaultCode.OUT_OF_RANGE, f"examples must lie in [0, {self.examples}): see len(x)."
            )
        return x, examples

    def _shaped(self, x: Array, shape: tuple[int, ...]) -> Array:
        x = np.asarray(x)
        if x.dtype is _FLOAT32 and x.shape[1:] == shape:
            return x
        if x.shape[1:] != shape or x.ndim != len(shape) + 1 or x.dtype.kind != "f":
            raise _fault(
                FaultCode.WRONG_SHAPE,
                f"Asked about an array of shape {x.shape}; (n, {_plain(shape)}) is needed.",
            )
        return x.astype(np.float32, copy=False)

    def _images(self, x: Array) -> Array:
        x = self._shaped(x, self.shape)
        if in_unit_interval(x):
            return x
        if not np.isfinite(x).all():
            raise _fault(FaultCode.NOT_FINITE, "Asked about inputs that are NaN or infinite.")
        raise _fault(
            FaultCode.OUT_OF_RANGE,
            "Asked about inputs outside [0, 1]; clip them with challenge.clip.",
        )

    def _weights(self, weights: Array, rows: int) -> Array:
        weights = np.asarray(weights)
        if weights.dtype.kind in "iu":
            labels = weights.astype(np.int64, copy=False)
            if labels.shape != (rows,) or not in_order(labels, self.classes):
                raise _fault(
                    FaultCode.OUT_OF_RANGE,
                    f"Labels for a gradient must be {rows} numbers in [0, {self.classes}).",
                )
            return labels
        expected = (rows, len(self._columns))
        if weights.shape != expected or weights.dtype.kind != "f":
            raise _fault(FaultCode.WRONG_SHAPE, f"Weights for a gradient must be {expected}.")
        if not np.isfinite(weights).all():
            raise _fault(FaultCode.NOT_FINITE, "Weights for a gradient are NaN or infinite.")
        return weights.astype(np.float32, copy=False)


def _plain(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def _fault(code: FaultCode, message: str) -> PlayerError:
    return PlayerError(Side.ATTACK, code, message)
