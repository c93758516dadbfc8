"""Entering from whichever page: whose place is taken is told before and after."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest

from submissions.models import Submission
from tournaments import selectors, services
from tournaments.models import Entry, Tournament
from tournaments.states import EntryState
from web.answers import person


def enter(request: HttpRequest, tournament: Tournament, submission: Submission) -> None:
    """Raises as :func:`tournaments.services.enter` does."""
    user = person(request)
    old = selectors.superseded_by(user, tournament, submission)
    entry = services.enter(tournament=tournament, submission=submission, user=user)
    if old is not None:
        messages.info(request, _told(entry, old.entry, old.unplayed))


def _told(entry: Entry, old: Entry, unplayed: int) -> str:
    later = "" if entry.state == EntryState.ACTIVE else " once it has qualified"
    told = f"{entry.name} supersedes {old.name} in {entry.tournament}{later}."
    if not unplayed:
        return told
    matches = "1 match" if unplayed == 1 else f"{unplayed} matches"
    return f"{told} {old.name} had {matches} still to play; what it has not played is cancelled."
