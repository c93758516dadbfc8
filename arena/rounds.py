"""A round: one game under one threat model and budget; what the organizer sets.

:class:`RoundSpec` is the engine's whole knowledge of a round. It is stored with the round as
versioned JSON and travels to the runner with every match.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final, Self

from arena.errors import ThreatModelError
from arena.threat_model import (
    CUSTOM,
    PRESET_NAMES,
    Architecture,
    DefenseStructure,
    Feedback,
    FirstMover,
    LearningAlgorithm,
    Parameters,
    Probes,
    TaskKnowledge,
    ThreatModel,
)

SCHEMA_VERSION: Final = 1
MOST_REPLAYS: Final = 10_000


class GameName(StrEnum):
    """The kinds of round; one file each in ``arena/games/``."""

    EVASION = "evasion"
    MINIMUM_NORM = "minimum_norm"
    TRANSFER = "transfer"
    POISONING = "poisoning"
    BACKDOOR = "backdoor"
    TARGETED_POISONING = "targeted_poisoning"
    ONLINE_POISONING = "online_poisoning"
    EXTRACTION = "extraction"
    CERTIFICATION = "certification"
    REPLAY = "replay"
    ATTACKER_FIRST = "attacker_first"
    TREND_POISONING = "trend_poisoning"
    GOOD_WORDS = "good_words"


MOVERS: Final = {
    GameName.ATTACKER_FIRST: (FirstMover.ATTACKER,),
    GameName.POISONING: (FirstMover.DEFENDER, FirstMover.ATTACKER),
}
"""Who may commit first, by game; the defender in those that are not named."""


POISONED: Final = frozenset(
    (
        GameName.POISONING,
        GameName.BACKDOOR,
        GameName.TARGETED_POISONING,
        GameName.ONLINE_POISONING,
    )
)
"""Games about training data: poisoners against learners."""
IN_A_BALL: Final = frozenset(
    (
        GameName.EVASION,
        GameName.TRANSFER,
        GameName.CERTIFICATION,
        GameName.REPLAY,
        GameName.ATTACKER_FIRST,
        GameName.TREND_POISONING,
        GameName.GOOD_WORDS,
    )
)
"""Games that are played within balls of given sizes."""


class Norm(StrEnum):
    """What bounds a change: a norm, or what stands in its place (docs/rules.md, "Norms").

    A *patch* is measured on the picture, as a norm is. *Spatial* and *corruption* are chosen by
    what the attack says of a change, and the referee alone makes the picture (:data:`MOVES`).
    """

    LINF = "linf"
    L2 = "l2"
    L1 = "l1"
    L0 = "l0"
    PATCH = "patch"
    SPATIAL = "spatial"
    CORRUPTION = "corruption"


MOVES: Final = frozenset((Norm.SPATIAL, Norm.CORRUPTION))
"""The attack hands in what is to be done to an example, never pixels."""
BEYOND_BALLS: Final = MOVES | {Norm.PATCH}
"""An attack plays these only where its manifest names them."""
SEVERITIES: Final = 5
USUAL_LEVELS: Final = {Norm.PATCH: (0.05,), Norm.SPATIAL: (30.0,), Norm.CORRUPTION: (3.0,)}
"""Where a task names none of its own."""
PIXELS_PER_DEGREE: Final = 0.1
"""Of a spatial round that sets no shifts: 3 pixels at 30 degrees (Engstrom et al. 2017)."""


class Goal(StrEnum):
    UNTARGETED = "untargeted"
    TARGETED = "targeted"


class TargetRule(StrEnum):
    """How targets are chosen in a targeted round; the same for all attacks."""

    RANDOM = "random"
    LEAST_LIKELY = "least_likely"
    ALL = "all"


class PoisonMode(StrEnum):
    ADD = "add"
    REPLACE = "replace"


class SplitName(StrEnum):
    PRACTICE = "practice"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one side may use in one match; checked from outside the jail.

    ``wall_seconds`` starts when both sides said that they are ready; loading has its own clock.
    ``query_seconds`` is the defense's longest time for one request of at most 256 rows.
    """

    wall_seconds: float = 120.0
    cpu_seconds: float = 120.0
    load_seconds: float = 60.0
    query_seconds: float = 10.0
    memory_mib: int = 2048
    disk_mib: int = 64
    threads: int = 1
    open_files: int = 64
    log_kib: int = 64

    def __post_init__(self) -> None:
        for name in (limit.name for limit in fields(self)):
            value = getattr(self, name)
            if not (_is_number(value) and 0 < value < float("inf")):
                raise ThreatModelError(f"{name} must be a positive number, not {value!r}.")

    @classmethod
    def from_json(cls, name: str, data: Any) -> Self:
        """From a table; ``name`` is what the round calls it."""
        known = [limit.name for limit in fields(cls)]
        if not isinstance(data, Mapping):
            raise ThreatModelError(
                f"{name} must be a table, such as {{wall_seconds = 60}}, not {data!r}."
            )
        unknown = sorted(set(data) - set(known))
        if unknown:
            raise ThreatModelError(
                f"Unknown key {', '.join(unknown)} in {name}; it takes {', '.join(known)}."
            )
        return cls(**data)


