"""What is looked at: matches that one defense has played, and what qualification measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from arena.manifest import Manifest
from arena.ranking.nesting import TOLERANCE
from arena.rounds import RoundSpec
from arena.verdict import Kills

ZERO_GRADIENTS: Final = "zero_gradients"
"""A metric, the share of gradients that were exactly zero, or a flag of that name."""


class Means(StrEnum):
    """What an attack goes by, as the ``family`` of its manifest says."""

    ONE_STEP = "one-step gradient"
    ITERATIVE = "iterative gradient"
    NOISE = "random noise"


@dataclass(frozen=True)
class Attacker:
    """``house``: the player is ours, so that its manifest can be believed."""

    id: str
    manifest: Manifest
    house: bool = False

    @property
    def name(self) -> str:
        return self.manifest.name

    def goes_by(self, means: Means) -> bool:
        return self.house and self.manifest.family.casefold() == means.value


@dataclass(frozen=True)
class Trial:
    """One match that the defense played to its end in a round over perturbations."""

    round: str
    spec: RoundSpec
    attacker: Attacker
    kills: Kills
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    @property
    def by_gradients(self) -> bool:
        """The round gave gradients and the attack lives on them."""
        return self.spec.threat_model.gives_gradients and self.attacker.manifest.needs.gradients

    @property
    def by_iterated_gradients(self) -> bool:
        """A gradient attack of the house that ought to find what there is to find."""
        return self.by_gradients and self.attacker.goes_by(Means.ITERATIVE)

    @property
    def without_gradients(self) -> bool:
        """Without them for certain: the round withheld them, or it is a house player's way."""
        if self.attacker.goes_by(Means.NOISE):
            return False
        if not self.spec.threat_model.gives_gradients:
            return True
        return self.attacker.house and not self.attacker.manifest.needs.gradients

    def played(self, epsilon: float) -> bool:
        """Minimum-norm rounds look at every size at once."""
        levels = self.spec.epsilons
        return not levels or any(abs(level - epsilon) <= TOLERANCE for level in levels)


@dataclass(frozen=True)
class Probed:
    """What qualification measured itself, on the practice split of ``task``."""

    task: str
    right: int
    examples: int
    zero_gradients: float | None = None

    @classmethod
    def of(cls, task: str, figures: Mapping[str, Any]) -> Probed | None:
        """From the figures of a qualification; None where they do not say."""
        accuracy, examples = figures.get("clean_accuracy"), figures.get("examples")
        if not isinstance(accuracy, float | int) or not isinstance(examples, int) or not examples:
            return None
        zero = figures.get(ZERO_GRADIENTS)
        known = float(zero) if isinstance(zero, float | int) else None
        return cls(task, round(accuracy * examples), examples, known)
