"""A match without jails: players are Python functions, the task is a handful of points.

:class:`Fakes` is a seat maker for :func:`arena.referee.play_match`. It records everything that is
handed to the attack, so that tests can look for what must not be there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.errors import (
    ArenaError,
    FaultCode,
    NotDifferentiable,
    PlayerError,
    RefereeError,
    Side,
)
from arena.manifest import Manifest
from arena.packages import Package
from arena.players import EvasionChallenge, TaskInfo
from arena.referee import MatchSpec, play_match
from arena.rounds import GameName, RoundSpec
from arena.sandbox.backend import Strength
from arena.seats import Revealed
from arena.tasks import Split, Task
from arena.tasks.split import Splits
from arena.threat_model import ThreatModel
from arena.verdict import Verdict

SECRET = bytes(range(32))
SIDE = 6
Array = NDArray[Any]


class NoBackend:
    """A backend that starts nothing: these players need no jail."""

    name = "none"
    strength = Strength.NONE

    def start(self, spec: object) -> Any:
        raise AssertionError("a fake match starts no jail")


def toy_task(*, classes: int = 3, practice: int = 90, **rules: Any) -> Task:
    """Points of [0, 1]^6 whose label is the largest of the first ``classes`` features."""
    stream = np.random.default_rng(5)

    def points(name: str, rows: int) -> Split:
        x = stream.uniform(0.1, 0.9, (rows, SIDE)).astype(np.float32)
        return Split(name, x, x[:, :classes].argmax(axis=1).astype(np.int64))

    splits = Splits(points("train", 60), points("practice", practice))
    values: dict[str, Any] = {
        "name": "toy",
        "title": "Toy",
        "description": "Points.",
        "shape": (SIDE,),
        "classes": tuple("abcdefghij"[:classes]),
        "floor": 0.5,
        "norms": {"linf": (0.05, 0.1, 0.2), "l2": (0.1, 0.2, 0.4)},
        "licence": "CC0",
        "version": 1,
    }
    return Task(**{**values, **rules}, read=lambda: splits)


def package(role: str, **manifest: Any) -> Package:
    """A package of that role whose manifest declares ``manifest``."""
    data = {
        "schema_version": 1,
        "name": f"fake {role}",
        "role": role,
        "entry": "player.py:Player",
        **manifest,
    }
    parsed = Manifest.from_mapping(data)
    sha = hashlib.sha256(repr(sorted(data.items(), key=str)).encode()).hexdigest()
    files = {
        "manifest.toml": b"# the manifest\n",
        "player.py": b"# the code\n",
        "architecture.py": b"# the architecture\n",
        "weights.npz": b"the weights",
    }
    return Package(parsed, files, sha)


def defense_package(**manifest: Any) -> Package:
    declared = {"architecture": "architecture.py", "weights": "weights.npz", "family": "linear"}
    return package("defense", **{**declared, "description": "A line.", **manifest})


def differentiable(**manifest: Any) -> Package:
    return defense_package(framework="torch", differentiable=True, **manifest)


# ── defenses ───────────────────────────────────────────────────────────────────────────────


class Linear:
    """Logits x @ w: with the identity, the true rule of the toy task."""

    def __init__(self, w: Array | None = None) -> None:
        self.w = np.eye(SIDE, 3, dtype=np.float32) if w is None else w

    def predict(self, x: Array, seeds: Array) -> Array:
        return np.asarray(x.reshape(len(x), -1) @ self.w, np.float32)

    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        logits = self.predict(x, seeds)
        if weights.ndim == 1:
            p = np.exp(logits - logits.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            weights = p - np.eye(p.shape[1])[weights]
        return logits, np.asarray(weights @ self.w.T, np.float32).reshape(x.shape)


# ── seats ──────────────────────────────────────────────────────────────────────────────────


@dataclass
class DefenseSeatFake:
    manifest: Manifest
    player: Any
    seconds: float = 0.0
    dead: bool = False
    calls: list[int] = field(default_factory=list)
    asked: list[Array] = field(default_factory=list)

    def predict(self, x: Array, seeds: Array) -> Array:
        self.calls.append(len(x))
        self.asked.append(x.copy())
        return np.asarray(self._guarded(lambda: self.player.predict(x.copy(), seeds)))

    logits = predict

    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        if not self.manifest.differentiable:
            raise NotDifferentiable("no gradients")
        found: tuple[Array, Array] = self._guarded(
            lambda: self.player.gradient(x.copy(), weights, seeds)
        )
        return found

    def fit(self, x: Array, y: Array, seed: int) -> None:
        self._guarded(lambda: self.player.fit(x.copy(), y.copy(), seed))

    def _guarded(self, call: Callable[[], Any]) -> Any:
        self.seconds += 0.001
        if self.dead:
            raise PlayerError(Side.DEFENSE, FaultCode.CRASHED, "The defense is dead.")
        try:
            return call()
        except PlayerError:
            self.dead = True
            raise
        except Exception as error:
            self.dead = True
            raise PlayerError(Side.DEFENSE, FaultCode.CRASHED, str(error)) from error

    def close(self) -> str:
        return "defense was here\n"

    def __enter__(self) -> DefenseSeatFake:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class View:
    """The attack's side of the oracle, as a jail's would be."""

    def __init__(self, service: Any, examples: int) -> None:
        self.service = service
        self.examples = examples

    @property
    def probes_left(self) -> float:
        return float(self.service.probes_left()[0])

    def probes_left_for(self, examples: Array) -> Array:
        return np.asarray(self.service.probes_left()[1][examples])

    def _rows(self, examples: Array | None) -> Array:
        return np.arange(self.examples) if examples is None else examples

    def _call(self, method: str, *arguments: Array) -> Any:
        """What goes wrong in the referee is not to be blamed on the attack."""
        try:
            return getattr(self.service, method)(*arguments)
        except ArenaError:
            raise
        except Exception as error:
            raise RefereeError(f"the oracle broke: {error}") from error

    def ask(self, x: Array, examples: Array | None = None) -> Array:
        return np.asarray(self._call("ask", x, self._rows(examples)))

    def check(self, x: Array, examples: Array | None = None) -> Array:
        return np.asarray(self._call("check", x, self._rows(examples)))

    def logits(self, x: Array) -> Array:
        return np.asarray(self._call("logits", x))

    def gradient(self, x: Array, y: Array) -> Array:
        return np.asarray(self._call("gradient", x, y)[1])

    def logits_and_gradient(self, x: Array, weights: Array) -> tuple[Array, Array]:
        found: tuple[Array, Array] = self._call("gradient", x, weights)
        return found


@dataclass
class AttackSeatFake:
    manifest: Manifest
    player: Callable[[EvasionChallenge], Any]
    fakes: Fakes
    revealed: Revealed
    seconds: float = 0.0

    def evade(self, brief: Mapping[str, Any], arrays: Mapping[str, Array], service: Any) -> Array:
        self.seconds += 0.5
        self.fakes.handed.append((brief, arrays, self.revealed))
        task = brief["task"]
        challenge = EvasionChallenge(
            task=TaskInfo(task["name"], tuple(task["shape"]), tuple(task["classes"])),
            x=arrays["x"],
            y=arrays.get("y"),
            targets=arrays.get("targets"),
            norm=brief["norm"],
            epsilon=brief["epsilon"],
            defense=View(service, len(arrays["x"])),
            output=brief["output"],
            seed=brief["seed"],
            training=None,
            randomness=self.revealed.randomness,
            game=brief["game"],
            shift=brief["shift"],
            submit_candidates=service.submit,
        )
        try:
            return np.asarray(self.player(challenge))
        except (PlayerError, RefereeError):
            raise
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise PlayerError(Side.ATTACK, FaultCode.CRASHED, message) from error

    def poison(self, brief: Any, arrays: Any, service: Any) -> Any:
        raise AssertionError("no poisoner here")

    def close(self) -> str:
        return "attack was here\n"

    def __enter__(self) -> AttackSeatFake:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


Model = Callable[[], Any]


@dataclass
class Fakes:
    """Makes the seats of a match: ``attack`` is a function, ``defense`` builds a player."""

    attack: Callable[[EvasionChallenge], Any]
    defense: Model = Linear
    house: Mapping[str, Model] = field(default_factory=dict)
    handed: list[tuple[Mapping[str, Any], Mapping[str, Array], Revealed]] = field(
        default_factory=list
    )
    opened: list[DefenseSeatFake] = field(default_factory=list)

    def __call__(self, **match: Any) -> FakeSeats:
        return FakeSeats(self, match["round"], match["attack"], match["defense"])


@dataclass
class FakeSeats:
    fakes: Fakes
    round: RoundSpec
    attack: Package
    defense: Package

    def open_attack(self, revealed: Revealed) -> AttackSeatFake:
        return AttackSeatFake(self.attack.manifest, self.fakes.attack, self.fakes, revealed)

    def open_defense(self, *, in_turn: bool = False) -> DefenseSeatFake:
        build = self.fakes.house.get(self.defense.manifest.name, self.fakes.defense)
        seat = DefenseSeatFake(self.defense.manifest, build())
        self.fakes.opened.append(seat)
        return seat

    def prepare(self, *openers: Callable[[], object]) -> list[Any]:
        return [opener() for opener in openers]


# ── matches ────────────────────────────────────────────────────────────────────────────────


def spec(model: ThreatModel | None = None, **rules: Any) -> RoundSpec:
    values: dict[str, Any] = {"epsilons": (0.1,), "examples": 30, "task": "toy"}
    if rules.get("game") is GameName.MINIMUM_NORM:
        values["epsilons"] = ()
    values |= rules
    values.setdefault("game", GameName.EVASION)
    return RoundSpec(threat_model=model or ThreatModel.white(), **values)


def play(
    fakes: Fakes,
    round_: RoundSpec | None = None,
    *,
    attack: Package | None = None,
    defense: Package | None = None,
    task: Task | None = None,
    seed: int = 1,
    **match: Any,
) -> Verdict:
    given = MatchSpec(
        round=round_ or spec(),
        attack=attack or package("attack"),
        defense=defense or differentiable(),
        seed=seed,
        secret=SECRET,
        **match,
    )
    return play_match(given, backend=NoBackend(), task=task or toy_task(), seat_maker=fakes)


def fgsm(challenge: EvasionChallenge) -> Array:
    """One step up the gradient's sign: optimal against a linear model under L∞."""
    assert challenge.y is not None
    assert challenge.epsilon is not None
    slope = challenge.defense.gradient(challenge.x, challenge.y)
    return challenge.clip(challenge.x + challenge.epsilon * np.sign(slope))


def leave_alone(challenge: EvasionChallenge) -> Array:
    return challenge.x
