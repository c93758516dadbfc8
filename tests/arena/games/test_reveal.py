"""What a switch withholds is absent: every way into the attack's jail is looked at."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arena.games.base import choose_examples
from arena.rounds import Goal, RoundSpec, SplitName
from arena.seats import Revealed
from arena.threat_model import (
    Architecture,
    DefenseStructure,
    LearningAlgorithm,
    OracleOutput,
    Parameters,
    Probes,
    Randomness,
    TaskKnowledge,
    ThreatModel,
    TrainingData,
    TrainingDataKind,
)
from tests.arena.fakes import (
    SECRET,
    Fakes,
    defense_package,
    differentiable,
    leave_alone,
    play,
    spec,
    toy_task,
)

NOTHING = ThreatModel(
    task_knowledge=TaskKnowledge.NONE,
    true_label=False,
    probes=Probes(total=10),
    output=OracleOutput(),
)


def handed(model: ThreatModel, **rules: Any) -> tuple[dict[str, Any], dict[str, Any], Revealed]:
    fakes = Fakes(leave_alone)
    dana = differentiable() if model.gives_gradients else defense_package()
    verdict = play(fakes, spec(model, **rules), defense=dana)
    assert verdict.fault is None, verdict.fault
    brief, arrays, revealed = fakes.handed[0]
    return dict(brief), dict(arrays), revealed


def test_a_round_that_shows_nothing_hands_over_the_examples_and_nothing_else() -> None:
    brief, arrays, revealed = handed(NOTHING)
    assert set(arrays) == {"x"}
    assert revealed == Revealed()
    assert brief["task"] == {
        "name": "",
        "shape": [],
        "classes": [],
        "grid": None,
        "mutable": None,
        "add_only": None,
        "cost": None,
    }
    told = json.dumps(brief)
    for secret in (SECRET.hex(), "toy", "linear", "practice"):
        assert secret not in told


SWITCHES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("S2 input space", {"task_knowledge": TaskKnowledge.INPUT_SPACE}, {"shape": [6]}),
    (
        "S2 classes",
        {"task_knowledge": TaskKnowledge.CLASSES},
        {"shape": [6], "classes": ["a", "b", "c"], "name": "toy"},
    ),
]


@pytest.mark.parametrize(("name", "switch", "shown"), SWITCHES)
def test_task_knowledge_shows_what_it_says(
    name: str, switch: dict[str, Any], shown: dict[str, Any]
) -> None:
    brief, arrays, revealed = handed(replace(NOTHING, **switch))
    assert {k: v for k, v in brief["task"].items() if v not in ("", [], None)} == shown, name
    assert set(arrays) == {"x"}
    assert revealed == Revealed()


@pytest.mark.parametrize(
    ("switch", "shown"),
    [
        ({"learning_algorithm": LearningAlgorithm.FAMILY}, Revealed(family="linear")),
        ({"structure": DefenseStructure.DESCRIBED}, Revealed(structure="A line.")),
        (
            {"architecture": Architecture.GIVEN},
            Revealed(architecture={"architecture.py": b"# the architecture\n"}),
        ),
        (
            {"structure": DefenseStructure.SOURCE},
            Revealed(
                package={"manifest.toml": b"# the manifest\n", "player.py": b"# the code\n"},
                structure="A line.",
            ),
        ),
    ],
)
def test_one_switch_reveals_one_thing(switch: dict[str, Any], shown: Revealed) -> None:
    _, arrays, revealed = handed(replace(NOTHING, **switch))
    assert revealed == shown
    assert set(arrays) == {"x"}


def test_weights_are_revealed_by_full_parameters_only() -> None:
    _, _, white = handed(ThreatModel.white())
    assert white.package["weights.npz"] == b"the weights"
    for model in (ThreatModel.grey(), ThreatModel.black()):
        _, _, revealed = handed(model)
        everything = [revealed.package, revealed.architecture, *revealed.related]
        assert not any(b"the weights" in files.values() for files in everything)


def test_labels_targets_and_training_data_come_only_where_they_are_granted() -> None:
    with_labels = replace(NOTHING, task_knowledge=TaskKnowledge.CLASSES, true_label=True)
    assert set(handed(with_labels)[1]) == {"x", "y"}
    samples = TrainingData(TrainingDataKind.SAMPLES, 12)
    _, arrays, _ = handed(replace(with_labels, training_data=samples))
    assert len(arrays["training_x"]) == len(arrays["training_y"]) == 12
    _, arrays, _ = handed(with_labels, goal=Goal.TARGETED)
    assert set(arrays) == {"x", "y", "targets"}


@pytest.mark.parametrize("split", list(SplitName))
def test_training_data_is_disjoint_from_what_is_judged(split: SplitName) -> None:
    task = toy_task()
    model = replace(ThreatModel.black(), training_data=TrainingData(TrainingDataKind.DISTRIBUTION))
    round_ = spec(model, split=split)
    _, arrays, _ = handed(model, split=split)
    shown = {row.tobytes() for row in arrays["training_x"]}
    assert not shown & {row.tobytes() for row in arrays["x"]}
    if split is SplitName.FINAL:
        assert shown == {row.tobytes() for row in task.train.x}
        assert not shown & {row.tobytes() for row in task.practice.x}
    else:
        assert len(shown) == len(task.practice) - round_.examples


def test_the_training_set_itself_is_the_train_split() -> None:
    _, arrays, _ = handed(ThreatModel.white())
    assert np.array_equal(arrays["training_x"], toy_task().train.x)


def test_examples_carry_no_index_into_the_split() -> None:
    """Ids are positions in a shuffled deal; the referee alone knows the index."""
    round_: RoundSpec = spec()
    task = toy_task()
    examples = choose_examples(task.practice, count=30, secret=SECRET, digest=task.digest)
    _, arrays, _ = handed(ThreatModel.white())
    order = [int(np.flatnonzero((examples.x == x).all(axis=1))[0]) for x in arrays["x"]]
    assert sorted(order) == list(range(round_.examples))
    assert order != sorted(order)
    assert np.array_equal(arrays["y"], examples.y[order])


def test_randomness_is_told_as_far_as_the_switch_says() -> None:
    dana = defense_package(stochastic=True)

    def told(randomness: Randomness) -> str | None:
        fakes = Fakes(leave_alone)
        model = replace(ThreatModel.black(), randomness=randomness)
        play(fakes, spec(model, repeats=2), defense=dana)
        return fakes.handed[0][2].randomness

    assert told(Randomness.SECRET) is None
    distribution = told(Randomness.DISTRIBUTION)
    assert distribution is not None
    assert "seeds" not in distribution.split("with ")[0]
    seeds = json.loads(told(Randomness.SEED) or "")["seeds"]
    assert np.shape(seeds) == (2, 30)


def test_related_parameters_need_related_models() -> None:
    model = replace(ThreatModel.transfer(), parameters=Parameters.HIDDEN)
    assert replace(model, parameters=Parameters.RELATED) == ThreatModel.transfer()
    _, _, revealed = handed(replace(model, probes=Probes(total=1)))
    assert revealed.related == ()
