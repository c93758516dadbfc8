from __future__ import annotations

from pathlib import Path
from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from django.http import FileResponse
from django.urls import reverse
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.selectors import team_ids
from api.pagination import Pages
from api.query import Choices, Truth, one_of, refused
from api.serializers.matches import MatchDetailSerializer, MatchSerializer
from api.serializers.submissions import LogSerializer
from api.views.base import View, problem
from arena.errors import Side
from events import hints
from tournaments import files, selectors, visibility
from tournaments.models import Entry, Match
from tournaments.states import EntryState, MatchState

BINARY = "application/octet-stream"
PARQUET = "application/vnd.apache.parquet"


class MatchFilter(django_filters.FilterSet):  # type: ignore[misc]
    tournament = django_filters.CharFilter(method="of_tournament")
    round = django_filters.CharFilter(field_name="round__uid")
    state = Choices(choices=MatchState.choices)
    attack = django_filters.CharFilter(field_name="attack__uid")
    defense = django_filters.CharFilter(field_name="defense__uid")
    entry = django_filters.CharFilter(method="of_entry", help_text="On either side.")
    team = django_filters.CharFilter(method="of_team", help_text="On either side.")
    mine = Truth(method="of_mine", help_text="Of your teams.")

    class Meta:
        model = Match
        fields: tuple[str, ...] = ()

    def of_tournament(self, rows: QuerySet[Match], name: str, slug: str) -> QuerySet[Match]:
        return rows.filter(tournament=selectors.get(self.request.user, slug))

    def of_entry(self, rows: QuerySet[Match], name: str, uid: str) -> QuerySet[Match]:
        return rows.filter(selectors.of_entries(Entry.objects.filter(uid=uid)))

    def of_team(self, rows: QuerySet[Match], name: str, uid: str) -> QuerySet[Match]:
        """Matches of a withdrawn entry are not told to be of its team."""
        told = Entry.objects.filter(~Q(state=EntryState.WITHDRAWN), team__uid=uid)
        return rows.filter(selectors.of_entries(told))

    def of_mine(self, rows: QuerySet[Match], name: str, *values: bool) -> QuerySet[Match]:
        mine = selectors.of_teams(team_ids(self.request.user))
        return rows.filter(mine) if all(values) else rows.exclude(mine)


@extend_schema(tags=["matches"])
class MatchesView(View):
    queryset = Match.objects.none()
    serializer_class = MatchSerializer
    pagination_class = Pages
    filter_backends = (DjangoFilterBackend,)
    filterset_class = MatchFilter

    def get_queryset(self) -> QuerySet[Match]:
        return self.queryset if self._for_schema else selectors.matches(self.person)

    @extend_schema(
        operation_id="matches",
        responses={200: MatchSerializer(many=True), **problem(400, 401, 403, 404)},
    )
    def get(self, request: Request) -> Response:
        """Matches of all tournaments that you may see, the latest planned first."""
        return self.page(self.get_queryset())


@extend_schema(tags=["matches"])
class MatchView(View):
    queryset = Match.objects.none()
    serializer_class = MatchDetailSerializer

    @extend_schema(
        operation_id="match", responses={200: MatchDetailSerializer, **problem(401, 403, 404)}
    )
    def get(self, request: Request, uid: str) -> Response:
        """One match with its verdict."""
        match = selectors.get_match(self.person, uid)
        context = {
            **self.get_serializer_context(),
            "fault_sentence": visibility.fault_sentence(self.person, match),
            "downloads": self._downloads(match),
            "provenance": visibility.provenance(self.person, match),
            "outcome_sha256": visibility.outcome_sha256(self.person, match),
            "progress": hints.progress_of([uid]).get(uid, {}),
        }
        return Response(MatchDetailSerializer(match, context=context).data)

    def _downloads(self, match: Match) -> dict[str, str]:
        """What this reader may fetch. Whether the file is there is asked when it is fetched."""
        if getattr(match, "verdict", None) is None:
            return {}
        found = {}
        if visibility.may_see_outcome(self.person, match):
            found["outcome"] = reverse("api:match-outcome", args=[match.uid])
        if visibility.may_see_images(self.person, match):
            found["images"] = reverse("api:match-images", args=[match.uid])
        for side in Side:
            if visibility.may_see_match_log(self.person, match, side):
                address = reverse("api:match-log", args=[match.uid])
                found[f"{side.value}_log"] = f"{address}?side={side.value}"
        return found


class AnyFormat(BaseContentNegotiation):
    """A file has one format, whatever the client says that it accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> Any:
        return renderers[0], renderers[0].media_type


class FileView(View):
    queryset = Match.objects.none()
    serializer_class = None
    content_negotiation_class = AnyFormat

    def attachment(self, path: Path, match: Match, content_type: str) -> FileResponse:
        """Never shown in the browser, whatever it holds."""
        return FileResponse(
            path.open("rb"),
            as_attachment=True,
            filename=f"{match.uid}-{path.name}",
            content_type=content_type,
        )


@extend_schema(tags=["matches"])
class OutcomeView(FileView):
    @extend_schema(
        operation_id="match_outcome",
        responses={(200, PARQUET): OpenApiTypes.BINARY, **problem(401, 403, 404)},
    )
    def get(self, request: Request, uid: str) -> FileResponse:
        """One row per example and epsilon, as Parquet; for both sides where the rules let them."""
        match = selectors.get_match(self.person, uid)
        return self.attachment(files.outcome_path(self.person, match), match, PARQUET)


@extend_schema(tags=["matches"])
class ImagesView(FileView):
    @extend_schema(
        operation_id="match_images",
        responses={(200, BINARY): OpenApiTypes.BINARY, **problem(401, 403, 404)},
    )
    def get(self, request: Request, uid: str) -> FileResponse:
        """Clean and attacked examples as .npz, under the same rules."""
        match = selectors.get_match(self.person, uid)
        return self.attachment(files.images_path(self.person, match), match, BINARY)


@extend_schema(tags=["matches"])
class MatchLogView(View):
    queryset = Match.objects.none()
    serializer_class = LogSerializer
    query = ("side",)

    @extend_schema(
        operation_id="match_log",
        parameters=[
            OpenApiParameter("side", str, enum=[side.value for side in Side], required=True)
        ],
        responses={200: LogSerializer, **problem(400, 401, 403, 404)},
    )
    def get(self, request: Request, uid: str) -> Response:
        """What one side printed, where you may read it."""
        side = one_of(request, "side", list(Side))
        if side is None:
            raise refused("side", "Say whose log: side=attack or side=defense.")
        match = selectors.get_match(self.person, uid)
        return Response({"log": files.log_text(self.person, match, Side(side))})
