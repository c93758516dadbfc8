"""A round: one game under one threat model and budget; what the organizer sets.

:class:`RoundSpec` is the engine's whole knowledge of a round. It is stored with the round as
versioned JSON and travels to the runner with every match.
"""

from arena.rounds.kinds import (
    BEYOND_BALLS,
    IN_A_BALL,
    MOVERS,
    MOVES,
    PIXELS_PER_DEGREE,
    POISONED,
    SEVERITIES,
    USUAL_LEVELS,
    GameName,
    Goal,
    Norm,
    PoisonMode,
    SplitName,
    TargetRule,
    is_used,
    movers_of,
    norm_for,
    threat_model_for,
)
from arena.rounds.limits import (
    Limits,
)
from arena.rounds.rules import (
    MOST_REPLAYS,
)
from arena.rounds.spec import (
    SCHEMA_VERSION,
    RoundSpec,
)

__all__ = [
    "BEYOND_BALLS",
    "IN_A_BALL",
    "MOST_REPLAYS",
    "MOVERS",
    "MOVES",
    "PIXELS_PER_DEGREE",
    "POISONED",
    "SCHEMA_VERSION",
    "SEVERITIES",
    "USUAL_LEVELS",
    "GameName",
    "Goal",
    "Limits",
    "Norm",
    "PoisonMode",
    "RoundSpec",
    "SplitName",
    "TargetRule",
    "is_used",
    "movers_of",
    "norm_for",
    "threat_model_for",
]
