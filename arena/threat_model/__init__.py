"""What each side may know: the eleven switches S1-S11, and the four presets.

A :class:`ThreatModel` is stored with a round as versioned JSON, shown as plain sentences and
*enforced*: what a switch withholds is not present in the attack's jail at all.
Threat models are partially ordered (:meth:`ThreatModel.reveals_at_most`): a kill found with less
knowledge counts on every stronger tier.
"""

from arena.threat_model.presets import BLACK_BOX_SEED_POINTS, PRESET_NAMES
from arena.threat_model.stored import SCHEMA_VERSION
from arena.threat_model.switches import (
    Architecture,
    DefenseStructure,
    Feedback,
    FirstMover,
    LearningAlgorithm,
    OracleOutput,
    Ordered,
    OutputKind,
    Parameters,
    Probes,
    Randomness,
    TaskKnowledge,
    TrainingData,
    TrainingDataKind,
)
from arena.threat_model.vector import CUSTOM, ThreatModel
from arena.threat_model.words import Switch

__all__ = [
    "BLACK_BOX_SEED_POINTS",
    "CUSTOM",
    "PRESET_NAMES",
    "SCHEMA_VERSION",
    "Architecture",
    "DefenseStructure",
    "Feedback",
    "FirstMover",
    "LearningAlgorithm",
    "OracleOutput",
    "Ordered",
    "OutputKind",
    "Parameters",
    "Probes",
    "Randomness",
    "Switch",
    "TaskKnowledge",
    "ThreatModel",
    "TrainingData",
    "TrainingDataKind",
]
