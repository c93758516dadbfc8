"""The whole of a round, and how it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Self

from arena.errors import ThreatModelError
from arena.rounds.kinds import (
    PIXELS_PER_DEGREE,
    GameName,
    Goal,
    Norm,
    PoisonMode,
    SplitName,
    TargetRule,
    threat_model_for,
)
from arena.rounds.limits import Limits, is_number
from arena.rounds.rules import rules
from arena.threat_model import CUSTOM, PRESET_NAMES, DefenseStructure, Parameters, ThreatModel

SCHEMA_VERSION: Final = 1


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
        for broken, setting, message in rules(self):
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
    if key == "trigger_area" and not is_number(value):
        raise ThreatModelError(f"{key} must be a number, not {value!r}.", switch=key)
    if key in _WHOLE and type(value) is not int:
        raise ThreatModelError(f"{key} must be a whole number, not {value!r}.", switch=key)
    return value


def _numbers(key: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or not all(map(is_number, value)):
        message = f"{key} must be a list of numbers, such as [0.1, 0.2], not {value!r}."
        raise ThreatModelError(message, switch=key)
    return tuple(float(item) for item in value)
