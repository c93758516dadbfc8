"""Seats: the two players of a match in their jails, as games see them.

Implements :class:`arena.seats.Seats` on any :class:`~arena.sandbox.backend.SandboxBackend`. Each
side has clocks of its own: see :mod:`arena.sandbox.attack_seat`, :mod:`arena.sandbox.defense_seat`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np

from arena.errors import PlayerError, Side
from arena.packages import Package
from arena.rounds import Limits, RoundSpec
from arena.sandbox.attack_seat import JailedAttack
from arena.sandbox.backend import JailSpec, SandboxBackend
from arena.sandbox.defense_seat import JailedDefense
from arena.sandbox.seat import Seat
from arena.sandbox.session import Session
from arena.seats import Revealed
from arena.tasks import Task
from arena.threat_model import OutputKind, TaskKnowledge
from arena.wire import BOOL, FLOAT64, Array

QUANTUM: Final = 1e-3
"""Seconds. Where a round gives labels alone, an answer comes a whole number of these after its
question: how long the defense thought about an input must not tell what its label does not."""
_LABELS_ALONE: Final = (OutputKind.LABEL, OutputKind.TOP_K)
S = TypeVar("S", bound=Seat)


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
    if isinstance(opened, Seat):
        opened.close()
