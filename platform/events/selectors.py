"""Reads the outbox, filtered by what the reader may know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Max, Q, QuerySet

from events.models import Audience, Event


@dataclass(frozen=True)
class Reader:
    """What decides which events somebody may read: primary keys.

    ``tournaments``: those he may see from inside (he plays or organizes); ``organizes``: a part of
    them; ``teams``: his own. ``tournaments.selectors.reader(user)`` makes one.
    """

    teams: frozenset[int] = frozenset()
    tournaments: frozenset[int] = frozenset()
    organizes: frozenset[int] = frozenset()
    everything: bool = False

    @property
    def condition(self) -> Q:
        if self.everything:
            return Q()
        organized = Q(tournament__in=self.organizes)
        return (
            Q(audience=Audience.PUBLIC)
            | Q(audience=Audience.TOURNAMENT) & (Q(tournament__in=self.tournaments) | organized)
            | Q(audience=Audience.TEAM) & (Q(team__in=self.teams) | organized)
            | Q(audience=Audience.ORGANIZERS) & organized
        )


ANYBODY = Reader()


def visible_to(reader: Reader, *, after: int = 0, tournament: int | None = None) -> QuerySet[Event]:
    """Events with an id above ``after`` in order; of one tournament where it is given."""
    found = Event.objects.filter(reader.condition, id__gt=after)
    if tournament is not None:
        found = found.filter(tournament=tournament)
    return found.order_by("id")


def since(cursor: int, *, kinds: Iterable[str], limit: int = 1000) -> list[Event]:
    """For what folds the outbox by a cursor of its own: the next events of some kinds, in order."""
    return list(Event.objects.filter(id__gt=cursor, kind__in=list(kinds)).order_by("id")[:limit])


def latest() -> int:
    """The highest id so far; where a stream without Last-Event-ID begins."""
    return Event.objects.aggregate(latest=Max("id"))["latest"] or 0
