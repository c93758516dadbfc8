"""The defense's seat: what the referee asks of a defense or a learner in its jail.

Implements :class:`arena.seats.DefenseSeat`. Its clock runs while it answers, and every single
request is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from arena.errors import FaultCode, NotDifferentiable
from arena.manifest import Output
from arena.ranges import all_finite
from arena.sandbox.seat import Seat, floats, told_as
from arena.sandbox.session import FAILED, Session
from arena.wire import FLOAT32, INT64, Accepts, Array, Expected, Frame, Op, Rows

REQUEST_ROWS: Final = 256
CERTIFY_ROWS: Final = 10
"""Claims asked for in one request, and one at a time where ten times the effort is due."""
REQUEST_BYTES: Final = 8 * 2**20
"""A defense is asked at most so much at a time: it is what ``query_seconds`` bounds."""
SMALLEST_PROBABILITY: Final = 1e-12


class JailedDefense(Seat):
    """Implements :class:`arena.seats.DefenseSeat`."""

    def __init__(self, session: Session, shape: tuple[int, ...], columns: int) -> None:
        super().__init__(session, shape, columns)
        row_bytes = max(1, int(np.prod(shape)) * FLOAT32.itemsize)
        self._step = max(1, min(REQUEST_ROWS, REQUEST_BYTES // row_bytes))
        self._due: dict[tuple[Op, int], Expected] = {}

    def predict(self, x: Array, seeds: Array) -> Array:
        """Raw scores (n, columns) float32; seeds (n,) uint64."""
        x, seeds = floats(x), np.ascontiguousarray(seeds, np.uint64)
        if 0 < len(x) <= self._step:
            return self._ask(Op.PREDICT, Op.SCORES, (x, seeds)).arrays[0]
        parts = [
            self._ask(Op.PREDICT, Op.SCORES, (x[rows], seeds[rows])).arrays[0]
            for rows in self._requests(len(x))
        ]
        return np.concatenate(parts) if parts else self._nothing()

    def logits(self, x: Array, seeds: Array) -> Array:
        """As predict; the logarithm of what it returns where it declares probabilities."""
        scores = self.predict(x, seeds)
        if self.manifest.output is Output.PROBABILITIES:
            return np.log(np.maximum(scores, np.float32(SMALLEST_PROBABILITY)))
        return scores

    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        """(logits, gradient); see DefenseView.logits_and_gradient."""
        if not self.manifest.differentiable:
            raise NotDifferentiable("The defense gives no gradients.")
        x, seeds = floats(x), np.ascontiguousarray(seeds, np.uint64)
        labels = weights.ndim == 1
        op = Op.BACKWARD if labels else Op.BACKWARD_WEIGHTED
        weights = np.ascontiguousarray(weights, np.int64 if labels else np.float32)
        parts = [
            self._ask(op, Op.GRADIENTS, (x[rows], weights[rows], seeds[rows])).arrays
            for rows in self._requests(len(x))
        ]
        if len(parts) == 1:
            return parts[0][0], parts[0][1]
        if not parts:
            return self._nothing(), x
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def certify(self, x: Array, seeds: Array, *, norm: str, effort: int) -> tuple[Array, Array]:
        """Labels (n,) int64 in [-1, classes) and radii (n,) float32 >= 0, as claimed."""
        x, seeds = floats(x), np.ascontiguousarray(seeds, np.uint64)
        step = max(1, CERTIFY_ROWS // effort)
        parts = [
            self._claims(x[rows], seeds[rows], {"norm": norm, "effort": effort})
            for rows in (slice(start, start + step) for start in range(0, len(x), step))
        ]
        if not parts:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _claims(self, x: Array, seeds: Array, meta: dict[str, Any]) -> tuple[Array, ...]:
        due = Accepts((Rows.exactly(len(x), INT64), Rows.exactly(len(x), FLOAT32)))
        frame = self.session.ask(
            Op.CERTIFY,
            {Op.CERTIFIED: due, Op.FAILED: FAILED},
            arrays=(x, seeds),
            meta=meta,
            seconds=min(self.session.limits.query_seconds, self._left()),
            late=FaultCode.QUERY_LATENCY if self._left() > 0 else FaultCode.WALL_TIME,
        )
        labels, radii = frame.arrays
        if not np.isfinite(radii).all():
            raise self.session.fault(FaultCode.NOT_FINITE)
        classes = self._columns - int(self.manifest.abstains)
        if radii.min() < 0 or labels.min() < -1 or labels.max() >= classes:
            raise self.session.fault(FaultCode.OUT_OF_RANGE)
        return frame.arrays

    def _left(self) -> float:
        return max(0.0, self.session.limits.wall_seconds - self.seconds)

    def fit(self, x: Array, y: Array, seed: int, *, told: Mapping[str, Any] | None = None) -> None:
        """Learners only: train from scratch or, as ``told``, from one more batch; wall clock."""
        self.session.ask(
            Op.FIT,
            {Op.FITTED: Accepts(), Op.FAILED: FAILED},
            arrays=(floats(x), np.ascontiguousarray(y, told_as(y))),
            meta={"seed": int(seed), **(told or {})},
            seconds=self._left(),
            late=FaultCode.WALL_TIME,
        )

    def _ask(self, op: Op, reply: Op, arrays: tuple[Array, ...]) -> Frame:
        limits = self.session.limits
        if self.seconds > limits.wall_seconds + 2 * limits.query_seconds:
            # The oracle stops an attack before this; what is left over is the judge's own asking.
            raise self.session.fault(FaultCode.WALL_TIME)
        frame = self.session.ask(
            op,
            self._expected(reply, len(arrays[0])),
            arrays=arrays,
            seconds=limits.query_seconds,
            late=FaultCode.QUERY_LATENCY,
        )
        for array in frame.arrays:
            if not all_finite(array):
                raise self.session.fault(FaultCode.NOT_FINITE)
        return frame

    def _expected(self, op: Op, rows: int) -> Expected:
        known = self._due.get((op, rows))
        if known is None:
            scores = Rows.exactly(rows, FLOAT32, (self._columns,))
            slope = Rows.exactly(rows, FLOAT32, self._shape)
            arrays = (scores,) if op is Op.SCORES else (scores, slope)
            known = self._due[op, rows] = {op: Accepts(arrays), Op.FAILED: FAILED}
        return known

    def _requests(self, rows: int) -> list[slice]:
        return [slice(start, start + self._step) for start in range(0, rows, self._step)]

    def _nothing(self) -> Array:
        return np.zeros((0, self._columns), np.float32)
