"""Threat models in plain sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

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

if TYPE_CHECKING:
    from arena.threat_model.vector import ThreatModel


class Switch(NamedTuple):
    """How pages show a switch: the ``field`` of :class:`ThreatModel`, its ``name`` and a plain
    ``sentence``."""

    field: str
    name: str
    sentence: str


def switches_of(m: ThreatModel) -> list[Switch]:
    """The eleven switches, in order."""
    return [
        Switch("first_mover", "First mover", _first_mover_sentence(m)),
        Switch("task_knowledge", "Task knowledge", _TASK_KNOWLEDGE[m.task_knowledge]),
        Switch("training_data", "Training data", _training_data_sentence(m.training_data)),
        Switch("learning_algorithm", "Learning algorithm", _LEARNING[m.learning_algorithm]),
        Switch("architecture", "Architecture", _ARCHITECTURE[m.architecture]),
        Switch("parameters", "Parameters", _PARAMETERS[m.parameters]),
        Switch("structure", "Defense structure", _STRUCTURE[m.structure]),
        Switch("randomness", "Randomness", _RANDOMNESS[m.randomness]),
        Switch("probes", "Probes", _probes_sentence(m.probes)),
        Switch("output", "Oracle output", _output_sentence(m)),
        Switch("feedback", "Feedback", _FEEDBACK[m.feedback]),
    ]


def sentence_of(m: ThreatModel) -> str:
    """The vector in one plain sentence.

    "The attacker sees the architecture, not the weights, and may ask 100 probabilities per
    image" is the manner.
    """
    seen, hidden = _seen_and_hidden(m)
    text = f"The attacker sees {_listed(seen)}" if seen else "The attacker sees no part of it"
    if hidden and seen:
        text += f", not {_listed(hidden, 'or')}"
    text += f", and {_asking(m)}"
    if not m.true_label:
        text += "; it is not told the true labels"
    return text + "."


_TASK_KNOWLEDGE: Final = {
    TaskKnowledge.NONE: "The attacker is told nothing about the task.",
    TaskKnowledge.INPUT_SPACE: "The attacker knows the input space.",
    TaskKnowledge.CLASSES: "The attacker knows the input space and the list of classes.",
    TaskKnowledge.COST: "The attacker knows input space, classes and the defender's costs.",
}
_LEARNING: Final = {
    LearningAlgorithm.HIDDEN: "The learning algorithm is hidden.",
    LearningAlgorithm.FAMILY: "The attacker is told the family of the learning algorithm.",
}
_ARCHITECTURE: Final = {
    Architecture.HIDDEN: "The architecture is hidden.",
    Architecture.GIVEN: "The attacker receives the untrained architecture.",
}
_PARAMETERS: Final = {
    Parameters.HIDDEN: "The weights are hidden.",
    Parameters.RELATED: "The attacker receives related models that the house trained.",
    Parameters.FULL: "The attacker receives the weights and exact gradients.",
}
_STRUCTURE: Final = {
    DefenseStructure.HIDDEN: "The structure of the defense is hidden.",
    DefenseStructure.DESCRIBED: "The attacker reads the defense's own description.",
    DefenseStructure.SOURCE: "The attacker reads the defense's source code.",
}
_RANDOMNESS: Final = {
    Randomness.SECRET: "Nothing is said about the defense's randomness.",
    Randomness.DISTRIBUTION: "The attacker knows how the defense draws, not what it draws.",
    Randomness.SEED: "The attacker knows the very seeds of the defense.",
}
_FEEDBACK: Final = {
    Feedback.NONE: "No feedback on candidates.",
    Feedback.SUCCESS: "A submitted candidate may be checked for success, at the price of a probe.",
    Feedback.REPLY: "A submitted candidate may be checked for the full reply, charged as a probe.",
}


def _first_mover_sentence(m: ThreatModel) -> str:
    if m.first_mover is FirstMover.DEFENDER:
        return "The defender commits first; the attacker moves after."
    if m.first_mover is FirstMover.ATTACKER:
        return "The attacker commits first; the defender moves after."
    return f"The sides move in turn, {m.repeats} times."


def _training_data_sentence(data: TrainingData) -> str:
    if data.kind is TrainingDataKind.SAMPLES:
        return f"The attacker receives {data.samples:,} labelled points from the distribution."
    return {
        TrainingDataKind.NONE: "The attacker receives no training data.",
        TrainingDataKind.DISTRIBUTION: "The attacker receives data from the same distribution, "
        "disjoint from what is judged.",
        TrainingDataKind.FULL_SET: "The attacker receives the very training set.",
    }[data.kind]


def _probes_sentence(probes: Probes) -> str:
    if probes.none:
        return "No probes: the attacker never sees the defense answer."
    if probes.unlimited:
        return "Probes are bounded by time alone."
    parts = []
    if probes.per_example is not None:
        parts.append(f"{probes.per_example:,} per example")
    if probes.total is not None:
        parts.append(f"{probes.total:,} in total")
    return f"The attacker may ask {' and '.join(parts)}."


def _output_sentence(m: ThreatModel) -> str:
    if m.probes.none:
        return "Nothing is answered."
    return f"A reply holds {_reply(m.output, 1)}."


def _reply(output: OracleOutput, count: float) -> str:
    one = count == 1
    if output.kind is OutputKind.TOP_K:
        return f"the {output.k} best labels"
    if output.kind is OutputKind.ROUNDED:
        return f"probabilities rounded to {output.decimals} decimals"
    if output.kind is OutputKind.LABEL:
        return "the label alone" if one else "labels"
    return output.kind.value


def _seen_and_hidden(m: ThreatModel) -> tuple[list[str], list[str]]:
    parts = [
        ("the architecture", m.architecture is Architecture.GIVEN),
        ("the weights", m.parameters is Parameters.FULL),
        ("the source", m.structure is DefenseStructure.SOURCE),
        ("its description", m.structure is DefenseStructure.DESCRIBED),
        ("related models", m.parameters is Parameters.RELATED),
        ("the training set", m.training_data.kind is TrainingDataKind.FULL_SET),
        ("data from the distribution", m.training_data.kind is TrainingDataKind.DISTRIBUTION),
        (
            f"{m.training_data.samples or 0:,} sample points",
            m.training_data.kind is TrainingDataKind.SAMPLES,
        ),
        ("the random seeds", m.randomness is Randomness.SEED),
    ]
    seen = [name for name, given in parts if given]
    hidden = [name for name, given in parts[:2] if not given]
    return seen, hidden


def _asking(m: ThreatModel) -> str:
    if m.probes.none:
        return "may ask nothing"
    if m.probes.unlimited:
        return f"may ask any number of {_reply(m.output, 2)}"
    bounds = []
    if m.probes.per_example is not None:
        bounds.append(f"{m.probes.per_example:,} {_reply(m.output, 2)} per example")
    if m.probes.total is not None:
        unit = "" if bounds else f" {_reply(m.output, 2)}"
        bounds.append(f"{m.probes.total:,}{unit} in total")
    return f"may ask {' and '.join(bounds)}"


def _listed(items: list[str], word: str = "and") -> str:
    if len(items) <= 1:
        return "".join(items)
    return f"{', '.join(items[:-1])} {word} {items[-1]}"
