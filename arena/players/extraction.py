"""Attacks on the model itself: a copy from its answers."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.players.task import Images, Labels, TaskInfo
from arena.players.view import DefenseView


@dataclass(frozen=True)
class ExtractionChallenge:
    """What a thief receives. The same thief is called again at each stop of the round.

    ``queries`` is how many probes may have been asked by the end of this call, earlier calls
    counted; ``queries_in_all`` how many by the end of the last one. So keep on ``self`` what was
    learned. ``defense.ask(x)`` takes any number of rows. ``training`` is (x, y) where the round
    gives data; the other fields are as in :class:`EvasionChallenge`.
    """

    task: TaskInfo
    queries: int
    queries_in_all: int
    defense: DefenseView
    output: str
    seed: int
    training: tuple[Images, Labels] | None = None
    architecture: Path | None = None
    related: tuple[Path, ...] = ()
    family: str | None = None
    structure: str | None = None

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


@dataclass(frozen=True)
class Surrogate:
    """A stolen copy: the files of a defense's package, by relative path.

    ``manifest.toml`` says role = "defense"; the copy answers every input and draws nothing at
    random. It is unpacked and judged in a jail of its own, on inputs that nobody has seen.
    """

    files: Mapping[str, bytes]

    @classmethod
    def linear(cls, weights: NDArray[Any], offsets: NDArray[Any]) -> Surrogate:
        """Scores ``x @ weights + offsets``: weights (features, classes), offsets (classes,)."""
        stored = io.BytesIO()
        np.savez(stored, w=np.asarray(weights), b=np.asarray(offsets))
        return cls(
            {
                "manifest.toml": _LINEAR_MANIFEST.encode(),
                "player.py": _LINEAR_PLAYER.encode(),
                "weights.npz": stored.getvalue(),
            }
        )


_LINEAR_MANIFEST = """schema_version = 1
name = "Stolen linear model"
role = "defense"
weights = "weights.npz"
entry = "player.py:Stolen"
"""
_LINEAR_PLAYER = """import numpy as np

import arena.players


class Stolen(arena.players.Defense):
    def load(self):
        stored = np.load(self.package / "weights.npz")
        self.w, self.b = stored["w"], stored["b"]

    def predict(self, x):
        return x.reshape(len(x), -1).astype(self.w.dtype) @ self.w + self.b
"""


class Thief:
    """Copies a defense from its answers alone (model extraction)."""

    def __init__(self, package: Path, options: Mapping[str, Any] | None = None) -> None:
        self.package = package
        self.options = dict(options or {})

    def steal(self, challenge: ExtractionChallenge) -> Surrogate:
        """The best copy so far, after at most ``challenge.queries`` probes in all."""
        raise NotImplementedError("A thief implements steal(challenge).")
