"""The eleven switches: presets, order, contradictions, JSON and sentences."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.errors import ThreatModelError
from arena.threat_model import (
    PRESET_NAMES,
    Architecture,
    DefenseStructure,
    Feedback,
    FirstMover,
    LearningAlgorithm,
    OracleOutput,
    OutputKind,
    Parameters,
    Probes,
    Randomness,
    TaskKnowledge,
    ThreatModel,
    TrainingData,
    TrainingDataKind,
)

counts = st.none() | st.integers(1, 10_000)
vectors = st.builds(
    dict,
    task_knowledge=st.sampled_from(TaskKnowledge),
    training_data=st.sampled_from(
        [
            TrainingData(),
            TrainingData(TrainingDataKind.SAMPLES, 150),
            TrainingData(TrainingDataKind.DISTRIBUTION),
            TrainingData(TrainingDataKind.FULL_SET),
        ]
    ),
    learning_algorithm=st.sampled_from(LearningAlgorithm),
    architecture=st.sampled_from(Architecture),
    parameters=st.sampled_from(Parameters),
    structure=st.sampled_from(DefenseStructure),
    randomness=st.sampled_from(Randomness),
    probes=st.builds(Probes, total=counts, per_example=counts),
    output=st.sampled_from(
        [
            OracleOutput(),
            OracleOutput(OutputKind.TOP_K, k=3),
            OracleOutput(OutputKind.ROUNDED, decimals=2),
            OracleOutput(OutputKind.PROBABILITIES),
            OracleOutput(OutputKind.LOGITS),
        ]
    ),
    feedback=st.sampled_from(Feedback),
    true_label=st.booleans(),
)


def build(vector: dict[str, object]) -> ThreatModel | None:
    try:
        return ThreatModel(**vector)  # type: ignore[arg-type]
    except ThreatModelError:
        return None


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_a_preset_knows_its_own_name_and_survives_json(name: str) -> None:
    model = ThreatModel.preset(name)
    assert model.name == name
    assert ThreatModel.from_json(json.loads(json.dumps(model.to_json()))) == model


def test_a_preset_with_another_number_of_queries_keeps_its_name() -> None:
    assert ThreatModel.black(queries=50).name == "black"
    assert ThreatModel.grey(queries=7).probes.per_example == 7


def test_changing_a_switch_makes_the_vector_custom() -> None:
    hidden_source = replace(ThreatModel.white(), structure=DefenseStructure.HIDDEN)
    assert hidden_source.name == "custom"


def test_the_presets_are_those_of_the_rules() -> None:
    white, black = ThreatModel.white(), ThreatModel.black()
    grey, transfer = ThreatModel.grey(), ThreatModel.transfer()
    assert white.gives_gradients
    assert white.randomness is Randomness.DISTRIBUTION
    assert black.training_data == TrainingData(TrainingDataKind.SAMPLES, 150)
    assert black.task_knowledge is TaskKnowledge.CLASSES
    assert not black.reveals_package
    assert grey.architecture is Architecture.GIVEN
    assert grey.parameters is Parameters.HIDDEN
    assert grey.training_data.kind is TrainingDataKind.DISTRIBUTION
    assert transfer.probes.none
    assert transfer.parameters is Parameters.RELATED


def test_grey_reads_as_a_plain_sentence() -> None:
    assert ThreatModel.grey().sentence() == (
        "The attacker sees the architecture and data from the distribution, not the weights, "
        "and may ask 100 probabilities per example."
    )


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_every_switch_is_shown_by_name_and_sentence_never_by_number(name: str) -> None:
    model = ThreatModel.preset(name)
    switches = model.switches()
    assert [switch.field for switch in switches] == [
        field.name for field in fields(model) if field.name not in ("repeats", "true_label")
    ]
    for switch in switches:
        assert not switch.name.startswith("S")
        assert switch.sentence.endswith(".")


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"probes": Probes(total=0)}, "at least 1"),
        ({"probes": Probes(total=5, unlimited=True)}, "remove one"),
        ({"training_data": TrainingData(TrainingDataKind.SAMPLES)}, "number of samples"),
        ({"training_data": TrainingData(TrainingDataKind.NONE, 5)}, "no sense"),
        ({"output": OracleOutput(OutputKind.TOP_K)}, "needs k"),
        ({"output": OracleOutput(OutputKind.LABEL, k=2)}, "no other output"),
        ({"output": OracleOutput(OutputKind.ROUNDED)}, "decimals"),
        ({"feedback": Feedback.SUCCESS}, "grant probes"),
        ({"parameters": Parameters.FULL}, "give the architecture too"),
        ({"task_knowledge": TaskKnowledge.NONE}, "true_label = false"),
        ({"repeats": 3}, "first_mover"),
    ],
)
def test_switches_that_contradict_are_refused_with_the_remedy(
    change: dict[str, object], remedy: str
) -> None:
    with pytest.raises(ThreatModelError, match=remedy):
        ThreatModel(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "damage",
    [
        {"schema_version": 99},
        {"no_such_switch": 1},
        {"output": "label"},
        {"architecture": "half"},
        {"true_label": "yes"},
        {"probes": {"total": 1.5}},
        {"probes": {"total": True}},
    ],
)
def test_malformed_json_is_refused_as_a_threat_model_error(damage: dict[str, object]) -> None:
    with pytest.raises(ThreatModelError):
        ThreatModel.from_json({**ThreatModel.black().to_json(), **damage})


def test_white_grants_all_that_grey_black_and_transfer_grant() -> None:
    white = ThreatModel.white()
    for name in PRESET_NAMES:
        assert ThreatModel.preset(name).reveals_at_most(white)
    assert not white.reveals_at_most(ThreatModel.grey())


def test_more_probes_are_more_knowledge() -> None:
    few, many = ThreatModel.black(queries=10), ThreatModel.black(queries=1000)
    assert few.reveals_at_most(many)
    assert not many.reveals_at_most(few)


def test_who_moves_first_is_not_a_matter_of_more_or_less() -> None:
    attacker_first = replace(ThreatModel.black(), first_mover=FirstMover.ATTACKER)
    assert not attacker_first.reveals_at_most(ThreatModel.white())


@given(vectors)
def test_every_valid_vector_survives_json_and_has_a_sentence(vector: dict[str, object]) -> None:
    model = build(vector)
    if model is None:
        return
    assert ThreatModel.from_json(json.loads(json.dumps(model.to_json()))) == model
    assert model.sentence().startswith("The attacker sees")
    assert model.reveals_at_most(model)


@given(vectors, vectors, vectors)
def test_knowledge_is_transitive(
    a: dict[str, object], b: dict[str, object], c: dict[str, object]
) -> None:
    models = [build(a), build(b), build(c)]
    if None in models:
        return
    first, second, third = (m for m in models if m is not None)
    if first.reveals_at_most(second) and second.reveals_at_most(third):
        assert first.reveals_at_most(third)


@given(vectors, vectors)
def test_knowledge_in_both_directions_is_the_same_knowledge(
    a: dict[str, object], b: dict[str, object]
) -> None:
    first, second = build(a), build(b)
    if first is None or second is None:
        return
    if first.reveals_at_most(second) and second.reveals_at_most(first):
        shown = [replace(m, output=OracleOutput()) if m.probes.none else m for m in (first, second)]
        assert shown[0] == shown[1]


def test_the_limit_of_probes_is_the_tighter_of_both_bounds() -> None:
    assert Probes().limit(10) == 0
    assert Probes(total=50).limit(10) == 50
    assert Probes(per_example=3).limit(10) == 30
    assert Probes(total=20, per_example=3).limit(10) == 20
    assert Probes(unlimited=True).limit(10) == float("inf")
