"""Writes tournaments: making, entering, leaving, opening, pausing. Refusals are sentences.

Whoever changes what is planned holds the tournament's row, so that two never plan at once.
"""

from tournaments.services.entering import (
    disqualify,
    enter,
    fits,
    reinstate,
    submission_was_judged,
    withdraw,
)
from tournaments.services.making import (
    MOST_ROUNDS,
    RoundPlan,
    TournamentPlan,
    check,
    check_fit,
    check_round,
    create,
)
from tournaments.services.moving import (
    cancel_match,
    cancel_rest,
    move,
    move_round,
    pause,
    requeue,
    turn_clocks,
)

__all__ = [
    "MOST_ROUNDS",
    "RoundPlan",
    "TournamentPlan",
    "cancel_match",
    "cancel_rest",
    "check",
    "check_fit",
    "check_round",
    "create",
    "disqualify",
    "enter",
    "fits",
    "move",
    "move_round",
    "pause",
    "reinstate",
    "requeue",
    "submission_was_judged",
    "turn_clocks",
    "withdraw",
]
