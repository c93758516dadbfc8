"""Everything that can go wrong, and whose fault it is.

Blame is a type (docs/rules.md, "Faults"): a :class:`PlayerError` forfeits the match for the
side that caused it, a :class:`RefereeError` voids it and the match is played again.

    ArenaError
    ├── PlayerError(side, code)     somebody's player broke a rule: that side forfeits
    ├── MatchUsedUp(fault)          a side took so long that the other one cannot be asked any more
    ├── RefereeError                our fault: the match is void and is replayed
    │   └── SandboxUnavailable      no wall on this machine that is strong enough
    ├── NotApplicable               the players' declared abilities cannot meet in this round
    ├── PackageError                a package that cannot be read or breaks a rule of the format
    ├── ThreatModelError            switches that contradict one another
    ├── TaskError                   a data set that is missing or malformed
    └── InGameError                 raised inside the jail, to the player who asked
        ├── QueryBudgetExceeded     asked more probes than the round grants
        ├── NotDifferentiable       the defense gives no gradients
        └── Withheld                the threat model does not grant this operation
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum


class Side(StrEnum):
    """The two sides of a match. A learner is a defense, a poisoner or a thief is an attack."""

    ATTACK = "attack"
    DEFENSE = "defense"


class FaultCode(StrEnum):
    """The fixed vocabulary of faults: all that a team is told while a round reveals secrets."""

    LOAD_FAILED = "load_failed"
    CRASHED = "crashed"
    WALL_TIME = "wall_time"
    CPU_TIME = "cpu_time"
    OUT_OF_MEMORY = "out_of_memory"
    QUERY_LATENCY = "query_latency"
    WRONG_SHAPE = "wrong_shape"
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    PROTOCOL = "protocol"
    QUERIES_EXCEEDED = "queries_exceeded"
    ROWS_DEPEND = "rows_depend_on_each_other"
    NOT_DETERMINISTIC = "not_deterministic"
    POISON_BUDGET = "poison_budget"
    BAD_SURROGATE = "bad_surrogate"
    NO_ANSWER = "no_answer"


class ArenaError(Exception):
    """Base of every error the arena raises on purpose."""


class PlayerError(ArenaError):
    """A player broke a rule. ``side`` forfeits; ``code`` is public, ``str(error)`` a sentence.

    ``log`` is what the player printed and raised, where its process ended with the fault: it is
    for its own team alone.
    """

    def __init__(self, side: Side, code: FaultCode, message: str, *, log: str = "") -> None:
        super().__init__(message)
        self.side = side
        self.code = code
        self.log = log


class MatchUsedUp(ArenaError):
    """One side took the time in which the other would have answered: that is no fault of the other,
    and no mistake. So it is no :class:`PlayerError`, which a game takes for "no answer": the match
    ends here, and ``fault`` tells who has lost all of it; ``logs()``, once no process is needed any
    more, what each side printed.
    """

    def __init__(self, fault: PlayerError, logs: Callable[[], Mapping[Side, str]] = dict) -> None:
        super().__init__(str(fault))
        self.fault = fault
        self.logs = logs


class RefereeError(ArenaError):
    """Our fault: the match is void, requeued at most twice, never scored."""


class SandboxUnavailable(RefereeError):
    """No sandbox backend on this machine is strong enough for this player."""


class NotApplicable(ArenaError):
    """The cell is outside both denominators: no match is played."""


class PackageError(ArenaError, ValueError):
    """A submission package that cannot be accepted; the message is shown to its team."""


class ThreatModelError(ArenaError, ValueError):
    """Switches or budgets that contradict one another.

    ``switch``: the one to mend, by its name in the JSON, so that a form can say it there.
    """

    def __init__(self, message: str, *, switch: str = "") -> None:
        super().__init__(message)
        self.switch = switch


class TaskError(ArenaError, ValueError):
    """A data set that is missing or malformed; the message names the remedy."""


class InGameError(ArenaError):
    """Raised inside the jail, to the player whose request was refused."""


class QueryBudgetExceeded(InGameError):
    """The request would cost more probes than are left. Nothing was charged or answered."""


class NotDifferentiable(InGameError):
    """The defense declares no gradients; use probes or a surrogate instead."""


class Withheld(InGameError):
    """The round's threat model does not grant this operation."""
