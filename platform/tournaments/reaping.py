"""Finds what fell between: overdue leases, lost messages, due clocks. On the database alone.

Any number may run at once: every step is a conditional UPDATE.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from django.db import transaction
from django.db.models.functions import Now

from submissions import work as qualifications
from tournaments import announcing, claims, crafting, files, selectors, services
from tournaments.models import Match

logger = logging.getLogger(__name__)

OVERDUE_AT_ONCE = 200
REMINDERS = 4
"""Few: a worker that finishes a match announces the next itself, so that one message is enough."""


@dataclass(frozen=True)
class Reaped:
    """What one sweep did."""

    matches: int = 0
    submissions: int = 0
    reminded: int = 0
    clocks: int = 0
    crafted: int = 0
    """Rounds whose kept craftings went."""

    @property
    def anything(self) -> bool:
        return bool(self.matches or self.submissions or self.clocks or self.crafted)


def sweep() -> Reaped:
    """One pass over everything that is overdue."""
    overdue = list(claims.LEASES.overdue()[:OVERDUE_AT_ONCE])
    reaped = Reaped(
        matches=sum(map(_reap, overdue)),
        submissions=qualifications.reap(),
        reminded=remind(),
        clocks=services.turn_clocks(),
        crafted=crafting.forget_unneeded(),
    )
    if reaped.anything:
        logger.info("Reaped %s", reaped)
    return reaped


def _reap(match: Match) -> bool:
    reaped = claims.fail(match, "The worker that played it fell silent.", overdue_only=True)
    if reaped:
        files.forget_scratch(match)
    return reaped


@transaction.atomic
def remind() -> int:
    """Announces waiting matches whose message may be lost; how many messages were sent."""
    forgotten = selectors.claimable() & claims.LEASES.forgotten()
    keys = list(forgotten.order_by("pk").values_list("pk", flat=True)[:REMINDERS])
    if not Match.objects.filter(pk__in=keys).update(hinted_at=Now()):
        return 0
    announcing.announce_matches(len(keys))
    return len(keys)
