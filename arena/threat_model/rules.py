"""Switches that contradict one another, and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arena.threat_model.switches import (
    Architecture,
    Feedback,
    FirstMover,
    OutputKind,
    Parameters,
    TaskKnowledge,
    TrainingDataKind,
)

if TYPE_CHECKING:
    from arena.threat_model.vector import ThreatModel


def rules(m: ThreatModel) -> list[tuple[bool, str, str]]:
    """(broken, the switch to mend, the sentence), in the order in which they are told."""
    data, probes, output = m.training_data, m.probes, m.output
    counts = (probes.total, probes.per_example, data.samples)
    return [
        (
            any(count is not None and count < 1 for count in counts),
            "probes",
            "Numbers of probes and samples must be at least 1; leave one out for none.",
        ),
        (
            probes.unlimited and (probes.total is not None or probes.per_example is not None),
            "probes",
            "Probes are either unlimited or counted; remove one of the two.",
        ),
        (
            data.kind is TrainingDataKind.SAMPLES and data.samples is None,
            "training_data",
            "Training data 'samples' needs the number of samples.",
        ),
        (
            data.samples is not None
            and data.kind in (TrainingDataKind.NONE, TrainingDataKind.FULL_SET),
            "training_data",
            f"A number of samples makes no sense with training data '{data.kind.value}'.",
        ),
        (
            (output.kind is OutputKind.TOP_K) != (output.k is not None)
            or (output.k is not None and output.k < 1),
            "output",
            "Oracle output 'top_k' needs k >= 1, and no other output takes k.",
        ),
        (
            (output.kind is OutputKind.ROUNDED) != (output.decimals is not None)
            or (output.decimals is not None and not 0 <= output.decimals <= 7),
            "output",
            "Oracle output 'rounded' needs decimals from 0 to 7, and no other output takes them.",
        ),
        (
            m.feedback is not Feedback.NONE and probes.none,
            "feedback",
            "Feedback on candidates is charged as a probe: grant probes, or no feedback.",
        ),
        (
            m.parameters is Parameters.FULL and m.architecture is Architecture.HIDDEN,
            "architecture",
            "Full parameters without the architecture cannot be used: give the architecture too.",
        ),
        (
            m.task_knowledge is TaskKnowledge.NONE and m.true_label,
            "true_label",
            (
                "Without task knowledge the attack cannot read labels: set true_label = false or "
                "reveal at least the classes."
            ),
        ),
        (
            m.task_knowledge.level < TaskKnowledge.CLASSES.level
            and data.kind is not TrainingDataKind.NONE,
            "task_knowledge",
            "Training data carries labels: reveal at least the classes (task_knowledge).",
        ),
        (
            m.repeats < 1 or (m.repeats > 1 and m.first_mover is not FirstMover.REPEATED),
            "repeats",
            "repeats must be at least 1, and more than 1 needs first_mover = 'repeated'.",
        ),
    ]
