"""The whole vector: what it grants, how two compare, how it is stored and told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from arena.errors import ThreatModelError
from arena.threat_model import stored, words
from arena.threat_model.presets import PRESET_NAMES, PRESETS
from arena.threat_model.rules import rules
from arena.threat_model.switches import (
    Architecture,
    DefenseStructure,
    Feedback,
    FirstMover,
    LearningAlgorithm,
    OracleOutput,
    Parameters,
    Probes,
    Randomness,
    TaskKnowledge,
    TrainingData,
)

CUSTOM: Final = "custom"
"""The name of a threat model that is no preset."""
_ORDERED: Final = (
    "task_knowledge",
    "learning_algorithm",
    "architecture",
    "parameters",
    "structure",
    "randomness",
    "feedback",
)


@dataclass(frozen=True, slots=True)
class ThreatModel:
    """The whole vector. Presets: ``ThreatModel.preset("white")`` and friends."""

    first_mover: FirstMover = FirstMover.DEFENDER
    repeats: int = 1
    task_knowledge: TaskKnowledge = TaskKnowledge.CLASSES
    training_data: TrainingData = field(default_factory=TrainingData)
    learning_algorithm: LearningAlgorithm = LearningAlgorithm.HIDDEN
    architecture: Architecture = Architecture.HIDDEN
    parameters: Parameters = Parameters.HIDDEN
    structure: DefenseStructure = DefenseStructure.HIDDEN
    randomness: Randomness = Randomness.SECRET
    probes: Probes = field(default_factory=Probes)
    output: OracleOutput = field(default_factory=OracleOutput)
    feedback: Feedback = Feedback.NONE
    true_label: bool = True

    def __post_init__(self) -> None:
        for broken, switch, message in rules(self):
            if broken:
                raise ThreatModelError(message, switch=switch)

    # ── presets ────────────────────────────────────────────────────────────────────────────

    @classmethod
    def preset(cls, name: str, *, queries: int | None = None) -> Self:
        """One of ``white``, ``grey``, ``black``, ``transfer``.

        ``queries`` sets the probes per example of grey and black (default 100 and 1,000).
        """
        if name not in PRESET_NAMES:
            known = ", ".join(PRESET_NAMES)
            raise ThreatModelError(f"There is no preset '{name}'; choose one of {known}.")
        if queries is not None and name in ("white", "transfer"):
            raise ThreatModelError(f"The {name} preset takes no number of queries; leave it out.")
        return cls(**PRESETS[name](queries))

    @classmethod
    def white(cls) -> Self:
        return cls.preset("white")

    @classmethod
    def grey(cls, queries: int | None = None) -> Self:
        return cls.preset("grey", queries=queries)

    @classmethod
    def black(cls, queries: int | None = None) -> Self:
        return cls.preset("black", queries=queries)

    @classmethod
    def transfer(cls) -> Self:
        return cls.preset("transfer")

    @property
    def name(self) -> str:
        """The preset this vector equals (probe counts aside), or :data:`CUSTOM`."""
        for preset in PRESET_NAMES:
            if self.is_like(type(self).preset(preset)):
                return preset
        return CUSTOM

    def is_like(self, other: Self) -> bool:
        """Whether they are one, but for how many probes there are and for ``true_label``."""
        if self.probes.none != other.probes.none:
            return False
        return replace(other, probes=self.probes, true_label=self.true_label) == self

    # ── what follows from the switches ─────────────────────────────────────────────────────

    @property
    def gives_gradients(self) -> bool:
        """The white-box handle: ``logits`` and ``gradient`` operations free of query charge."""
        return self.parameters is Parameters.FULL

    @property
    def reveals_package(self) -> bool:
        """Whether anything of the defense's own package lies in the attack's jail."""
        return (
            self.parameters is Parameters.FULL
            or self.architecture is Architecture.GIVEN
            or self.structure is DefenseStructure.SOURCE
        )

    def reveals_at_most(self, other: Self) -> bool:
        """Partial order: everything this vector grants, ``other`` grants too."""
        return (
            self.first_mover is other.first_mover
            and self.repeats <= other.repeats
            and all(getattr(self, s).level <= getattr(other, s).level for s in _ORDERED)
            and self.training_data.kind.level <= other.training_data.kind.level
            and self.probes.at_most(other.probes)
            and (self.probes.none or self.output.at_most(other.output))
            and self.true_label <= other.true_label
        )

    # ── stored and shown ───────────────────────────────────────────────────────────────────

    def to_json(self) -> dict[str, Any]:
        return {
            "schema_version": stored.SCHEMA_VERSION,
            "first_mover": self.first_mover.value,
            "repeats": self.repeats,
            "task_knowledge": self.task_knowledge.value,
            "training_data": {
                "kind": self.training_data.kind.value,
                "samples": self.training_data.samples,
            },
            "learning_algorithm": self.learning_algorithm.value,
            "architecture": self.architecture.value,
            "parameters": self.parameters.value,
            "structure": self.structure.value,
            "randomness": self.randomness.value,
            "probes": {
                "total": self.probes.total,
                "per_example": self.probes.per_example,
                "unlimited": self.probes.unlimited,
            },
            "output": {
                "kind": self.output.kind.value,
                "k": self.output.k,
                "decimals": self.output.decimals,
            },
            "feedback": self.feedback.value,
            "true_label": self.true_label,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`; unknown keys, versions and values are refused."""
        return cls(**cls.read(data))

    @staticmethod
    def read(data: Mapping[str, Any]) -> dict[str, Any]:
        """The switches that are said in JSON (:func:`arena.threat_model.stored.read`)."""
        return stored.read(data)

    def switches(self) -> list[words.Switch]:
        """The eleven switches, in order."""
        return words.switches_of(self)

    def sentence(self) -> str:
        """The vector in one plain sentence (:func:`arena.threat_model.words.sentence_of`)."""
        return words.sentence_of(self)
