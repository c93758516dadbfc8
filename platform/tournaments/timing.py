"""When tournaments and rounds open and close by themselves: setting it, and what it allows.

A clock that has passed undoes within seconds what it forbids, so nobody moves against it: the
times are set first.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, cast

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from events.errors import Conflict, Invalid
from tournaments import announcing
from tournaments.models import Round, Tournament
from tournaments.selectors import require_organizer
from tournaments.states import REVEALED, Phase

FIELDS: Final = ("opens_at", "closes_at")
Times = Mapping[str, datetime | None]
"""Of ``FIELDS`` those that are to change; None: when an organizer says so."""


@transaction.atomic
def set_times(clocked: Tournament | Round, times: Times, *, organizer: User) -> None:
    """Sets the times of a tournament, or of one of its rounds, and leaves the others alone.

    Raises:
        NotAllowed: ``organizer`` does not run the tournament.
        Conflict: it is published, or frozen: no clock moves it any more.
        Invalid: a time that has passed, or a close before the opening.
    """
    tournament = clocked if isinstance(clocked, Tournament) else clocked.tournament
    require_organizer(organizer, tournament)
    tournament = Tournament.objects.select_for_update().get(pk=tournament.pk)
    clocked.refresh_from_db()
    if {Phase(tournament.state), Phase(clocked.state)} & set(REVEALED):
        raise Conflict("What is published has no clock; move it back to playing first.")
    check({**_times(clocked), **times}, title=clocked.title)
    for name, value in times.items():
        if value is not None:
            _require_ahead(value, title=clocked.title)
        setattr(clocked, name, value)
    if times:
        clocked.save(update_fields=list(times))
        _tell(clocked)


def _times(clocked: Tournament | Round) -> dict[str, datetime | None]:
    return {name: cast("datetime | None", getattr(clocked, name)) for name in FIELDS}


def check(times: Times, *, title: str) -> None:
    """Raises Invalid where it would close before it opens."""
    opens_at, closes_at = times["opens_at"], times["closes_at"]
    if opens_at and closes_at and closes_at <= opens_at:
        raise Invalid(f"{title!r} closes before it opens.")


def _require_ahead(value: datetime, *, title: str) -> None:
    if value <= timezone.now():
        raise Invalid(
            f"{told(value)} has passed. Give {title!r} a time to come, or move it on by hand."
        )


def require_due_ahead(closes_at: datetime | None, *, title: str) -> None:
    """Of what is yet to be made: nobody could ever enter it."""
    if closes_at is not None and closes_at <= timezone.now():
        raise Invalid(
            f"{title!r} closes in the past ({told(closes_at)}). Give a time to come, or none."
        )


def require_time(clocked: Tournament | Round, to: Phase) -> None:
    """Raises Conflict for a move that the clock would take back at once."""
    if to == Phase.OPEN:
        _require_not_due(clocked, clocked.closes_at, "closed")
    elif to == Phase.SCHEDULED:
        _require_not_due(clocked, clocked.opens_at, "opened")


def _require_not_due(clocked: Tournament | Round, at: datetime | None, done: str) -> None:
    if at is not None and at <= timezone.now():
        raise Conflict(
            f"{clocked.title!r} {done} at {told(at)}, and its clock would do so again at once: "
            "set a later time, or none, first."
        )


def told(value: datetime) -> str:
    return f"{value.astimezone(UTC):%d %b %Y, %H:%M} UTC"


def _tell(clocked: Tournament | Round) -> None:
    times = {name: value and value.isoformat() for name, value in _times(clocked).items()}
    if isinstance(clocked, Tournament):
        announcing.tell(clocked, "tournament.clock", payload=times)
    else:
        payload = {"round": clocked.uid, **times}
        announcing.tell(clocked.tournament, "round.clock", subject=clocked.pk, payload=payload)
