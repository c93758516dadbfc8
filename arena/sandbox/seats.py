"""Seats: the two players of a match in their jails, as games see them.

Implements :mod:`arena.seats` on any :class:`~arena.sandbox.backend.SandboxBackend`. Each side has
its own clocks. The defense's runs while it answers, and every single request is bounded. The
attack's runs while it thinks and stands still while the defense answers it, so that neither side
can spend the other's time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, Self, TypeVar

import numpy as np

from arena.changes import candidate_shape
from arena.errors import (
    FaultCode,
    InGameError,
    NotDifferentiable,
    PlayerError,
    Side,
)
from arena.manifest import Manifest, Output
from arena.packages import Package
from arena.ranges import all_finite
from arena.rounds import Limits, RoundSpec
from arena.sandbox.backend import JailSpec, SandboxBackend
from arena.sandbox.session import FAILED, Session
from arena.seats import OracleService, Revealed
from arena.tasks import Task
from arena.threat_model import OutputKind, TaskKnowledge
from arena.wire import (
    BOOL,
    FLOAT32,
    FLOAT64,
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

REQUEST_ROWS: Final = 256
MANY: Final = 8
"""Questions after which an attack is taken for one that asks: until then, and for ever where it
runs the model that it was shown, its match has all processors."""
CERTIFY_ROWS: Final = 10
"""Claims asked for in one request, and one at a time where ten times the effort is due."""
REQUEST_BYTES: Final = 8 * 2**20
"""A defense is asked at most so much at a time: it is what ``query_seconds`` bounds."""
QUESTION_BYTES: Final = 128 * 2**20
"""The most an attack may hand in with one question; the referee has to hold it."""
SMALLEST_PROBABILITY: Final = 1e-12
QUANTUM: Final = 1e-3
"""Seconds. Where a round gives labels alone, an answer comes a whole number of these after its
question: how long the defense thought about an input must not tell what its label does not."""
_BRIEF: Final = (
    *("norm", "epsilon", "shift", "seed", "output", "game", "count", "mode", "examples"),
    *("queries", "queries_in_all", "target", "trigger", "features", "label", "batch", "batches"),
)
_ARRAYS: Final = ("x", "y", "targets", "training_x", "training_y", "target_x")
_ON_THE_DEFENSE: Final = frozenset({Op.ASK, Op.CHECK, Op.LOGITS, Op.GRADIENT, Op.WEIGHTED_GRADIENT})
"""Questions that are answered on the defense's clock; the others are on the attack's own."""
_LABELS_ALONE: Final = (OutputKind.LABEL, OutputKind.TOP_K)
_WRONG_SHAPES: Final = {
    Op.POISON: FaultCode.POISON_BUDGET,
    Op.BACKDOOR: FaultCode.POISON_BUDGET,
    Op.STEAL: FaultCode.BAD_SURROGATE,
}
"""What a reply that is too large means, where it has a name of its own."""
S = TypeVar("S", bound="_Seat")


@dataclass(frozen=True)
class JailSeats:
    """The seats of one match. ``seed`` seeds what players draw from without being told to."""

    round: RoundSpec
    attack: Package
    defense: Package
    task: Task
    backend: SandboxBackend
    seed: int = 0

    def open_attack(self, revealed: Revealed) -> JailedAttack:
        """A fresh attack process with its own package and what is revealed, ready to play."""
        files = {**_under("package", self.attack.files), **_files_of(revealed)}
        limits = self.round.attack_limits
        session = self._open(Side.ATTACK, self.attack, limits, files, in_turn=self._asks)
        seat = JailedAttack(
            session,
            revealed,
            self._shape,
            self._columns(),
            self._columns_shown(),
            quantum=QUANTUM if self._labels_alone else 0.0,
        )
        return self._loaded(seat, files, self._shown())

    def open_defense(self, *, in_turn: bool = False) -> JailedDefense:
        """A fresh defense (or learner) process with its own package, loaded."""
        files = _under("package", self.defense.files)
        limits = self.round.defense_limits
        session = self._open(Side.DEFENSE, self.defense, limits, files, in_turn=in_turn)
        seat = JailedDefense(session, self._shape, self._columns())
        return self._loaded(seat, files, TaskKnowledge.COST)

    def prepare(self, *openers: Callable[[], object]) -> list[Any]:
        """Run openers side by side and return their results; one that fails closes the others."""
        with ThreadPoolExecutor(max_workers=max(1, len(openers))) as pool:
            futures = [pool.submit(opener) for opener in openers]
        errors = [error for future in futures if (error := future.exception()) is not None]
        if not errors:
            return [future.result() for future in futures]
        for future in futures:
            if future.exception() is None:
                _close(future.result())
        ours = [error for error in errors if not isinstance(error, PlayerError)]
        raise (ours or errors)[0]

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(self.task.shape)

    @property
    def _asks(self) -> bool:
        """Whether there is anything that the attack may ask of a defense."""
        model = self.round.threat_model
        return model.gives_gradients or not model.probes.none

    @property
    def _labels_alone(self) -> bool:
        return self.round.threat_model.output.kind in _LABELS_ALONE

    @property
    def _share_a_processor(self) -> bool:
        """Not where its caches could tell the attack more than answers do, nor where one player
        works on several processors."""
        limits = (self.round.attack_limits, self.round.defense_limits)
        return not self._labels_alone and all(side.threads == 1 for side in limits)

    def _open(
        self,
        side: Side,
        package: Package,
        limits: Limits,
        files: Mapping[str, bytes],
        *,
        in_turn: bool,
    ) -> Session:
        spec = JailSpec(
            side=side,
            framework=package.manifest.framework,
            limits=_with_room_for(limits, files),
            device=self.task.device,
            in_turn=in_turn and self._share_a_processor,
        )
        return Session.open(self.backend, spec, package.manifest, seed=self.seed)

    def _loaded(self, seat: S, files: Mapping[str, bytes], shown: TaskKnowledge) -> S:
        try:
            seat.session.load(files, *_task_shown(self.task, shown))
        except BaseException:
            seat.close()
            raise
        return seat

    def _shown(self) -> TaskKnowledge:
        return self.round.threat_model.task_knowledge

    def _columns(self) -> int:
        """One for each class, and one for abstaining; of a regression task the value alone."""
        if self.task.is_regression:
            return 1
        return len(self.task.classes) + int(self.defense.manifest.abstains)

    def _columns_shown(self) -> int | None:
        """The columns of the defense's logits, as far as the attack may know them."""
        if self.round.threat_model.gives_gradients:
            return self._columns()
        if self._shown().level >= TaskKnowledge.CLASSES.level:
            return len(self.task.classes)
        return None


