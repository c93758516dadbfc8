"""The attack's seat: a challenge goes in, questions come out and are answered, a reply comes back.

Implements :class:`arena.seats.AttackSeat`. Its clock runs while it thinks and stands still while
the defense answers it, so that neither side can spend the other's time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from arena.changes import candidate_shape
from arena.errors import FaultCode, InGameError
from arena.sandbox.seat import Seat, sendable, told_as
from arena.sandbox.session import FAILED, Session
from arena.seats import OracleService, Revealed
from arena.wire import (
    BOOL,
    FLOAT32,
    INT64,
    MAX_SURROGATE,
    MAX_WEIGHT,
    UINT8,
    Accepts,
    Array,
    Expected,
    Frame,
    Op,
    Rows,
    WireError,
)

MANY: Final = 8
"""Questions after which an attack is taken for one that asks: until then, and for ever where it
runs the model that it was shown, its match has all processors."""
QUESTION_BYTES: Final = 128 * 2**20
"""The most an attack may hand in with one question; the referee has to hold it."""
_BRIEF: Final = (
    *("norm", "epsilon", "shift", "seed", "output", "game", "count", "mode", "examples"),
    *("queries", "queries_in_all", "target", "trigger", "features", "label", "batch", "batches"),
)
_ARRAYS: Final = ("x", "y", "targets", "training_x", "training_y", "target_x")
_ON_THE_DEFENSE: Final = frozenset({Op.ASK, Op.CHECK, Op.LOGITS, Op.GRADIENT, Op.WEIGHTED_GRADIENT})
"""Questions that are answered on the defense's clock; the others are on the attack's own."""
_WRONG_SHAPES: Final = {
    Op.POISON: FaultCode.POISON_BUDGET,
    Op.BACKDOOR: FaultCode.POISON_BUDGET,
    Op.STEAL: FaultCode.BAD_SURROGATE,
}
"""What a reply that is too large means, where it has a name of its own."""


class JailedAttack(Seat):
    """Implements :class:`arena.seats.AttackSeat`, for attacks, poisoners and thieves."""

    def __init__(
        self,
        session: Session,
        revealed: Revealed,
        shape: tuple[int, ...],
        columns: int,
        columns_shown: int | None,
        *,
        quantum: float = 0.0,
    ) -> None:
        super().__init__(session, shape, columns)
        self._revealed = revealed
        self._quantum = quantum
        self._columns_shown = columns_shown

    def evade(
        self, brief: Mapping[str, Any], arrays: Mapping[str, Array], service: OracleService
    ) -> Array:
        """Play one evasion challenge; the candidates (n, *shape), or moves, float32 as handed in.

        Their values are not looked at: a row that is not finite, out of range or out of budget is
        rejected by the game, row by row.
        """
        row = _candidate_shape(brief, self._shape)
        due = Accepts((Rows.exactly(len(arrays["x"]), FLOAT32, row),))
        return self._play(Op.EVADE, {Op.CANDIDATES: due}, brief, arrays, service).arrays[0]

    def poison(
        self, brief: Mapping[str, Any], arrays: Mapping[str, Array], service: OracleService
    ) -> tuple[Array, Array, Array | None]:
        """(x, y, replaces or None) as handed in: at most ``count`` points, nothing else checked."""
        due = Accepts(self._poisoned(int(brief["count"]), told_as(arrays["y"])))
        frame = self._play(Op.POISON, {Op.POISONED: due}, brief, arrays, service)
        x, y, replaces = frame.arrays
        return x, y, replaces if len(replaces) else None

    def backdoor(
        self, brief: Mapping[str, Any], arrays: Mapping[str, Array], service: OracleService
    ) -> tuple[Array, Array, Array | None, Array, Array]:
        """(x, y, replaces or None, mask (1, *shape), pattern (1, *shape)) as handed in."""
        trigger = (Rows.exactly(1, BOOL, self._shape), Rows.exactly(1, FLOAT32, self._shape))
        due = Accepts((*self._poisoned(int(brief["count"])), *trigger))
        frame = self._play(Op.BACKDOOR, {Op.BACKDOORED: due}, brief, arrays, service)
        x, y, replaces, mask, pattern = frame.arrays
        return x, y, replaces if len(replaces) else None, mask, pattern

    def _poisoned(self, count: int, told: np.dtype[Any] = INT64) -> tuple[Rows, ...]:
        """Points, their labels, and the points of S that they replace."""
        return (
            Rows(FLOAT32, self._shape, 0, count),
            Rows(told, like_first=True),
            Rows(INT64, (), 0, count),
        )

    def steal(
        self, brief: Mapping[str, Any], arrays: Mapping[str, Array], service: OracleService
    ) -> bytes:
        """The zip of the copy as handed in: at most MAX_SURROGATE bytes, nothing else checked."""
        due = Accepts((Rows(UINT8, (), 0, MAX_SURROGATE),))
        return self._play(Op.STEAL, {Op.STOLEN: due}, brief, arrays, service).arrays[0].tobytes()

    def _play(
        self,
        op: Op,
        final: Expected,
        brief: Mapping[str, Any],
        arrays: Mapping[str, Array],
        service: OracleService,
    ) -> Frame:
        named = {key: sendable(arrays[key]) for key in _ARRAYS if arrays.get(key) is not None}
        if "y" in named:  # values keep their precision
            named["y"] = np.ascontiguousarray(arrays["y"], told_as(arrays["y"]))
        expected: Expected = {
            **final,
            **self._questions(len(named.get("x", ())), _candidate_shape(brief, self._shape)),
            Op.FAILED: FAILED,
        }
        meta = self._meta(brief, named)
        shape = _WRONG_SHAPES.get(op, FaultCode.WRONG_SHAPE)
        try:
            return self._converse(op, expected, final, meta, named, service)
        except WireError as error:
            raise self.session.blame(error, late=FaultCode.WALL_TIME, shape=shape) from error

    def _converse(
        self,
        op: Op,
        expected: Expected,
        final: Expected,
        meta: Mapping[str, Any],
        arrays: Mapping[str, Array],
        service: OracleService,
    ) -> Frame:
        """Send the challenge, answer questions, until the reply to the challenge comes."""
        clock = _Clock(self.session)
        request = self.session.begin(
            op, arrays=tuple(arrays.values()), meta=meta, deadline=clock.deadline
        )
        question = 0
        while True:
            question += 1
            frame = self.session.hear(
                expected, request=request, question=question, deadline=clock.deadline
            )
            clock.charge()
            if frame.op in final:
                return frame
            if question == MANY:
                self.session.jail.gather()
            self._answer(frame, service, clock)

    def _answer(self, frame: Frame, service: OracleService, clock: _Clock) -> None:
        """Let the service answer one question, off the attack's clock where the defense works."""
        arrays: tuple[Array, ...] = ()
        refusal: dict[str, str] | None = None
        asked = time.monotonic()
        try:
            arrays = _SERVICES[frame.op](self, service, *frame.arrays)
        except InGameError as error:
            refusal = {"error": type(error).__name__, "message": str(error)}
        if frame.op in _ON_THE_DEFENSE:
            if self._quantum:
                time.sleep(-(time.monotonic() - asked) % self._quantum)
            clock.resume()
        self.session.reply(
            Op.REFUSED if refusal else Op.ANSWER,
            request=frame.request,
            arrays=arrays,
            meta=refusal,
            deadline=clock.deadline,
        )

    def _questions(self, examples: int, candidate: tuple[int, ...]) -> dict[Op, Accepts]:
        """``candidate``: the shape of what is handed in; all else asks about inputs."""
        row_bytes = max(1, int(np.prod(self._shape)) * FLOAT32.itemsize)
        most = max(examples, QUESTION_BYTES // row_bytes)
        x, candidates = (Rows(FLOAT32, shape, 0, most) for shape in (self._shape, candidate))
        numbers = Rows(INT64, like_first=True)
        weights = Rows(FLOAT32, (self._columns,), like_first=True)
        return {
            Op.ASK: Accepts((x, numbers)),
            Op.CHECK: Accepts((candidates, numbers)),
            Op.SUBMIT: Accepts((candidates, numbers)),
            Op.LOGITS: Accepts((x,)),
            Op.GRADIENT: Accepts((x, numbers)),
            Op.WEIGHTED_GRADIENT: Accepts((x, weights)),
            Op.PROBES: Accepts(),
        }

    def _meta(self, brief: Mapping[str, Any], arrays: Mapping[str, Array]) -> dict[str, Any]:
        """Known fields alone: a field nobody thought of must not reveal anything."""
        meta = {key: brief[key] for key in _BRIEF if key in brief}
        meta.setdefault("epsilon", None)
        meta.setdefault("examples", len(arrays.get("x", ())))
        return meta | {
            "arrays": list(arrays),
            "columns": self._columns_shown,
            "family": self._revealed.family,
            "structure": self._revealed.structure,
            "randomness": self._revealed.randomness,
        }

    def _weighted(self, service: OracleService, x: Array, weights: Array) -> tuple[Array, ...]:
        """Huge weights would make the defense's gradient overflow, and it look at fault."""
        if weights.size and not np.abs(weights).max() <= MAX_WEIGHT:
            raise self.session.fault(FaultCode.OUT_OF_RANGE)
        return self._plain(service.gradient(x, weights))

    def _plain(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple([sendable(array) for array in arrays])


class _Clock:
    """The attack's wall clock. It runs while the attack does, over all challenges of a seat."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._since = time.monotonic()

    @property
    def deadline(self) -> float:
        """When the time left runs out, seen from now."""
        return self._since + self._session.limits.wall_seconds - self._session.seconds

    def charge(self) -> None:
        """Put the time since the last look on the attack's account."""
        now = time.monotonic()
        self._session.seconds += now - self._since
        self._since = now

    def resume(self) -> None:
        """Forget the time since the last charge: it was somebody else's."""
        self._since = time.monotonic()


_Service = Callable[..., tuple[Array, ...]]
_SERVICES: Final[dict[Op, _Service]] = {
    Op.ASK: lambda seat, service, *a: seat._plain((service.ask(*a),)),
    Op.CHECK: lambda seat, service, *a: (np.ascontiguousarray(service.check(*a), np.bool_),),
    Op.LOGITS: lambda seat, service, *a: seat._plain((service.logits(*a),)),
    Op.GRADIENT: lambda seat, service, *a: seat._plain(service.gradient(*a)),
    Op.WEIGHTED_GRADIENT: lambda seat, service, *a: seat._weighted(service, *a),
    Op.SUBMIT: lambda seat, service, *a: service.submit(*a) or (),
    Op.PROBES: lambda seat, service: _probes(*service.probes_left()),
}


def _candidate_shape(brief: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    return candidate_shape(str(brief.get("norm", "")), shape)


def _probes(total: float, each: Array) -> tuple[Array, ...]:
    return np.array([total], np.float64), np.ascontiguousarray(each, np.float64)
