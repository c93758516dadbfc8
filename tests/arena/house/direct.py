"""A defense and an attack in this very process: the house's methods without jail and referee.

It meters and filters as the oracle does, as far as the attacks can see, and nothing more.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena import house, tasks
from arena.errors import QueryBudgetExceeded, Withheld
from arena.manifest import Framework
from arena.packages import Package
from arena.players import EvasionChallenge, TaskInfo
from arena.sandbox.guest_sklearn import SklearnDefense

Array = NDArray[Any]


def unpack(package: Package) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="direct-"))
    for name, content in package.files.items():
        (folder / name).write_bytes(content)
    return folder


def entry(folder: Path, package: Package) -> Any:
    """The class that the manifest names."""
    module_file, _, class_name = package.manifest.entry.partition(":")
    name = f"direct_{package.sha256[:16]}"
    spec = importlib.util.spec_from_file_location(name, folder / module_file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(folder))  # as in the jail
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return getattr(module, class_name)


def task_info(task: tasks.Task) -> TaskInfo:
    return TaskInfo(
        task.name, task.shape, task.classes, task.grid, task.cost, task.mutable, task.add_only
    )


def build(name: str, task: tasks.Task, folder: Path | None = None) -> Any:
    """A house defense, loaded; or an attack, made."""
    package = house.package(name, task.name)
    folder = folder or unpack(package)
    if package.manifest.framework is Framework.SKLEARN:
        return SklearnDefense(folder, task_info(task))
    player = entry(folder, package)
    if package.manifest.role.side == "defense":
        return player(folder, task_info(task))
    return player(folder)


@dataclass
class View:
    """A DefenseView over a defense in this process, and a record of what was asked.

    ``per_example`` and ``total`` both bind; ``answered``: the defense's time is up after so many
    probes.
    """

    defense: Any
    examples: int
    output: str = "logits"
    per_example: float = 0
    total: float = float("inf")
    answered: float = float("inf")
    white: bool = True
    stochastic: bool = False
    asked: Array = field(default_factory=lambda: np.zeros(0))
    forward_rows: int = 0
    gradient_rows: int = 0
    calls: int = 0

    def __post_init__(self) -> None:
        self.asked = np.zeros(self.examples)

    @property
    def probes_left(self) -> float:
        each = float((self.per_example - self.asked).sum())
        return min(each, self.total - float(self.asked.sum()))

    def probes_left_for(self, examples: Array) -> Array:
        return np.minimum(self.per_example - self.asked[examples], self.probes_left)

    def _seeds(self, x: Array) -> tuple[Array, ...]:
        self.calls += 1
        if not self.stochastic:
            return ()
        rng = np.random.default_rng(self.calls)
        return (rng.integers(0, 2**63, len(x), dtype=np.uint64),)

    def ask(self, x: Array, examples: Array | None = None) -> Array:
        rows = np.arange(len(x)) if examples is None else examples
        if self.per_example == 0:
            raise Withheld("no probes")
        check_images(x)
        charged = self.asked + np.bincount(rows, minlength=self.examples)
        if (charged > self.per_example).any() or charged.sum() > self.total:
            raise QueryBudgetExceeded("too many")
        if charged.sum() > self.answered:
            raise QueryBudgetExceeded("the defense's time is up")
        self.asked = charged
        return filtered(self.defense.predict(x, *self._seeds(x)), self.output)

    def logits(self, x: Array) -> Array:
        if not self.white:
            raise Withheld("no gradients")
        self.forward_rows += len(x)
        return self.defense.predict(x, *self._seeds(x))

    def gradient(self, x: Array, y: Array) -> Array:
        return self.logits_and_gradient(x, y)[1]

    def logits_and_gradient(self, x: Array, weights: Array) -> tuple[Array, Array]:
        if not self.white:
            raise Withheld("no gradients")
        check_images(x)
        self.gradient_rows += len(x)
        return self.defense.gradient(x, weights, *self._seeds(x))

    def check(self, x: Array, examples: Array | None = None) -> Array:
        raise Withheld("no feedback")


def check_images(x: Array) -> None:
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    assert x.min(initial=0) >= 0
    assert x.max(initial=1) <= 1


def filtered(scores: Array, output: str) -> Array:
    if output == "label":
        return scores.argmax(1)
    if output == "top_k":
        return (-scores).argsort(1)[:, :3]
    if output == "logits" or (scores.min(initial=0) >= 0 and scores.max(initial=0) <= 1):
        return scores
    stable = np.exp(scores - scores.max(1, keepdims=True))
    probabilities = stable / stable.sum(1, keepdims=True)
    return probabilities.astype(np.float32)


@dataclass
class Played:
    """What came of one attack: candidates, answers, distances in float64."""

    x: Array
    y: Array
    candidates: Array
    answers: Array
    targets: Array | None
    view: View

    @property
    def fooled(self) -> Array:
        if self.targets is not None:
            return self.answers == self.targets
        return self.answers != self.y

    def sizes(self, norm: str) -> Array:
        delta = (self.candidates.astype(np.float64) - self.x).reshape(len(self.x), -1)
        if norm == "l0":
            return (np.abs(delta) > 1e-6).sum(1)
        return np.linalg.norm(delta, ord={"linf": np.inf, "l2": 2, "l1": 1}[norm], axis=1)


def right_examples(defense: Any, task: tasks.Task, count: int) -> tuple[Array, Array]:
    """The first practice examples that the defense gets right."""
    x, y = task.practice.x[: 2 * count + 50], task.practice.y[: 2 * count + 50]
    seeds = (np.arange(len(x), dtype=np.uint64),) if stochastic(defense) else ()
    rows = np.flatnonzero(defense.predict(x, *seeds).argmax(1) == y)[:count]
    return x[rows], y[rows]


def play(
    attack: Any,
    defense: Any,
    task: tasks.Task,
    *,
    x: Array,
    y: Array,
    norm: str = "linf",
    epsilon: float | None = None,
    targets: Array | None = None,
    seed: int = 0,
    view: View | None = None,
    info: TaskInfo | None = None,
    **fields: Any,
) -> Played:
    view = view or View(defense, len(x))
    challenge = EvasionChallenge(
        task=info or task_info(task),
        x=x,
        y=y,
        targets=targets,
        norm=norm,
        epsilon=epsilon,
        defense=view,
        output=view.output,
        seed=seed,
    )
    candidates = attack.attack(replace(challenge, **fields))
    assert candidates.shape == x.shape
    check_images(candidates)
    seeds = (np.arange(len(x), dtype=np.uint64),) if view.stochastic else ()
    answers = defense.predict(candidates, *seeds).argmax(1)
    return Played(x, y, candidates, answers, targets, view)


def stochastic(defense: Any) -> bool:
    return bool(defense.manifest.stochastic)