class _Seat:
    """What both seats share: a session, its clock and its end."""

    def __init__(self, session: Session, shape: tuple[int, ...], columns: int) -> None:
        self.session = session
        self._shape = shape
        self._columns = columns

    @property
    def manifest(self) -> Manifest:
        return self.session.manifest

    @property
    def seconds(self) -> float:
        """Wall time on this player's own clock."""
        return self.session.seconds

    def close(self) -> str:
        """Kill the jail; the capped log of what the player printed."""
        return self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class JailedDefense(_Seat):
    """Implements :class:`arena.seats.DefenseSeat`."""

    def __init__(self, session: Session, shape: tuple[int, ...], columns: int) -> None:
        super().__init__(session, shape, columns)
        row_bytes = max(1, int(np.prod(shape)) * FLOAT32.itemsize)
        self._step = max(1, min(REQUEST_ROWS, REQUEST_BYTES // row_bytes))
        self._due: dict[tuple[Op, int], Expected] = {}

    def predict(self, x: Array, seeds: Array) -> Array:
        """Raw scores (n, columns) float32; seeds (n,) uint64."""
        x, seeds = _floats(x), np.ascontiguousarray(seeds, np.uint64)
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
        x, seeds = _floats(x), np.ascontiguousarray(seeds, np.uint64)
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
        x, seeds = _floats(x), np.ascontiguousarray(seeds, np.uint64)
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
            arrays=(_floats(x), np.ascontiguousarray(y, _told_as(y))),
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


class JailedAttack(_Seat):
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
        due = Accepts(self._poisoned(int(brief["count"]), _told_as(arrays["y"])))
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
        named = {key: _sendable(arrays[key]) for key in _ARRAYS if arrays.get(key) is not None}
        if "y" in named:  # values keep their precision
            named["y"] = np.ascontiguousarray(arrays["y"], _told_as(arrays["y"]))
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
        return tuple([_sendable(array) for array in arrays])


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


def _floats(x: Array) -> Array:
    return np.ascontiguousarray(x, np.float32)


_KINDS: Final = {"f": np.float32, "i": np.int64, "u": np.uint64, "b": np.bool_}


def _sendable(array: Array) -> Array:
    """Contiguous, in a dtype that frames know."""
    if array.dtype is FLOAT32 and array.flags.c_contiguous:
        return array
    return np.ascontiguousarray(array, _KINDS[np.asarray(array).dtype.kind])


def _with_room_for(limits: Limits, files: Mapping[str, bytes]) -> Limits:
    """What the referee puts into a jail is not the player's use of disk and memory.

    A large opponent must not make the attack that receives its package run out of either.
    """
    room = -(-sum(map(len, files.values())) // 2**20)
    return replace(limits, disk_mib=limits.disk_mib + room, memory_mib=limits.memory_mib + room)


def _under(top: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{top}/{path}": content for path, content in files.items()}


def _files_of(revealed: Revealed) -> dict[str, bytes]:
    """What the round shows, by the directory in which the attack finds it."""
    files = _under("opponent", revealed.package) | _under("architecture", revealed.architecture)
    for number, related in enumerate(revealed.related):
        files |= _under(f"related/{number}", related)
    return files


def _told_as(y: Array) -> np.dtype[Any]:
    """Labels, or the values of a regression task."""
    return FLOAT64 if np.asarray(y).dtype.kind == "f" else INT64


def _task_shown(task: Task, shown: TaskKnowledge) -> tuple[dict[str, Any], dict[str, Array]]:
    """The task as far as switch S2 shows it: JSON, and arrays."""
    space = shown.level >= TaskKnowledge.INPUT_SPACE.level
    classes = shown.level >= TaskKnowledge.CLASSES.level
    cost = shown.level >= TaskKnowledge.COST.level
    arrays: dict[str, Array] = {}
    if cost and task.cost is not None:
        arrays["cost"] = np.ascontiguousarray(task.cost, FLOAT64)
    if space and task.mutable is not None:
        arrays["mutable"] = np.ascontiguousarray(task.mutable, BOOL)
    if space and task.add_only is not None:
        arrays["add_only"] = np.ascontiguousarray(task.add_only, BOOL)
    meta = {
        "name": task.name if classes else "",
        "shape": list(task.shape) if space else [],
        "classes": list(task.classes) if classes else [],
        "grid": task.grid if space else None,
        "device": task.device.value,
        "regression": space and task.is_regression,
    }
    return meta, arrays


def _close(opened: object) -> None:
    if isinstance(opened, _Seat):
        opened.close()
