"""What the attack receives: each switch of the threat model, turned into bytes and arrays.

This is the only place that fills an attack's jail. What a switch withholds is not put in, so it is
not there to be found. House models and weights of the opponent are files; S4, S7 (described) and
S8 are texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.games.base import Table
from arena.games.draws import row_seeds
from arena.manifest import FILE_NAME
from arena.packages import Package
from arena.players import Images, Labels
from arena.rounds import SplitName
from arena.seats import Array, Revealed
from arena.tasks import Task
from arena.threat_model import (
    Architecture,
    DefenseStructure,
    LearningAlgorithm,
    Parameters,
    Randomness,
    TaskKnowledge,
    ThreatModel,
    TrainingDataKind,
)

_SOURCES: Final = (".py", ".toml", ".txt", ".md", ".json", ".cfg")
"""Files that S7 = source shows: text that a player's author wrote, never weights."""


def revealed(table: Table, dealt: Array) -> Revealed:
    """Everything of the opponent that will lie in the attack's jail.

    ``dealt``: positions among the judged examples, in the order in which the attack gets them.
    """
    model, defense = table.round.threat_model, table.defense
    full = model.parameters is Parameters.FULL
    return Revealed(
        package=_package(model, defense),
        architecture=defense.architecture_only()
        if model.architecture is Architecture.GIVEN
        else {},
        related=tuple(dict(house.files) for house in table.related)
        if full or model.parameters is Parameters.RELATED
        else (),
        family=defense.manifest.family
        if model.learning_algorithm is LearningAlgorithm.FAMILY
        else None,
        structure=defense.manifest.description
        if model.structure.level >= DefenseStructure.DESCRIBED.level
        else None,
        randomness=randomness(table, dealt),
    )


def _package(model: ThreatModel, defense: Package) -> Mapping[str, bytes]:
    if model.parameters is Parameters.FULL:
        return dict(defense.files)
    if model.structure is DefenseStructure.SOURCE:
        return source_of(defense, with_architecture=model.architecture is Architecture.GIVEN)
    return {}


def source_of(package: Package, *, with_architecture: bool) -> dict[str, bytes]:
    """The player's own text files: no weights, and the architecture only where S5 grants it."""
    hidden = {package.manifest.weights}
    if not with_architecture:
        hidden.add(package.manifest.architecture)
    return {
        name: content
        for name, content in package.files.items()
        if name not in hidden
        and (name == FILE_NAME or PurePosixPath(name).suffix.lower() in _SOURCES)
    }


def randomness(table: Table, dealt: Array) -> str | None:
    """S8 in words for DISTRIBUTION, as JSON with the very seeds for SEED, None for SECRET."""
    kind, repeats = table.round.threat_model.randomness, table.round.repeats
    if kind is Randomness.SECRET:
        return None
    if not table.defense.manifest.stochastic:
        return "The defense declares that it is deterministic."
    if kind is Randomness.DISTRIBUTION:
        return (
            "Every row of every request draws a fresh uniform 64-bit seed. Each input is judged "
            f"{repeats} times, with seeds that the attack does not know."
        )
    return json.dumps({"seeds": judging_seeds(table, dealt).tolist()})


def judging_seeds(table: Table, dealt: Array) -> NDArray[np.uint64]:
    """(repeats, n) seeds with which each dealt example (n,) will be judged."""
    index = table.examples.index[dealt]
    defense, repeats = table.defense.sha256, range(table.round.repeats)
    return np.array([row_seeds(table.secret, defense, index, j) for j in repeats], np.uint64)


def task_shown(task: Task, knowledge: TaskKnowledge) -> dict[str, Any]:
    """JSON-able fields of :class:`arena.players.TaskInfo`, as far as S2 shows them."""
    level = knowledge.level
    space = level >= TaskKnowledge.INPUT_SPACE.level
    named = level >= TaskKnowledge.CLASSES.level
    priced = level >= TaskKnowledge.COST.level and task.cost is not None
    return {
        "name": task.name if named else "",
        "shape": list(task.shape) if space else [],
        "classes": list(task.classes) if named else [],
        "grid": task.grid if space else None,
        "mutable": task.mutable.tolist() if space and task.mutable is not None else None,
        "add_only": task.add_only.tolist() if space and task.add_only is not None else None,
        "cost": task.cost.tolist() if priced and task.cost is not None else None,
    }


def training_data(table: Table) -> tuple[Images, Labels] | None:
    """S3: labelled points for the attack, disjoint from the judged examples, or None.

    The same for all attacks of a round. On the practice split, its examples that are not judged;
    on the final one, the training split: practice images may be twins of final ones.
    """
    data, task = table.round.threat_model.training_data, table.task
    if data.kind is TrainingDataKind.NONE:
        return None
    if data.kind is TrainingDataKind.FULL_SET:
        return task.train.x, task.train.y
    source, rows = task.train, np.arange(len(task.train))
    if table.round.split is SplitName.PRACTICE:
        others = np.setdiff1d(np.arange(len(task.practice)), table.examples.index)
        if len(others):
            source, rows = task.practice, others
    rows = table.round_stream("training data").permutation(rows)[: data.samples]
    return source.x[rows], source.y[rows]


def brief(table: Table, *, epsilon: float | None, seed: int) -> dict[str, Any]:
    """JSON-able fields of the challenge."""
    round_ = table.round
    return {
        "game": round_.game.value,
        "norm": round_.norm.value,
        "epsilon": epsilon,
        "shift": round_.shift_at(epsilon),
        "output": round_.threat_model.output.kind.value,
        "seed": seed,
        "task": task_shown(table.task, round_.threat_model.task_knowledge),
    }
