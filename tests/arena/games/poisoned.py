"""A cast for games about training: Alice's learner, Mallory's points, two toy classes, no jail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.errors import FaultCode, PlayerError, Side
from arena.manifest import Manifest
from arena.packages import Package
from arena.players import NotDifferentiable
from arena.referee import MatchSpec, play_match
from arena.rounds import GameName, RoundSpec
from arena.sandbox.backend import Strength
from arena.seats import Revealed
from arena.tasks import Split, Task
from arena.tasks.task import Splits
from arena.threat_model import ThreatModel
from arena.verdict import Verdict

Array = NDArray[Any]
M = 60


def points(name: str, rows: int, seed: int) -> Split:
    """Two classes that differ in the sign of x_0 - 1/2, well apart."""
    stream = np.random.RandomState(seed)
    y = stream.permutation(np.arange(rows) % 2)
    x = stream.uniform(0.3, 0.7, (rows, 4))
    x[:, 0] = np.where(y == 1, stream.uniform(0.7, 1.0, rows), stream.uniform(0.0, 0.3, rows))
    return Split(name, x.astype(np.float32), y.astype(np.int64))


def toy(**rules: Any) -> Task:
    splits = Splits(points("train", M, 1), points("practice", 40, 2))
    return Task(
        name="toy",
        title="Toy",
        description="Points.",
        shape=(4,),
        classes=("low", "high"),
        floor=0.5,
        norms={"linf": (0.1,)},
        licence="CC0",
        version=1,
        read=lambda: splits,
        **rules,
    )


def package(role: str, **manifest: Any) -> Package:
    data = {"schema_version": 1, "name": role, "role": role, "entry": "player.py:P", **manifest}
    return Package(Manifest.from_mapping(data), {"player.py": b"# code"}, role[0] * 64)


class Means:
    """A learner: the nearer of the two class means."""

    def fit(self, x: Array, y: Array, seed: int) -> None:
        self.means = np.stack([x[y == k].mean(axis=0) for k in (0, 1)])

    def predict(self, x: Array) -> Array:
        return -np.linalg.norm(x[:, None] - self.means[None], axis=2)


@dataclass
class LearnerSeat:
    manifest: Manifest
    player: Any
    fits: list[tuple[Array, Array, int]] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)
    asked: list[Array] = field(default_factory=list)
    seconds: float = 0.0

    def fit(self, x: Array, y: Array, seed: int, *, told: Any = None) -> None:
        self.fits.append((x.copy(), y.copy(), seed))
        self.told.append(told)
        if told and "batch" in told:
            if told["batch"] == 0:
                self.seen: list[tuple[Array, Array]] = []
            self.seen.append((x.copy(), y.copy()))
            x, y = (np.concatenate(parts) for parts in zip(*self.seen, strict=True))
        if told and "share" in told and hasattr(self.player, "choose"):
            self.player.choose(x, y, **told)
        self._call(lambda: self.player.fit(x, y, seed))

    def predict(self, x: Array, seeds: Array) -> Array:
        self.asked.append(x.copy())
        return np.asarray(self._call(lambda: self.player.predict(x)), np.float32)

    logits = predict

    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        raise NotDifferentiable("no gradients")

    def _call(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except RuntimeError as error:
            raise PlayerError(Side.DEFENSE, FaultCode.CRASHED, str(error)) from error

    def close(self) -> str:
        return "learner\n"


@dataclass
class PoisonerSeat:
    manifest: Manifest
    move: Callable[..., Any]
    seen: list[Any] = field(default_factory=list)
    seconds: float = 0.0

    def poison(self, brief: Any, arrays: Any, service: Any) -> Any:
        self.seen.append((dict(brief), {k: v.copy() for k, v in arrays.items()}))
        return self.move(brief, arrays, service)

    def close(self) -> str:
        return "poisoner\n"


@dataclass
class Cast:
    """Alice's learner and Mallory's move; records what each of them meets."""

    move: Callable[..., Any]
    learner: Callable[[], Any] = Means
    learners: list[LearnerSeat] = field(default_factory=list)
    poisoners: list[PoisonerSeat] = field(default_factory=list)
    revealed: list[Revealed] = field(default_factory=list)

    @property
    def in_company(self) -> list[LearnerSeat]:
        """All but the one that is asked about a few rows alone."""
        return [seat for seat in self.learners if any(len(x) > 1 for x in seat.asked)]

    def __call__(self, **match: Any) -> Any:
        self.round, self.attack, self.defense = match["round"], match["attack"], match["defense"]
        return self

    def open_attack(self, revealed: Revealed) -> PoisonerSeat:
        self.revealed.append(revealed)
        self.poisoners.append(PoisonerSeat(self.attack.manifest, self.move))
        return self.poisoners[-1]

    def open_defense(self, *, in_turn: bool = False) -> LearnerSeat:
        self.learners.append(LearnerSeat(self.defense.manifest, self.learner()))
        return self.learners[-1]


def needs(game: GameName) -> dict[str, Any]:
    return {"needs": {"games": [game.value]}}


class NoBackend:
    name = "none"
    strength = Strength.NONE

    def start(self, spec: object) -> Any:
        raise AssertionError("no jail here")


def play(
    cast: Cast,
    *,
    game: GameName = GameName.POISONING,
    task: Task | None = None,
    seed: int = 3,
    learner: Package | None = None,
    **rules: Any,
) -> Verdict:
    values = {"shares": (0.2,), "examples": 40, "threat_model": ThreatModel.black(), **rules}
    match = MatchSpec(
        RoundSpec(game, "toy", **values),
        package("poisoner", **({} if game is GameName.POISONING else needs(game))),
        learner or package("learner"),
        seed=seed,
        secret=bytes(32),
    )
    return play_match(match, backend=NoBackend(), task=task or toy(), seat_maker=cast)
