"""Threat models as versioned JSON, and back: every value is looked at before it counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

from arena.errors import ThreatModelError
from arena.threat_model.switches import (
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
    TrainingData,
    TrainingDataKind,
)

SCHEMA_VERSION: Final = 1
_K = TypeVar("_K", bound=StrEnum)


def read(data: Mapping[str, Any]) -> dict[str, Any]:
    """The switches that are said, as values of their types; one by one they are right.

    Raises:
        ThreatModelError: an unknown key, version or value.
    """
    if data.get("schema_version") != SCHEMA_VERSION:
        raise ThreatModelError(
            f"Threat model schema_version {data.get('schema_version')!r} is not known; "
            f"this arena reads version {SCHEMA_VERSION}."
        )
    unknown = sorted(set(data) - set(_READERS) - {"schema_version"})
    if unknown:
        raise ThreatModelError(f"Unknown switch {', '.join(unknown)} in the threat model.")
    return {key: _READERS[key](key, data[key]) for key in _READERS if key in data}


def _read_training_data(switch: str, value: Any) -> TrainingData:
    table = _table(switch, value, ("kind", "samples"), "{kind = 'samples', samples = 150}")
    kind = _choice(TrainingDataKind)(f"{switch}.kind", table.get("kind"))
    return TrainingData(kind, _count(f"{switch}.samples", table.get("samples")))


def _read_probes(switch: str, value: Any) -> Probes:
    table = _table(switch, value, ("total", "per_example", "unlimited"), "{per_example = 100}")
    return Probes(
        _count(f"{switch}.total", table.get("total")),
        _count(f"{switch}.per_example", table.get("per_example")),
        _boolean(f"{switch}.unlimited", table.get("unlimited", False)),
    )


def _read_output(switch: str, value: Any) -> OracleOutput:
    table = _table(switch, value, ("kind", "k", "decimals"), "{kind = 'label'}")
    kind = _choice(OutputKind)(f"{switch}.kind", table.get("kind"))
    k, decimals = table.get("k"), table.get("decimals")
    return OracleOutput(kind, _count(f"{switch}.k", k), _count(f"{switch}.decimals", decimals))


def _table(switch: str, value: Any, known: tuple[str, ...], example: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        message = f"{switch} must be a table, such as {example}, not {value!r}."
        raise ThreatModelError(message, switch=switch)
    unknown = sorted(set(value) - set(known))
    if unknown:
        message = f"Unknown key {', '.join(unknown)} in {switch}; it takes {', '.join(known)}."
        raise ThreatModelError(message, switch=switch)
    return value


def _choice(kind: type[_K]) -> Callable[[str, Any], _K]:
    def read(switch: str, value: Any) -> _K:
        known = [choice.value for choice in kind]
        if value not in known:
            message = f"{switch} must be one of {', '.join(known)}, not {value!r}."
            raise ThreatModelError(message, switch=switch.partition(".")[0])
        return kind(value)

    return read


def _count(switch: str, value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise ThreatModelError(f"{switch} must be a whole number, not {value!r}.")
    return value


def _repeats(switch: str, value: Any) -> int:
    count = _count(switch, value)
    if count is None:
        raise ThreatModelError(f"{switch} must be a whole number.")
    return count


def _boolean(switch: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ThreatModelError(f"{switch} must be true or false, not {value!r}.")
    return value


_READERS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "first_mover": _choice(FirstMover),
    "repeats": _repeats,
    "task_knowledge": _choice(TaskKnowledge),
    "training_data": _read_training_data,
    "learning_algorithm": _choice(LearningAlgorithm),
    "architecture": _choice(Architecture),
    "parameters": _choice(Parameters),
    "structure": _choice(DefenseStructure),
    "randomness": _choice(Randomness),
    "probes": _read_probes,
    "output": _read_output,
    "feedback": _choice(Feedback),
    "true_label": _boolean,
}
