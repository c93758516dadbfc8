"""What a plan would play, before anything is written: the preview of an organizer's form."""

from __future__ import annotations

from dataclasses import dataclass

import arena.house
from arena.manifest import Manifest
from tournaments.planning import cannot_meet
from tournaments.services import RoundPlan, check_fit, check_round


@dataclass(frozen=True)
class Idle:
    """Two house players that cannot meet, and the sentence that their cell will show."""

    attack: str
    defense: str
    sentence: str


@dataclass(frozen=True)
class RoundPreview:
    """``attacks``, ``defenses``: how many of the house take part."""

    plan: RoundPlan
    attacks: int
    defenses: int
    idle: tuple[Idle, ...]

    @property
    def matches(self) -> int:
        """Planned among the house as soon as the round opens; guests come on top."""
        return self.attacks * self.defenses - len(self.idle)

    @property
    def lonely(self) -> list[str]:
        """House players that meet nobody of the house here."""
        met: set[str] = set()
        idle = {(cell.attack, cell.defense) for cell in self.idle}
        for attack in self.plan.attacks:
            for defense in self.plan.defenses:
                if (attack, defense) not in idle:
                    met |= {attack, defense}
        return [name for name in (*self.plan.attacks, *self.plan.defenses) if name not in met]


def preview(plan: RoundPlan) -> RoundPreview:
    """What the house will play in this round.

    Raises:
        Invalid: with one sentence for the first thing that cannot be.
    """
    check_round(plan)
    check_fit(plan)
    attacks, defenses = _manifests(plan.attacks), _manifests(plan.defenses)
    idle = [
        Idle(attack, defense, reason)
        for attack, its in attacks.items()
        for defense, theirs in defenses.items()
        if (reason := cannot_meet(its, theirs, plan.spec, house=defense)) is not None
    ]
    return RoundPreview(plan, len(attacks), len(defenses), tuple(idle))


def _manifests(names: tuple[str, ...]) -> dict[str, Manifest]:
    return {name: arena.house.manifest(name) for name in names}
