"""What is classified: a task and its splits.

A task has a *train* split and a *practice* split, which are published (anyone may look the labels
up), and a *final* split, which never leaves the referee's store: the organizer's own file, or one
derived from the practice split with a secret.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import TaskError
from arena.tasks.final import derive_final, derive_final_values
from arena.tasks.split import Split, Splits, TaskWarning

__all__ = [
    "SCHEMA_VERSION",
    "Device",
    "Scaling",
    "Split",
    "Splits",
    "Target",
    "Task",
    "TaskWarning",
]

SCHEMA_VERSION: Final = 1
WORD_LEVELS: Final = 2
"""With this grid an add-only feature is a word: it is there, or it is not."""


class Device(StrEnum):
    """Where the players of a task may compute."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True)
class Target:
    """What a regression task predicts: values of ``unit``; 0 and 1 of y are ``low``, ``high``."""

    name: str
    unit: str
    low: float
    high: float


@dataclass(frozen=True)
class Scaling:
    """What 0 and 1 of each feature of a row stand for, in the units of the data as measured."""

    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Task:
    """One data set with the rules that belong to it. Compare two tasks by :attr:`digest`.

    - ``shape``: of one example, images as (channels, height, width).
    - ``classes``: their names; label ``k`` means ``classes[k]``. None in a regression task.
    - ``target``: what a regression task predicts; None: the task is one of classes. In a regression
      task the first feature is time, and the second, if any, says which series a point is of.
    - ``floor``: clean accuracy below which a defense is shown but not ranked.
    - ``norms``: norm ("linf", "l2", "l1", "l0") to its default epsilons, ascending.
    - ``grid``: number of levels an input may take, evenly spaced on [0, 1]; None: any value.
    - ``cost``: (k, k) float64, ``cost[y, prediction]``, zero on the diagonal; None: all ones.
    - ``mutable``: (*shape) bool, the features that an attack may change; None: all.
    - ``add_only``: (*shape) bool, features that an attack may raise and never lower; None: none.
    - ``features``: names of the features of one-dimensional examples; empty: they have none.
    - ``scaling``: what 0 and 1 of each feature stood for before they were scaled; None: not told.
    - ``attacker_class``: the class whose examples belong to attackers (spam): the label that
      good-word rounds attack; None: no such class.
    - ``abstention_share``: share of clean inputs on which a defense may abstain.
    - ``device``: where its players may compute; "cuda" is played by workers with a GPU alone.
    - ``read``: gives the splits; called once, at first use, and may raise :class:`TaskError`.
    """

    name: str
    title: str
    description: str
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    floor: float
    norms: Mapping[str, tuple[float, ...]]
    licence: str
    version: int
    read: Callable[[], Splits] = field(repr=False)
    grid: int | None = None
    cost: NDArray[np.float64] | None = None
    mutable: NDArray[np.bool_] | None = None
    add_only: NDArray[np.bool_] | None = None
    features: tuple[str, ...] = ()
    scaling: Scaling | None = None
    attacker_class: int | None = None
    abstention_share: float = 0.2
    device: Device = Device.CPU
    target: Target | None = None
    schema_version: int = SCHEMA_VERSION

    @cached_property
    def splits(self) -> Splits:
        return self.read()

    @property
    def train(self) -> Split:
        return self.splits.train

    @property
    def practice(self) -> Split:
        return self.splits.practice

    @property
    def is_image(self) -> bool:
        """Whether an example is an image: (channels, height, width)."""
        return len(self.shape) == 3

    @property
    def is_regression(self) -> bool:
        """Whether y holds values rather than classes."""
        return self.target is not None

    def final(self, secret: bytes) -> Split:
        """The split of the final phase: the organizer's own, or one derived from ``secret``.

        The same secret gives the same split on every machine. ``secret`` should be at least 16
        random bytes, since a published hash would let a shorter one be guessed; it is not used
        where the task has a final split of its own. Computed anew at every call, so that no
        secret stays in a cache.
        """
        if self.splits.final is not None:
            return self.splits.final
        if not secret:
            raise TaskError(
                f"Task {self.name!r} has no final split of its own and was given an empty secret: "
                "draw one with secrets.token_bytes(32) and keep it."
            )
        if self.is_regression:
            return derive_final_values(self.practice, secret=secret)
        return derive_final(
            self.practice,
            secret=secret,
            is_image=self.is_image,
            levels=self.grid or self.splits.levels,
            on_grid=self.grid is not None,
            mutable=self.mutable,
            words=self.add_only if self.grid == WORD_LEVELS else None,
        )

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 over the splits: the same digest means the same data."""
        own_final = self.splits.final.sha256 if self.splits.final is not None else "derived"
        named = f"{self.name} {self.version} {self.train.sha256} {self.practice.sha256} {own_final}"
        return hashlib.sha256(named.encode()).hexdigest()

    def public_json(self) -> dict[str, object]:
        """What a task's page shows; nothing in it helps to guess a derived final split."""
        own_final = self.splits.final
        return {
            "schema_version": self.schema_version,
            "name": self.name,
            "version": self.version,
            "title": self.title,
            "description": self.description,
            "licence": self.licence,
            "shape": list(self.shape),
            "classes": list(self.classes),
            "target": None if self.target is None else asdict(self.target),
            "grid": self.grid,
            "floor": self.floor,
            "norms": {norm: list(epsilons) for norm, epsilons in self.norms.items()},
            "cost": None if self.cost is None else self.cost.tolist(),
            "mutable": None if self.mutable is None else self.mutable.tolist(),
            "add_only": None if self.add_only is None else self.add_only.tolist(),
            "features": list(self.features),
            "scaling": None if self.scaling is None else asdict(self.scaling),
            "attacker_class": self.attacker_class,
            "abstention_share": self.abstention_share,
            "device": self.device.value,
            "splits": {
                "train": {"size": len(self.train), "sha256": self.train.sha256},
                "practice": {"size": len(self.practice), "sha256": self.practice.sha256},
                "final": {
                    "size": len(own_final or self.practice),
                    "origin": "derived" if own_final is None else "organizer",
                },
            },
            "digest": self.digest,
        }
