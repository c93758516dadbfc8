"""What a round may be: its game, its norm, its goal, and what each game makes of the usual."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Final

from arena.threat_model import (
    Architecture,
    DefenseStructure,
    Feedback,
    FirstMover,
    LearningAlgorithm,
    Parameters,
    Probes,
    ThreatModel,
)


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


def is_used(used_by: Mapping[str, Collection[GameName]], game: str, name: str) -> bool:
    """By a table of the games that use something; every game uses what is not in it.

    A game that is none is told elsewhere, with all that is wrong.
    """
    return game not in list(GameName) or name not in used_by or game in used_by[name]


def movers_of(game: GameName) -> tuple[FirstMover, ...]:
    """Who may commit first in this game, the usual one first."""
    return MOVERS.get(game, (FirstMover.DEFENDER,))


def threat_model_for(
    game: GameName | str, model: ThreatModel, *, first_mover: FirstMover | None = None
) -> ThreatModel:
    """A preset as this game reads it: an attack that moves first does, whatever the preset says;
    a poisoner of trends has nothing to ask; a thief has no examples, so its probes count in total.

    ``first_mover``: where it was said beside the preset. A poisoner who moves first is shown
    nothing of a learner, which has not been chosen yet.
    """
    if game == GameName.POISONING and first_mover is FirstMover.ATTACKER:
        return replace(
            model,
            first_mover=FirstMover.ATTACKER,
            learning_algorithm=LearningAlgorithm.HIDDEN,
            architecture=Architecture.HIDDEN,
            parameters=Parameters.HIDDEN,
            structure=DefenseStructure.HIDDEN,
            probes=Probes(),
            feedback=Feedback.NONE,
        )
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
