"""Attacks on training data: poison, backdoors, streams and trends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.players.task import Images, Labels, TaskInfo
from arena.players.view import DefenseView


@dataclass(frozen=True)
class PoisoningChallenge:
    """What a poisoner receives: the training set S, and what the threat model shows.

    ``count`` is floor(share * len(S)), the number of points he must return.
    ``mode`` is "add" or "replace". ``package`` is the directory of the learner's code (white);
    ``defense`` answers probes of the model trained on clean S (black).
    """

    task: TaskInfo
    x: Images
    y: Labels
    count: int
    mode: str
    defense: DefenseView
    output: str
    seed: int
    package: Path | None = None
    family: str | None = None
    structure: str | None = None

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


@dataclass(frozen=True)
class Poison:
    """``count`` points: x (count, *shape), y (count,). ``replaces`` (count,) indices into S."""

    x: Images
    y: Labels
    replaces: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class BackdoorChallenge(PoisoningChallenge):
    """A poisoning challenge with a target: T(x) is to be answered ``target``, whatever x was.

    ``trigger`` is "patch": T(x) sets at most ``features`` features (a pixel with all its channels
    is one) to values of yours; or "shift": T(x) = clip(x + δ), |δ| <= ``epsilon`` in ``norm``.
    """

    target: int = 0
    trigger: str = "patch"
    features: int = 0
    norm: str = "linf"
    epsilon: float | None = None


@dataclass(frozen=True)
class Backdoor:
    """Poison and the trigger that it teaches; the referee applies it.

    A patch: ``mask`` (*shape) bool says where, ``pattern`` (*shape) in [0, 1] what T(x) holds
    there. A shift: ``pattern`` is δ, and ``mask`` is left out.
    """

    poison: Poison
    pattern: NDArray[np.float32]
    mask: NDArray[np.bool_] | None = None

    def applied(self, x: Images) -> Images:
        """T(x), as the referee will apply it."""
        return triggered(x, self.pattern, self.mask)


def triggered(
    x: Images, pattern: NDArray[np.float32], mask: NDArray[np.bool_] | None = None
) -> Images:
    """T(x): ``x`` (n, *shape) holds ``pattern`` where the ``mask`` is, or has it added without."""
    if mask is not None:
        return np.asarray(np.where(mask, pattern, x), np.float32)
    return np.asarray(np.clip(x + pattern, 0.0, 1.0), np.float32)


@dataclass(frozen=True)
class TrendChallenge(PoisoningChallenge):
    """Series whose trend is to go away: x (n, features), y (n,) float64 in [0, 1].

    The first feature of x is time, the second (if any) says which series a point is of. Each series
    may be changed by at most ``epsilon`` in ``norm`` (L0: so many of its points).
    """

    norm: str = "l2"
    epsilon: float = 0.0

    @property
    def values(self) -> NDArray[np.float64]:
        """``y`` as values, a copy of your own."""
        return np.array(self.y, np.float64)

    def series(self) -> list[NDArray[np.int64]]:
        """The rows of each series, in the order of time."""
        key = self.x[:, 1] if self.x.shape[1] > 1 else np.zeros(len(self.x), np.float32)
        rows = [np.flatnonzero(key == value) for value in np.unique(key)]
        return [members[np.argsort(self.x[members, 0], kind="stable")] for members in rows]


@dataclass(frozen=True)
class TargetedChallenge(PoisoningChallenge):
    """A poisoning challenge about one chosen point: it is to be answered ``target``.

    ``target_x`` (*shape) is the point, ``label`` its class (None where true labels are withheld).
    ``epsilon``: None, or the poison is clean-label: each point lies within it, in ``norm``, of a
    point of S under the same label; with mode "replace", of the very point that it replaces.
    """

    target_x: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    target: int = 0
    label: int | None = None
    norm: str = "linf"
    epsilon: float | None = None


@dataclass(frozen=True)
class OnlineChallenge(PoisoningChallenge):
    """One batch of a stream: ``x``, ``y`` are its clean points, before the learner sees them.

    ``batch`` counts from 0 to ``batches`` - 1. The same poisoner is asked for each batch of a
    stream, so keep on ``self`` what came before. ``mode`` "replace": ``replaces`` are indices into
    this batch. ``defense`` is the learner as this stream has made it so far. ``training`` is
    (x, y) where the round gives training data.
    """

    batch: int = 0
    batches: int = 1
    training: tuple[Images, Labels] | None = None


class Poisoner:
    """Returns poisoned points; he never sees the data the learner is judged on.

    One that plays another game than ``poisoning`` implements its method and says so:
    ``games = ["backdoor"]`` and ``backdoor``, ``["targeted_poisoning"]`` and ``poison_target``,
    ``["online_poisoning"]`` and ``poison_batch``.
    """

    def __init__(self, package: Path, options: Mapping[str, Any] | None = None) -> None:
        self.package = package
        self.options = dict(options or {})

    def poison(self, challenge: PoisoningChallenge) -> Poison:
        raise NotImplementedError("A poisoner implements poison(challenge).")

    def backdoor(self, challenge: BackdoorChallenge) -> Backdoor:
        """Backdoor rounds: poison, and the trigger that it teaches."""
        raise NotImplementedError("A poisoner that plants backdoors implements backdoor().")

    def poison_target(self, challenge: TargetedChallenge) -> Poison:
        """Targeted rounds: poison for one chosen point."""
        raise NotImplementedError("A poisoner of chosen points implements poison_target().")

    def poison_batch(self, challenge: OnlineChallenge) -> Poison:
        """Online rounds: poison for the batch that is about to come."""
        raise NotImplementedError("A poisoner of streams implements poison_batch().")

    def poison_trend(self, challenge: TrendChallenge) -> NDArray[np.float64]:
        """Trend rounds: the changed y (n,), in the order of ``challenge.y``.

        A player of trends says ``games = ["trend_poisoning"]`` in [needs], learners as well.
        """
        raise NotImplementedError("A poisoner of trends implements poison_trend().")
