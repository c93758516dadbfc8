"""The switches S1-S11: what each may say, from revealing least to revealing most."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Ordered(StrEnum):
    """An enum whose members are listed from revealing least to revealing most."""

    @property
    def level(self) -> int:
        return list(type(self)).index(self)


class FirstMover(StrEnum):
    """S1: who commits first."""

    DEFENDER = "defender"
    ATTACKER = "attacker"
    REPEATED = "repeated"


class TaskKnowledge(Ordered):
    """S2: how much of the task's schema the attack receives."""

    NONE = "none"
    INPUT_SPACE = "input_space"
    CLASSES = "classes"
    COST = "cost"


class TrainingDataKind(Ordered):
    """S3: which training data the attack receives."""

    NONE = "none"
    SAMPLES = "samples"
    DISTRIBUTION = "distribution"
    FULL_SET = "set"


class LearningAlgorithm(Ordered):
    """S4: whether the declared family of the learning algorithm is shown."""

    HIDDEN = "hidden"
    FAMILY = "family"


class Architecture(Ordered):
    """S5: whether the attack receives an untrained builder."""

    HIDDEN = "hidden"
    GIVEN = "given"


class Parameters(Ordered):
    """S6: whether the attack receives weights."""

    HIDDEN = "hidden"
    RELATED = "related"
    FULL = "full"


class DefenseStructure(Ordered):
    """S7: what is shown of the defense around the model."""

    HIDDEN = "hidden"
    DESCRIBED = "described"
    SOURCE = "source"


class Randomness(Ordered):
    """S8: what is known of the defense's randomness."""

    SECRET = "secret"  # noqa: S105 -- a switch value, no password
    DISTRIBUTION = "distribution"
    SEED = "seed"


class OutputKind(Ordered):
    """S10: which fields an oracle's reply holds."""

    LABEL = "label"
    TOP_K = "top_k"
    ROUNDED = "rounded"
    PROBABILITIES = "probabilities"
    LOGITS = "logits"


class Feedback(Ordered):
    """S11: what the attack learns of its candidates while it plays; charged as a probe."""

    NONE = "none"
    SUCCESS = "success"
    REPLY = "reply"


@dataclass(frozen=True, slots=True)
class TrainingData:
    """S3. ``samples`` counts points for SAMPLES (and caps DISTRIBUTION where it is given)."""

    kind: TrainingDataKind = TrainingDataKind.NONE
    samples: int | None = None


@dataclass(frozen=True, slots=True)
class Probes:
    """S9. ``total`` and ``per_example`` count rows asked of the oracle; both may bind.

    ``Probes()`` is no probes at all; ``Probes(unlimited=True)`` is bounded by time alone.
    """

    total: int | None = None
    per_example: int | None = None
    unlimited: bool = False

    @property
    def none(self) -> bool:
        return not self.unlimited and self.total is None and self.per_example is None

    def limit(self, examples: int) -> float:
        """Probes granted to a round of ``examples`` examples; ``inf`` where only time binds."""
        if self.unlimited:
            return float("inf")
        if self.none:
            return 0
        bounds = []
        if self.total is not None:
            bounds.append(self.total)
        if self.per_example is not None:
            bounds.append(self.per_example * examples)
        return min(bounds)

    def at_most(self, other: Self) -> bool:
        """Whether these probes are granted by ``other`` too, whatever the number of examples."""
        if self.none or other.unlimited:
            return True
        if self.unlimited or other.none:
            return False
        return _within(self.total, other.total) and _within(self.per_example, other.per_example)


@dataclass(frozen=True, slots=True)
class OracleOutput:
    """S10. ``k`` for TOP_K (labels, best first), ``decimals`` for ROUNDED probabilities."""

    kind: OutputKind = OutputKind.LABEL
    k: int | None = None
    decimals: int | None = None

    def at_most(self, other: Self) -> bool:
        if self.kind is other.kind:
            return _within(self.k, other.k) and _within(self.decimals, other.decimals)
        return self.kind.level < other.kind.level


def _within(mine: int | None, theirs: int | None) -> bool:
    """Whether the bound ``mine`` is no looser than ``theirs``; None is no bound."""
    return theirs is None or (mine is not None and mine <= theirs)