@dataclass(frozen=True, slots=True)
class RoundSpec:
    """One game under one threat model and budget.

    ``epsilons``: ascending; several make a curve; empty for minimum-norm rounds. Of a patch they
    are shares of the picture, of a spatial round degrees, of a corruption severities 1 to 5.
    ``shifts``: spatial rounds, the most pixels of a shift at each epsilon; empty for the usual.
    ``examples``: how many examples of the split are judged (per class balanced where it can be).
    ``repeats``: how often a stochastic defense is judged per input (k).
    ``published``: how many examples, beside those that are judged, the attack of an
    attacker-first round publishes.
    ``replays``: how many answers a replay round plays of what the attack proposes (N).
    ``shares``: poisoned shares of the training set; ``seeds``: paired trainings per share.
    ``trigger_area``: the share of all features that the patch of a backdoor may set; with an
    epsilon the trigger is added instead, and bounded in the round's norm.
    ``targets``: how many chosen points a targeted poisoning round is about; with an epsilon its
    poison is clean-label, within that of points of the training set.
    ``batches``: how many batches the training set arrives in, in an online poisoning round.
    """

    game: GameName
    task: str
    threat_model: ThreatModel
    norm: Norm = Norm.LINF
    epsilons: tuple[float, ...] = ()
    shifts: tuple[float, ...] = ()
    goal: Goal = Goal.UNTARGETED
    target_rule: TargetRule = TargetRule.RANDOM
    split: SplitName = SplitName.PRACTICE
    examples: int = 200
    repeats: int = 10
    replays: int = 100
    published: int = 200
    shares: tuple[float, ...] = ()
    poison_mode: PoisonMode = PoisonMode.ADD
    seeds: int = 5
    trigger_area: float = 0.02
    targets: int = 5
    batches: int = 10
    attack_limits: Limits = field(default_factory=Limits)
    defense_limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for broken, setting, message in _rules(self):
            if broken:
                raise ThreatModelError(message, switch=setting)

    @property
    def drawn(self) -> int:
        """How many examples of the split the round draws: the judged ones, and the published."""
        return self.examples + (self.published if self.game is GameName.ATTACKER_FIRST else 0)

    @property
    def discloses_defense(self) -> bool:
        """Whether the attack's jail holds the defense's package or its source. An attack that
        moves first is shown the house's reference model instead."""
        model = self.threat_model
        shown = model.parameters is Parameters.FULL or model.structure is DefenseStructure.SOURCE
        return shown and self.game is not GameName.ATTACKER_FIRST

    @property
    def needs_reference(self) -> bool:
        """Whether the house's reference model takes part: attacked in the place of defenses that
        are not there yet, or asked for the least likely class."""
        least = self.target_rule is TargetRule.LEAST_LIKELY
        return self.game is GameName.ATTACKER_FIRST or (self.goal is Goal.TARGETED and least)

    @property
    def tier(self) -> tuple[str, str, str, str]:
        """Rows that may be compared share task, game, goal and norm; tiers nest within."""
        return (self.task, self.game.value, self.goal.value, self.norm.value)

    @property
    def preset(self) -> str:
        """The preset that this game reads as the round's threat model, or ``custom``."""
        for name in PRESET_NAMES:
            if self.threat_model.is_like(threat_model_for(self.game, ThreatModel.preset(name))):
                return name
        return CUSTOM

    def shift_at(self, epsilon: float | None) -> float:
        """Pixels that a spatial change may shift by, beside ``epsilon`` degrees; else 0."""
        if self.norm is not Norm.SPATIAL or epsilon is None:
            return 0.0
        shifts = self.shifts or tuple(PIXELS_PER_DEGREE * e for e in self.epsilons)
        within = (s for e, s in zip(self.epsilons, shifts, strict=True) if e <= epsilon + 1e-9)
        return max(within, default=0.0)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        data["threat_model"] = self.threat_model.to_json()
        data["schema_version"] = SCHEMA_VERSION
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`; unknown keys and values are refused."""
        if data.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
            raise ThreatModelError(
                f"Round schema_version {data['schema_version']!r} is not known; "
                f"this arena reads version {SCHEMA_VERSION}."
            )
        values = {key: value for key, value in data.items() if key != "schema_version"}
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ThreatModelError(f"Unknown key {', '.join(unknown)} in the round.")
        missing = [name for name in ("game", "task", "threat_model") if name not in values]
        if missing:
            raise ThreatModelError(f"The round must say {', '.join(missing)}.")
        return cls(**{key: _read(key, value) for key, value in values.items()})


def threat_model_for(game: GameName | str, model: ThreatModel) -> ThreatModel:
    """A preset as this game reads it: an attack that moves first does, whatever the preset says;
    a poisoner of trends has nothing to ask; a thief has no examples, so its probes count in total.
    """
    if game == GameName.TREND_POISONING:
        return replace(model, probes=Probes(), feedback=Feedback.NONE)
    if game == GameName.ATTACKER_FIRST:
        return replace(model, first_mover=FirstMover.ATTACKER, repeats=1)
    probes = model.probes
    if game != GameName.EXTRACTION or probes.per_example is None:
        return model
    return replace(model, probes=Probes(total=int(probes.limit(1))))


def norm_for(game: GameName | str, norm: str) -> str:
    """The name of a round's norm as this game reads it, whatever is usual: words are counted."""
    return Norm.L0.value if game == GameName.GOOD_WORDS else norm


_ENUMS: Final[dict[str, Any]] = {
    "game": GameName,
    "norm": Norm,
    "goal": Goal,
    "target_rule": TargetRule,
    "split": SplitName,
    "poison_mode": PoisonMode,
}


_WHOLE: Final = ("examples", "repeats", "replays", "published", "seeds", "targets", "batches")


def _read(key: str, value: Any) -> Any:
    if key in _ENUMS:
        known = [choice.value for choice in _ENUMS[key]]
        if value not in known:
            message = f"{key} must be one of {', '.join(known)}, not {value!r}."
            raise ThreatModelError(message, switch=key)
        return _ENUMS[key](value)
    if key == "threat_model":
        return value if isinstance(value, ThreatModel) else ThreatModel.from_json(value)
    if key in ("attack_limits", "defense_limits"):
        return value if isinstance(value, Limits) else Limits.from_json(key, value)
    if key in ("epsilons", "shares", "shifts"):
        return _numbers(key, value)
    if key == "trigger_area" and not _is_number(value):
        raise ThreatModelError(f"{key} must be a number, not {value!r}.", switch=key)
    if key in _WHOLE and type(value) is not int:
        raise ThreatModelError(f"{key} must be a whole number, not {value!r}.", switch=key)
    return value


def _numbers(key: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or not all(map(_is_number, value)):
        message = f"{key} must be a list of numbers, such as [0.1, 0.2], not {value!r}."
        raise ThreatModelError(message, switch=key)
    return tuple(float(item) for item in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rules(r: RoundSpec) -> list[tuple[bool, str, str]]:
    """(broken, the setting to mend, the sentence), in the order in which they are told."""
    poisoning = r.game in POISONED
    return [
        (
            r.game in IN_A_BALL and not r.epsilons,
            "epsilons",
            "A round within a ball needs at least one epsilon.",
        ),
        (
            r.game is GameName.MINIMUM_NORM and bool(r.epsilons),
            "epsilons",
            "A minimum-norm round takes no epsilon: it is scored by distance.",
        ),
        (
            any(not 0 < e < float("inf") for e in r.epsilons)
            or list(r.epsilons) != sorted(set(r.epsilons)),
            "epsilons",
            "Epsilons must be positive, finite, distinct and in ascending order.",
        ),
        (
            poisoning and not r.shares,
            "shares",
            "A round about poison needs at least one poisoned share.",
        ),
        (
            any(not 0 < s < 1 for s in r.shares) or list(r.shares) != sorted(set(r.shares)),
            "shares",
            "Poisoned shares must lie between 0 and 1, distinct and in ascending order.",
        ),
        (
            poisoning and r.seeds < 5,
            "seeds",
            "A round about poison needs at least 5 paired seeds.",
        ),
        (
            poisoning and r.goal is Goal.TARGETED,
            "goal",
            "In rounds about poison targets are drawn; choose goal = 'untargeted'.",
        ),
        (
            r.game is GameName.BACKDOOR and len(r.epsilons) > 1,
            "epsilons",
            "A backdoor round takes one epsilon, for a trigger that is added, or none for a patch.",
        ),
        (
            not 0 < r.trigger_area <= 1,
            "trigger_area",
            "trigger_area is a share of the features: 0 < area <= 1.",
        ),
        *_training_rules(r),
        *_extraction_rules(r),
        *_change_rules(r),
        *_attacker_first_rules(r),
        *_trend_rules(r),
        *_good_word_rules(r),
        (
            r.game is GameName.CERTIFICATION and r.goal is Goal.TARGETED,
            "goal",
            "A certificate says that no class but one is reached; choose goal = 'untargeted'.",
        ),
        (
            r.threat_model.first_mover not in movers_of(r.game),
            "first_mover",
            (
                f"In {r.game.value} rounds the {movers_of(r.game)[0].value} commits first: choose "
                f"first_mover = {' or '.join(repr(m.value) for m in movers_of(r.game))}."
            ),
        ),
        (r.examples < 1, "examples", "A round needs at least one example."),
        (r.repeats < 1, "repeats", "repeats must be at least 1."),
        (
            not 1 <= r.replays <= MOST_REPLAYS,
            "replays",
            f"replays lie between 1 and {MOST_REPLAYS:,}.",
        ),
        (
            r.game is GameName.TRANSFER and not r.threat_model.probes.none,
            "probes",
            "A transfer round grants no probes; use the evasion game for rounds with probes.",
        ),
        (
            r.game is GameName.TRANSFER and r.threat_model.parameters is Parameters.FULL,
            "parameters",
            "A transfer round withholds the weights; use the evasion game for white-box rounds.",
        ),
    ]


def _good_word_rules(r: RoundSpec) -> list[tuple[bool, str, str]]:
    adds = r.game is GameName.GOOD_WORDS
    return [
        (
            adds and r.norm is not Norm.L0,
            "norm",
            "Good words are counted: choose norm = 'l0', and epsilons as numbers of words.",
        ),
        (
            adds and any(e != int(e) for e in r.epsilons if e < float("inf")),
            "epsilons",
            "The epsilons of a good-word round are numbers of words: give whole numbers.",
        ),
        (
            adds and r.goal is Goal.TARGETED,
            "goal",
            "Spam passes or it does not: choose goal = 'untargeted'.",
        ),
    ]


def is_used(used_by: Mapping[str, Collection[GameName]], game: str, name: str) -> bool:
    """By a table of the games that use something; every game uses what is not in it.

    A game that is none is told elsewhere, with all that is wrong.
    """
    return game not in list(GameName) or name not in used_by or game in used_by[name]


def movers_of(game: GameName) -> tuple[FirstMover, ...]:
    """Who may commit first in this game, the usual one first."""
    return MOVERS.get(game, (FirstMover.DEFENDER,))


def _training_rules(r: RoundSpec) -> list[tuple[bool, str, str]]:
    targeted, online = r.game is GameName.TARGETED_POISONING, r.game is GameName.ONLINE_POISONING
    blind = r.game is GameName.POISONING and r.threat_model.first_mover is FirstMover.ATTACKER
    return [
        (
            targeted and len(r.epsilons) > 1,
            "epsilons",
            "A targeted poisoning round takes one epsilon, for clean-label poison, or none.",
        ),
        (
            not 1 <= r.targets <= 100,
            "targets",
            "A targeted poisoning round has 1 to 100 chosen points.",
        ),
        (
            targeted and r.targets >= r.examples,
            "targets",
            "Chosen points are some of the examples, beside others: choose targets < examples.",
        ),
        (
            not 2 <= r.batches <= 200,
            "batches",
            "An online poisoning round has 2 to 200 batches.",
        ),
        (
            online and len(r.shares) > 1,
            "shares",
            "An online poisoning round takes one poisoned share: its curve is over time.",
        ),
        (
            blind and len(r.shares) > 1,
            "shares",
            "An attacker who moves first publishes one poisoned set: choose one share.",
        ),
        (
            blind and not _shows_nothing(r.threat_model),
            "first_mover",
            (
                "An attacker who moves first has no learner to look at or to probe: grant no "
                "probes, hide parameters, related models, family, architecture and structure."
            ),
        ),
    ]


def _attacker_first_rules(r: RoundSpec) -> list[tuple[bool, str, str]]:
    first = r.game is GameName.ATTACKER_FIRST
    return [
        (r.published < 1, "published", "published must be at least 1."),
        (first and r.seeds < 5, "seeds", "An attacker-first round needs at least 5 paired seeds."),
        (
            first and r.goal is Goal.TARGETED,
            "goal",
            "An attacker-first round is untargeted; choose goal = 'untargeted'.",
        ),
    ]


def _trend_rules(r: RoundSpec) -> list[tuple[bool, str, str]]:
    trend = r.game is GameName.TREND_POISONING
    return [
        (
            trend and not r.threat_model.probes.none,
            "probes",
            "A trend round grants no probes: the learner's code is all that there is to look at.",
        ),
        (
            trend and r.goal is Goal.TARGETED,
            "goal",
            "A trend is removed, not aimed: choose goal = 'untargeted'.",
        ),
        (
            trend and r.norm is Norm.L0 and any(e != int(e) for e in r.epsilons),
            "epsilons",
            "In L0 an epsilon counts points of a series: give whole numbers.",
        ),
    ]


def _shows_nothing(m: ThreatModel) -> bool:
    """Nothing of the defense: it has not been chosen yet."""
    return (
        m.probes.none
        and m.parameters is Parameters.HIDDEN
        and m.structure is DefenseStructure.HIDDEN
        and m.architecture is Architecture.HIDDEN
        and m.learning_algorithm is LearningAlgorithm.HIDDEN
    )


def _change_rules(r: RoundSpec) -> list[tuple[bool, str, str]]:
    spatial, common = r.norm is Norm.SPATIAL, r.norm is Norm.CORRUPTION
    others = (GameName.EXTRACTION, GameName.TREND_POISONING)
    perturbs = r.game not in POISONED and r.game not in others
    severities = tuple(map(float, range(1, SEVERITIES + 1)))
    return [
        (
            r.norm in BEYOND_BALLS and not perturbs,
            "norm",
            "Patches, spatial changes and corruptions are for rounds that perturb examples.",
        ),
        (
            r.norm in MOVES and r.game in (GameName.MINIMUM_NORM, GameName.CERTIFICATION),
            "norm",
            "A spatial change or a corruption has no distance: play evasion or transfer.",
        ),
        (
            r.norm is Norm.PATCH and any(e > 1 for e in r.epsilons),
            "epsilons",
            "The epsilons of a patch are shares of the picture: at most 1.",
        ),
        (
            spatial and any(e > 180 for e in r.epsilons),
            "epsilons",
            "The epsilons of a spatial round are degrees: at most 180.",
        ),
        (
            common and any(e not in severities for e in r.epsilons),
            "epsilons",
            "The epsilons of a corruption round are severities: 1, 2, 3, 4 or 5.",
        ),
        (bool(r.shifts) and not spatial, "shifts", "Shifts are for rounds with norm = 'spatial'."),
        (
            bool(r.shifts) and len(r.shifts) != len(r.epsilons),
            "shifts",
            "Give one shift in pixels for each epsilon, or none for a tenth of a pixel a degree.",
        ),
        (
            any(not 0 <= s < float("inf") for s in r.shifts) or list(r.shifts) != sorted(r.shifts),
            "shifts",
            "Shifts are pixels, not negative and not falling from one epsilon to the next.",
        ),
    ]


def _extraction_rules(r: RoundSpec) -> list[tuple[bool, str, str]]:
    steals, model = r.game is GameName.EXTRACTION, r.threat_model
    probes = model.probes
    shown = model.parameters is Parameters.FULL or model.structure is DefenseStructure.SOURCE
    return [
        (
            steals and (probes.total is None or probes.per_example is not None),
            "probes",
            (
                "An extraction round counts its probes in total, since a thief has no examples: "
                "choose a black or grey box, or probes in total alone."
            ),
        ),
        (
            steals and model.task_knowledge is TaskKnowledge.NONE,
            "task_knowledge",
            "An extraction round shows the input space at least: a thief must know what to ask.",
        ),
        (
            steals and shown,
            "parameters",
            "An extraction round withholds weights and source: there would be nothing to steal.",
        ),
        (
            steals and r.goal is Goal.TARGETED,
            "goal",
            "Extraction is untargeted; choose goal = 'untargeted'.",
        ),
    ]
