from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.query import named, number, whole
from api.serializers.events import EventsSerializer
from api.views.base import View, problem
from events.models import Event
from tournaments import selectors
from tournaments.models import WITHDRAWN, Entry
from tournaments.states import EntryState

USUAL, MOST = 100, 500
LARGEST = 2**63 - 1


@extend_schema(tags=["events"])
class EventsView(View):
    queryset = Event.objects.none()
    serializer_class = EventsSerializer
    query = ("after", "tournament", "limit")

    @extend_schema(
        operation_id="events",
        parameters=[
            OpenApiParameter(
                "after",
                whole(0, LARGEST, 0),
                description="The cursor you hold; 0 is the beginning.",
            ),
            OpenApiParameter("tournament", str, description="Of one tournament alone."),
            OpenApiParameter("limit", whole(1, MOST, USUAL), description="Events an answer."),
        ],
        responses={200: EventsSerializer, **problem(400, 401, 403, 404)},
    )
    def get(self, request: Request) -> Response:
        """What happened since a cursor, as far as you may know of it."""
        after = number(request, "after", 0, least=0, most=LARGEST)
        limit = number(request, "limit", USUAL, least=1, most=MOST)
        slug = named(request, "tournament")
        tournament = selectors.get(self.person, slug) if slug else None
        found = selectors.visible_events(self.person, after=after, tournament=tournament)
        rows = list(found[: limit + 1])
        more, rows = len(rows) > limit, self._disguised(rows[:limit])
        data = {
            "events": rows,
            "cursor": rows[-1].pk if rows else after,
            "more": more,
        }
        return Response(self.get_serializer(data).data)

    def _disguised(self, rows: list[Event]) -> list[Event]:
        """What was told of an entry before it was withdrawn names it no more."""
        told = {row.payload["entry"] for row in rows if "entry" in row.payload}
        gone = Entry.objects.filter(uid__in=told, state=EntryState.WITHDRAWN)
        hidden = {entry.uid for entry in gone if self.viewer.is_hidden(entry)}
        for row in rows:
            if row.payload.get("entry") in hidden:
                row.payload = {**row.payload, "name": WITHDRAWN, "team": ""}
        return rows
