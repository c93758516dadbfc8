"""Every state and every legal move, in one place. Nothing else writes a ``state`` column."""

from __future__ import annotations

from django.db.models import TextChoices

from events.machines import table


class Phase(TextChoices):
    """The life of a tournament, and of each of its rounds."""

    SCHEDULED = "scheduled", "Scheduled"
    OPEN = "open", "Open"
    PLAYING = "playing", "Playing"
    PUBLISHED = "published", "Published"
    FROZEN = "frozen", "Frozen"


_P = Phase
_PHASES = {
    # OPEN takes entries and plays; PLAYING takes none and plays what is left.
    _P.SCHEDULED: (_P.OPEN,),
    _P.OPEN: (_P.PLAYING, _P.SCHEDULED),
    # Back to OPEN: the organizer extends.
    _P.PLAYING: (_P.PUBLISHED, _P.OPEN),
    # Back to PLAYING: a dispute or a rescore.
    _P.PUBLISHED: (_P.FROZEN, _P.PLAYING),
}
TOURNAMENTS = table(Phase, _PHASES)
ROUNDS = table(Phase, _PHASES)

PLAYABLE = (Phase.OPEN, Phase.PLAYING)
"""Phases in which matches are claimed."""
REVEALED = (Phase.PUBLISHED, Phase.FROZEN)
"""Phases in which a round hides nothing any more that docs/rules.md lets it show."""


class EntryState(TextChoices):
    WAITING = "waiting", "Waiting for qualification"
    ACTIVE = "active", "Active"
    SUPERSEDED = "superseded", "Superseded"
    WITHDRAWN = "withdrawn", "Withdrawn"
    DISQUALIFIED = "disqualified", "Disqualified"
    REFUSED = "refused", "Refused: not qualified"


_E = EntryState
ENTRIES = table(
    EntryState,
    {
        _E.WAITING: (_E.ACTIVE, _E.SUPERSEDED, _E.WITHDRAWN, _E.DISQUALIFIED, _E.REFUSED),
        _E.ACTIVE: (_E.SUPERSEDED, _E.WITHDRAWN, _E.DISQUALIFIED),
        # Entered again: the old row comes back with its matches.
        _E.SUPERSEDED: (_E.ACTIVE, _E.DISQUALIFIED),
        _E.WITHDRAWN: (_E.ACTIVE, _E.WAITING, _E.DISQUALIFIED),
        _E.REFUSED: (_E.WAITING, _E.ACTIVE),
        _E.DISQUALIFIED: (_E.ACTIVE,),
    },
)
UNJUDGED = (EntryState.WAITING, EntryState.REFUSED)
"""Not known to have qualified: what qualification finds is for the team and the organizers."""


class MatchState(TextChoices):
    PENDING = "pending", "Waiting"
    RUNNING = "running", "Playing"
    SCORED = "scored", "Scored"
    FORFEIT = "forfeit", "Forfeit"
    NOT_APPLICABLE = "not_applicable", "Not applicable"
    VOID = "void", "Void: our fault"
    CANCELLED = "cancelled", "Cancelled"


_M = MatchState
MATCHES = table(
    MatchState,
    {
        _M.PENDING: (_M.RUNNING, _M.CANCELLED),
        # Back to PENDING: a fault of ours, at most twice, or an orderly shutdown.
        _M.RUNNING: (
            _M.SCORED, _M.FORFEIT, _M.NOT_APPLICABLE, _M.VOID, _M.PENDING, _M.CANCELLED,
        ),
        # The organizer requeues; the entry comes back.
        _M.VOID: (_M.PENDING, _M.CANCELLED),
        _M.CANCELLED: (_M.PENDING,),
    },
)  # fmt: skip

UNDER_WAY = (MatchState.PENDING, MatchState.RUNNING)
"""Not ended yet: what "pending matches" counts."""
UNPLAYED = (MatchState.PENDING, MatchState.VOID)
"""Cancelled when one of its entries goes; what is under way plays on."""
RECORDED = (MatchState.SCORED, MatchState.FORFEIT)
"""Ended with a verdict that boards fold."""
