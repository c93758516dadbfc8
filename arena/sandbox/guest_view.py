"""The attack's view of its opponent, inside the jail: questions go out, answers come back.

What a player passes in is checked here first, so that an honest mistake is a ValueError where it
was made. The referee checks it again, since a player may go around this file.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import InGameError, NotDifferentiable, QueryBudgetExceeded, Withheld
from arena.players import Images, Labels, Scores
from arena.ranges import in_order, in_unit_interval
from arena.wire import MAX_WEIGHT, Array, Frame, Op, Trusting, Wire

_ERRORS: Final[dict[str, type[InGameError]]] = {
    error.__name__: error for error in (QueryBudgetExceeded, NotDifferentiable, Withheld)
}
_REPLIES: Final = {Op.ANSWER: Trusting(), Op.REFUSED: Trusting(bytes=0)}


class RefereeView:
    """Implements :class:`arena.players.DefenseView` over the wire.

    ``columns``: of the defense's logits, None where the round does not show them. ``candidate``:
    the shape of one candidate, where that is a move and no input.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        examples: int,
        shape: tuple[int, ...],
        columns: int | None,
        candidate: tuple[int, ...],
    ) -> None:
        self._wire = wire
        self._examples = examples
        self._shape = shape
        self._candidate = candidate
        self._columns = columns
        self._asked = 0
        self._turn = Lock()

    @property
    def probes_left(self) -> float:
        return float(self._call(Op.PROBES)[0][0])

    def probes_left_for(self, examples: NDArray[np.int64]) -> NDArray[np.float64]:
        left: NDArray[np.float64] = self._call(Op.PROBES)[1]
        return left[np.asarray(examples, np.int64)]

    def ask(self, x: Images, examples: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        return self._call(Op.ASK, self._inputs(x), self._rows(x, examples))[0]

    def logits(self, x: Images) -> Scores:
        return self._call(Op.LOGITS, self._inputs(x))[0]

    def gradient(self, x: Images, y: Labels) -> Images:
        return self.logits_and_gradient(x, np.asarray(y, np.int64))[1]

    def logits_and_gradient(self, x: Images, weights: Scores | Labels) -> tuple[Scores, Images]:
        inputs, array = self._inputs(x), np.asarray(weights)
        if array.ndim == 1 and array.dtype.kind in "iu":
            op, array = Op.GRADIENT, self._labels(array, len(inputs))
        else:
            op, array = Op.WEIGHTED_GRADIENT, self._weights(array, len(inputs))
        logits, gradient = self._call(op, inputs, array)
        return logits, gradient

    def check(self, x: Images, examples: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
        moves = self._candidate != self._shape
        candidates = self._candidates(x) if moves else self._inputs(x)
        return self._call(Op.CHECK, candidates, self._rows(x, examples))[0]

    def submit(self, x: Images, examples: NDArray[np.int64]) -> None:
        """Candidates so far. They are judged like final ones: the referee rejects, row by row."""
        candidates = self._candidates(x)
        self._call(Op.SUBMIT, candidates, self._rows(candidates, examples))

    def _call(self, op: Op, *arrays: Array) -> tuple[Array, ...]:
        with self._turn:
            self._asked += 1
            self._wire.send(op, request=self._asked, arrays=arrays)
            reply = self._wire.receive(_REPLIES, request=self._asked)
        if reply.op is Op.REFUSED:
            raise _error(reply)
        return reply.arrays

    def _inputs(self, x: Any) -> Images:
        inputs = self._shaped(x)
        if not in_unit_interval(inputs):
            raise ValueError("Inputs must be finite and in [0, 1]; use challenge.clip(x).")
        return inputs

    def _shaped(self, x: Any) -> Images:
        inputs = np.ascontiguousarray(x, np.float32)
        if inputs.shape[1:] != self._shape:
            raise ValueError(f"Inputs have shape {inputs.shape}; (n, *{self._shape}) is due.")
        return inputs

    def _candidates(self, x: Any) -> Images:
        rows = np.ascontiguousarray(x, np.float32)
        if rows.shape[1:] != self._candidate:
            raise ValueError(f"Candidates have shape {rows.shape}; (n, *{self._candidate}) is due.")
        return rows

    def _rows(self, x: Any, examples: Any) -> NDArray[np.int64]:
        if examples is None:
            if self._examples == 1:
                return np.zeros(len(x), np.int64)
            if len(x) != self._examples:
                raise ValueError(f"Say which examples the {len(x)} rows belong to: pass examples=.")
            return np.arange(self._examples, dtype=np.int64)
        rows = np.ascontiguousarray(examples, np.int64)
        if rows.shape != (len(x),) or not in_order(rows, self._examples):
            raise ValueError(
                f"examples must name one of the {self._examples} examples for each row."
            )
        return rows

    def _labels(self, labels: Array, count: int) -> Labels:
        if labels.shape != (count,):
            raise ValueError(f"{labels.shape} labels for {count} rows; one a row is due.")
        if count and labels.min() < 0:
            raise ValueError("Labels must not be negative.")
        if count and self._columns is not None and labels.max() >= self._columns:
            raise ValueError(f"Labels must be less than {self._columns}.")
        return np.ascontiguousarray(labels, np.int64)

    def _weights(self, weights: Array, count: int) -> Scores:
        if weights.ndim != 2 or len(weights) != count:
            raise ValueError(f"Weights have shape {weights.shape}; ({count}, columns) is due.")
        if self._columns is not None and weights.shape[1] != self._columns:
            raise ValueError(f"Weights need {self._columns} columns, one for each logit.")
        if weights.size and not np.abs(weights).max() <= MAX_WEIGHT:
            raise ValueError(f"Weights must be finite and at most {MAX_WEIGHT:g}.")
        return np.ascontiguousarray(weights, np.float32)


def _error(reply: Frame) -> InGameError:
    kind = _ERRORS.get(str(reply.meta.get("error")), InGameError)
    return kind(str(reply.meta.get("message", "The referee refused.")))
