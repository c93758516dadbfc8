"""The four presets, as values of switches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from arena.threat_model.switches import (
    Architecture,
    DefenseStructure,
    Feedback,
    LearningAlgorithm,
    OracleOutput,
    OutputKind,
    Parameters,
    Probes,
    Randomness,
    TaskKnowledge,
    TrainingData,
    TrainingDataKind,
)

BLACK_BOX_SEED_POINTS: Final = 150


def _white(_queries: int | None) -> dict[str, Any]:
    return {
        "task_knowledge": TaskKnowledge.COST,
        "training_data": TrainingData(TrainingDataKind.FULL_SET),
        "learning_algorithm": LearningAlgorithm.FAMILY,
        "architecture": Architecture.GIVEN,
        "parameters": Parameters.FULL,
        "structure": DefenseStructure.SOURCE,
        "randomness": Randomness.DISTRIBUTION,
        "probes": Probes(unlimited=True),
        "output": OracleOutput(OutputKind.LOGITS),
        "feedback": Feedback.REPLY,
    }


def _grey(queries: int | None) -> dict[str, Any]:
    return {
        "task_knowledge": TaskKnowledge.COST,
        "training_data": TrainingData(TrainingDataKind.DISTRIBUTION),
        "learning_algorithm": LearningAlgorithm.FAMILY,
        "architecture": Architecture.GIVEN,
        "probes": Probes(per_example=queries if queries is not None else 100),
        "output": OracleOutput(OutputKind.PROBABILITIES),
    }


def _black(queries: int | None) -> dict[str, Any]:
    return {
        "training_data": TrainingData(TrainingDataKind.SAMPLES, BLACK_BOX_SEED_POINTS),
        "probes": Probes(per_example=queries if queries is not None else 1000),
        "output": OracleOutput(OutputKind.PROBABILITIES),
    }


def _transfer(_queries: int | None) -> dict[str, Any]:
    return {
        "training_data": TrainingData(TrainingDataKind.DISTRIBUTION),
        "parameters": Parameters.RELATED,
    }


PRESETS: Final[Mapping[str, Callable[[int | None], dict[str, Any]]]] = {
    "white": _white,
    "grey": _grey,
    "black": _black,
    "transfer": _transfer,
}
"""By name: what each sets, given the probes per example (None: the usual number)."""
PRESET_NAMES: Final = tuple(PRESETS)
