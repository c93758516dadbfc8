"""What every learner of the house can be given."""

from __future__ import annotations

from types import ModuleType

import pytest

from arena import house, tasks
from arena.manifest import Role

CLASSES = [
    name
    for name in house.names(Role.LEARNER)
    if house.manifest(name).needs.games != ("trend_poisoning",)
]


@pytest.mark.parametrize("name", CLASSES)
def test_a_learner_of_any_task_learns_from_a_table(direct: ModuleType, name: str) -> None:
    task = tasks.load("spambase")
    learner = direct.build(name, task)
    learner.fit(task.train.x, task.train.y, 0)
    right = learner.predict(task.practice.x).argmax(axis=1) == task.practice.y
    assert right.mean() > task.floor
