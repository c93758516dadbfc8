from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.urls import reverse
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from accounts.selectors import Person
from accounts.services import require_may_organize
from api.idempotency import once
from api.pagination import InOrder, NewestFirst
from api.parsers import JsonParser, TomlParser
from api.permissions import LoggedIn, Scoped
from api.query import Choice
from api.serializers.tournaments import (
    ClockSerializer,
    EnteredSerializer,
    EntrySerializer,
    EntryWishSerializer,
    MoveSerializer,
    PauseSerializer,
    RoundSerializer,
    TournamentDetailSerializer,
    TournamentPlanSerializer,
    TournamentSerializer,
)
from api.views.base import IDEMPOTENCY, MembersView, View, problem
from submissions import selectors as submissions
from tournaments import guests, loading, selectors, services, timing
from tournaments.models import SIDES, Entry, Round, Tournament
from tournaments.states import EntryState, Phase
from tournaments.viewer import Viewer


class Organizing(View):
    """Reading is for everyone, writing for organizers with a token that says so."""

    write_scope = Scope.ORGANIZE
    parser_classes = (JsonParser, TomlParser)

    def get_permissions(self) -> list[Any]:
        """Visitors who would write are asked who they are."""
        request = getattr(self, "request", None)  # none while the API is described
        if request is not None and request.method == "POST":
            return [LoggedIn(), Scoped()]
        return [Scoped()]


class TournamentFilter(django_filters.FilterSet):  # type: ignore[misc]
    state = Choice(choices=Phase.choices)
    task = django_filters.CharFilter()

    class Meta:
        model = Tournament
        fields: tuple[str, ...] = ()


