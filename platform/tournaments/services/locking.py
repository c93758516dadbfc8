"""What several services begin with: they hold the tournament's row, and refuse a frozen one."""

from __future__ import annotations

from events.errors import Conflict
from tournaments.models import Tournament
from tournaments.states import Phase


def locked(tournament: Tournament) -> Tournament:
    return Tournament.objects.select_for_update().get(pk=tournament.pk)


def require_not_frozen(tournament: Tournament) -> None:
    if tournament.state == Phase.FROZEN:
        raise Conflict("This tournament is frozen: nothing in it changes any more.")
