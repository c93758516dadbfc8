"""What each side may know: the eleven switches S1-S11, and the four presets.

A :class:`ThreatModel` is stored with a round as versioned JSON, shown as plain sentences and
*enforced*: what a switch withholds is not present in the attack's jail at all.
Threat models are partially ordered (:meth:`ThreatModel.reveals_at_most`): a kill found with less
knowledge counts on every stronger tier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self, TypeVar

from arena.errors import ThreatModelError

SCHEMA_VERSION: Final = 1
BLACK_BOX_SEED_POINTS: Final = 150
PRESET_NAMES: Final = ("white", "grey", "black", "transfer")
CUSTOM: Final = "custom"
"""The name of a threat model that is no preset."""


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


class Switch(NamedTuple):
    """How pages show a switch: the ``field`` of :class:`ThreatModel`, its ``name`` and a plain
    ``sentence``."""

    field: str
    name: str
    sentence: str


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
        for broken, switch, message in _rules(self):
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
        return cls(**_PRESETS[name](queries))

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
            "schema_version": SCHEMA_VERSION,
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
        """The switches that are said in JSON, as values of their types; one by one they are right.

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

    def switches(self) -> list[Switch]:
        """The eleven switches, in order."""
        return [
            Switch("first_mover", "First mover", _first_mover_sentence(self)),
            Switch("task_knowledge", "Task knowledge", _TASK_KNOWLEDGE[self.task_knowledge]),
            Switch("training_data", "Training data", _training_data_sentence(self.training_data)),
            Switch("learning_algorithm", "Learning algorithm", _LEARNING[self.learning_algorithm]),
            Switch("architecture", "Architecture", _ARCHITECTURE[self.architecture]),
            Switch("parameters", "Parameters", _PARAMETERS[self.parameters]),
            Switch("structure", "Defense structure", _STRUCTURE[self.structure]),
            Switch("randomness", "Randomness", _RANDOMNESS[self.randomness]),
            Switch("probes", "Probes", _probes_sentence(self.probes)),
            Switch("output", "Oracle output", _output_sentence(self)),
            Switch("feedback", "Feedback", _FEEDBACK[self.feedback]),
        ]

    def sentence(self) -> str:
        """The vector in one plain sentence.

        "The attacker sees the architecture, not the weights, and may ask 100 probabilities per
        image" is the manner.
        """
        seen, hidden = _seen_and_hidden(self)
        text = f"The attacker sees {_listed(seen)}" if seen else "The attacker sees no part of it"
        if hidden and seen:
            text += f", not {_listed(hidden, 'or')}"
        text += f", and {_asking(self)}"
        if not self.true_label:
            text += "; it is not told the true labels"
        return text + "."


_K = TypeVar("_K", bound=StrEnum)


def _within(mine: int | None, theirs: int | None) -> bool:
    """Whether the bound ``mine`` is no looser than ``theirs``; None is no bound."""
    return theirs is None or (mine is not None and mine <= theirs)


_ORDERED: Final = (
    "task_knowledge",
    "learning_algorithm",
    "architecture",
    "parameters",
    "structure",
    "randomness",
    "feedback",
)


def _rules(m: ThreatModel) -> list[tuple[bool, str, str]]:
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


_PRESETS: Final = {"white": _white, "grey": _grey, "black": _black, "transfer": _transfer}


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