@extend_schema(tags=["tournaments"])
class TournamentsView(Organizing):
    queryset = Tournament.objects.none()
    serializer_class = TournamentSerializer
    pagination_class = NewestFirst
    filter_backends = (DjangoFilterBackend,)
    filterset_class = TournamentFilter

    def get_queryset(self) -> QuerySet[Tournament]:
        return self.queryset if self._for_schema else selectors.visible_to(self.person)

    @extend_schema(
        operation_id="tournaments",
        responses={200: TournamentSerializer(many=True), **problem(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Public tournaments, and those that you play in, are invited to or organize."""
        return self.page(self.get_queryset())

    @extend_schema(
        operation_id="create_tournament",
        parameters=[IDEMPOTENCY],
        request={
            "application/json": TournamentPlanSerializer,
            "application/toml": {"type": "string", "format": "binary"},
        },
        responses={201: TournamentDetailSerializer, **problem(409, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        """Make a tournament with its rounds: the file of `tournament load`, as JSON or as TOML.

        It stays scheduled until you move it on. For organizers.
        """
        return once(request, lambda: self._create(request))

    def _create(self, request: Request) -> Response:
        require_may_organize(self.user)  # what is wrong with the body is not for everybody
        if not isinstance(request.data, Mapping):
            raise ParseError("The body must be one table.")
        made = services.create(loading.parse(request.data), organizer=self.user)
        shown = detail(made, self.user, self.get_serializer_context())
        address = reverse("api:tournament", args=[made.slug])
        return Response(shown, status=status.HTTP_201_CREATED, headers={"Location": address})


@extend_schema(tags=["tournaments"])
class TournamentView(View):
    queryset = Tournament.objects.none()
    serializer_class = TournamentDetailSerializer

    @extend_schema(
        operation_id="tournament",
        responses={200: TournamentDetailSerializer, **problem(401, 403, 404)},
    )
    def get(self, request: Request, slug: str) -> Response:
        """A tournament with its rounds and how far it is."""
        tournament = selectors.get(self.person, slug)
        return Response(detail(tournament, self.person, self.get_serializer_context()))


def detail(tournament: Tournament, person: Person, context: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = dict(TournamentSerializer(tournament, context=context).data)
    shown["rounds"] = [RoundSerializer(round_).data for round_ in selectors.rounds(tournament)]
    counts = selectors.counts(tournament)
    shown["counts"] = {
        name: getattr(counts, name)
        for name in ("pending", "running", "scored", "forfeit", "void", "not_applicable")
    }
    runs = selectors.organizes(person, tournament)
    shown["invited"] = guests.names_of_invited(tournament) if runs else None
    shown["organizers"] = guests.names_of_organizers(tournament) if runs else None
    return shown


@extend_schema(tags=["tournaments"])
class RoundsView(View):
    queryset = Round.objects.none()
    serializer_class = RoundSerializer
    pagination_class = InOrder

    @extend_schema(
        operation_id="rounds",
        responses={200: RoundSerializer(many=True), **problem(400, 401, 403, 404)},
    )
    def get(self, request: Request, slug: str) -> Response:
        """A tournament's rounds in order."""
        return self.page(selectors.rounds(selectors.get(self.person, slug)))


@extend_schema(tags=["tournaments"])
class RoundView(View):
    queryset = Round.objects.none()
    serializer_class = RoundSerializer

    @extend_schema(operation_id="round", responses={200: RoundSerializer, **problem(401, 403, 404)})
    def get(self, request: Request, uid: str) -> Response:
        """A round with all its rules."""
        return Response(self.get_serializer(selectors.get_round(self.person, uid)).data)


class OrganizersView(MembersView):
    """An action on a tournament of one's own; others learn no more than that it exists."""

    queryset = Tournament.objects.none()
    serializer_class = TournamentDetailSerializer
    write_scope = Scope.ORGANIZE

    def detail(self, slug: str) -> Response:
        tournament = selectors.get(self.user, slug)
        return Response(detail(tournament, self.user, self.get_serializer_context()))


@extend_schema(tags=["organizing"])
class TournamentMoveView(OrganizersView):
    @extend_schema(
        operation_id="move_tournament",
        parameters=[IDEMPOTENCY],
        request=MoveSerializer,
        responses={
            200: TournamentDetailSerializer,
            **problem(404, 409, 413, 415, 422),
        },
    )
    def post(self, request: Request, slug: str) -> Response:
        """Move a tournament of yours: open, playing (takes no entries), published, frozen, or back.

        Its rounds follow, but for those with a clock of their own.
        """
        return once(request, lambda: self._move(request, slug))

    def _move(self, request: Request, slug: str) -> Response:
        found, to = selectors.get(self.user, slug), _phase(request)
        services.move(tournament=found, to=to, organizer=self.user)
        return self.detail(slug)


def _phase(request: Request) -> Phase:
    wish = MoveSerializer(data=request.data)
    wish.is_valid(raise_exception=True)
    return Phase(wish.validated_data["to"])


@extend_schema(tags=["organizing"])
class TournamentPauseView(OrganizersView):
    @extend_schema(
        operation_id="pause_tournament",
        parameters=[IDEMPOTENCY],
        request=PauseSerializer,
        responses={
            200: TournamentDetailSerializer,
            **problem(404, 409, 413, 415, 422),
        },
    )
    def post(self, request: Request, slug: str) -> Response:
        """Pause a tournament of yours, or resume it: paused, no match begins."""
        return once(request, lambda: self._pause(request, slug))

    def _pause(self, request: Request, slug: str) -> Response:
        wish = PauseSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        services.pause(
            tournament=selectors.get(self.user, slug),
            organizer=self.user,
            paused=wish.validated_data["paused"],
        )
        return self.detail(slug)


class RoundOrganizersView(MembersView):
    """The same on one of its rounds."""

    queryset = Round.objects.none()
    serializer_class = RoundSerializer
    write_scope = Scope.ORGANIZE

    def detail(self, uid: str) -> Response:
        return Response(self.get_serializer(selectors.get_round(self.user, uid)).data)


@extend_schema(tags=["organizing"])
class RoundMoveView(RoundOrganizersView):
    @extend_schema(
        operation_id="move_round",
        parameters=[IDEMPOTENCY],
        request=MoveSerializer,
        responses={200: RoundSerializer, **problem(404, 409, 413, 415, 422)},
    )
    def post(self, request: Request, uid: str) -> Response:
        """Move one round of a tournament of yours."""
        return once(request, lambda: self._move(request, uid))

    def _move(self, request: Request, uid: str) -> Response:
        found, to = selectors.get_round(self.user, uid), _phase(request)
        services.move_round(round_=found, to=to, organizer=self.user)
        return self.detail(uid)


@extend_schema(tags=["organizing"])
class TournamentClockView(OrganizersView):
    @extend_schema(
        operation_id="set_tournament_clock",
        parameters=[IDEMPOTENCY],
        request=ClockSerializer,
        responses={
            200: TournamentDetailSerializer,
            **problem(404, 409, 413, 415, 422),
        },
    )
    def post(self, request: Request, slug: str) -> Response:
        """Set when a tournament of yours opens by itself, and when entries are due."""
        return once(request, lambda: self._set(request, slug))

    def _set(self, request: Request, slug: str) -> Response:
        found = selectors.get(self.user, slug)
        timing.set_times(found, _times(request), organizer=self.user)
        return self.detail(slug)


def _times(request: Request) -> timing.Times:
    wish = ClockSerializer(data=request.data)
    wish.is_valid(raise_exception=True)
    return dict(wish.validated_data)


@extend_schema(tags=["organizing"])
class RoundClockView(RoundOrganizersView):
    @extend_schema(
        operation_id="set_round_clock",
        parameters=[IDEMPOTENCY],
        request=ClockSerializer,
        responses={200: RoundSerializer, **problem(404, 409, 413, 415, 422)},
    )
    def post(self, request: Request, uid: str) -> Response:
        """Set when one round of a tournament of yours opens and closes by itself."""
        return once(request, lambda: self._set(request, uid))

    def _set(self, request: Request, uid: str) -> Response:
        found = selectors.get_round(self.user, uid)
        timing.set_times(found, _times(request), organizer=self.user)
        return self.detail(uid)


class EntryFilter(django_filters.FilterSet):  # type: ignore[misc]
    state = Choice(choices=EntryState.choices)
    role = Choice(choices=SIDES)
    team = django_filters.CharFilter(method="of_team")

    class Meta:
        model = Entry
        fields: tuple[str, ...] = ()

    def of_team(self, rows: QuerySet[Entry], name: str, uid: str) -> QuerySet[Entry]:
        """A withdrawn entry is told to be its team's to those alone who know it."""
        viewer, found = Viewer.of(self.request.user), rows.filter(team__uid=uid)
        return found.filter(pk__in=[row.pk for row in found if not viewer.is_hidden(row)])


@extend_schema(tags=["entries"])
class TournamentEntriesView(View):
    queryset = Entry.objects.none()
    serializer_class = EntrySerializer
    pagination_class = InOrder
    filter_backends = (DjangoFilterBackend,)
    filterset_class = EntryFilter

    @extend_schema(
        operation_id="tournament_entries",
        responses={200: EntrySerializer(many=True), **problem(400, 401, 403, 404)},
    )
    def get(self, request: Request, slug: str) -> Response:
        """Who plays, the house included."""
        tournament = selectors.get(self.person, slug)
        return self.page(selectors.entries_known_to(self.person, tournament))


@extend_schema(tags=["entries"])
class EntriesView(MembersView):
    queryset = Entry.objects.none()
    serializer_class = EntrySerializer
    write_scope = Scope.ENTER

    @extend_schema(
        operation_id="enter",
        parameters=[IDEMPOTENCY],
        request=EntryWishSerializer,
        responses={201: EnteredSerializer, **problem(404, 409, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        """Enter a submission of yours, and accept the tournament's terms.

        One that is not judged yet plays once it has qualified. It then supersedes your team's
        active entry of the same role, whose matches that have not begun are cancelled;
        `supersedes` names it. Entering twice changes nothing.
        """
        return once(request, lambda: self._enter(request))

    def _enter(self, request: Request) -> Response:
        wish = EntryWishSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        tournament = selectors.get(self.person, wish.validated_data["tournament"])
        submission = submissions.get(self.user, wish.validated_data["submission"])
        old = selectors.superseded_by(self.user, tournament, submission)
        entry = services.enter(tournament=tournament, submission=submission, user=self.user)
        shown = selectors.get_entry(self.user, entry.uid)
        context = {**self.get_serializer_context(), "supersedes": old}
        return Response(EnteredSerializer(shown, context=context).data, status.HTTP_201_CREATED)


@extend_schema(tags=["entries"])
class EntryView(View):
    queryset = Entry.objects.none()
    serializer_class = EntrySerializer

    @extend_schema(operation_id="entry", responses={200: EntrySerializer, **problem(401, 403, 404)})
    def get(self, request: Request, uid: str) -> Response:
        """One entry."""
        return Response(self.get_serializer(selectors.get_entry(self.person, uid)).data)


@extend_schema(tags=["entries"])
class WithdrawView(MembersView):
    queryset = Entry.objects.none()
    serializer_class = EntrySerializer
    write_scope = Scope.ENTER

    @extend_schema(
        operation_id="withdraw",
        request=None,
        parameters=[IDEMPOTENCY],
        responses={200: EntrySerializer, **problem(404, 409, 413, 415, 422)},
    )
    def post(self, request: Request, uid: str) -> Response:
        """Take an entry of yours out; its past verdicts stay, named "withdrawn"."""
        return once(request, lambda: self._withdraw(uid))

    def _withdraw(self, uid: str) -> Response:
        services.withdraw(entry=selectors.get_entry(self.user, uid), user=self.user)
        return Response(self.get_serializer(selectors.get_entry(self.user, uid)).data)
