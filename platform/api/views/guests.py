"""Who may come to a private tournament, and who runs one: the same doors as the page "Organize"."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from api.idempotency import once
from api.serializers.tournaments import (
    InviteSerializer,
    OrganizerSerializer,
    OrganizersSerializer,
    TournamentDetailSerializer,
)
from api.views.base import IDEMPOTENCY, MembersView, problem
from api.views.tournaments import OrganizersView
from tournaments import guests, selectors
from tournaments.models import Tournament


def _teams(request: Request) -> list[str]:
    wish = InviteSerializer(data=request.data)
    wish.is_valid(raise_exception=True)
    return list(wish.validated_data["teams"])


def _username(request: Request) -> str:
    wish = OrganizerSerializer(data=request.data)
    wish.is_valid(raise_exception=True)
    return str(wish.validated_data["username"])


@extend_schema(tags=["organizing"])
class InviteView(OrganizersView):
    @extend_schema(
        operation_id="invite_teams",
        parameters=[IDEMPOTENCY],
        request=InviteSerializer,
        responses={200: TournamentDetailSerializer, **problem(404, 409, 413, 415, 422)},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Let teams see a private tournament of yours and enter it. One wrong name invites none."""
        return once(request, lambda: self._invite(request, slug))

    def _invite(self, request: Request, slug: str) -> Response:
        names, found = _teams(request), selectors.get(self.user, slug)
        guests.invite(found, names=names, organizer=self.user)
        return self.detail(slug)


@extend_schema(tags=["organizing"])
class UninviteView(OrganizersView):
    @extend_schema(
        operation_id="uninvite_teams",
        parameters=[IDEMPOTENCY],
        request=InviteSerializer,
        responses={200: TournamentDetailSerializer, **problem(404, 409, 413, 415, 422)},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Take invitations back. A team that has entered sees the tournament still."""
        return once(request, lambda: self._uninvite(request, slug))

    def _uninvite(self, request: Request, slug: str) -> Response:
        names, found = _teams(request), selectors.get(self.user, slug)
        guests.uninvite_named(found, names=names, organizer=self.user)
        return self.detail(slug)


class AppointView(MembersView):
    """Answers who runs it from then on: whoever takes themselves out may see no more of it."""

    queryset = Tournament.objects.none()
    serializer_class = OrganizersSerializer
    write_scope = Scope.ORGANIZE

    def organizers(self, tournament: Tournament) -> Response:
        names = guests.names_of_organizers(tournament)
        return Response(OrganizersSerializer({"organizers": names}).data)


@extend_schema(tags=["organizing"])
class AddOrganizerView(AppointView):
    @extend_schema(
        operation_id="add_organizer",
        parameters=[IDEMPOTENCY],
        request=OrganizerSerializer,
        responses={200: OrganizersSerializer, **problem(404, 409, 413, 415, 422)},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Let somebody else run a tournament of yours: they read all its packages and logs."""
        return once(request, lambda: self._add(request, slug))

    def _add(self, request: Request, slug: str) -> Response:
        name, found = _username(request), selectors.get(self.user, slug)
        guests.add_organizer(found, username=name, organizer=self.user)
        return self.organizers(found)


@extend_schema(tags=["organizing"])
class RemoveOrganizerView(AppointView):
    @extend_schema(
        operation_id="remove_organizer",
        parameters=[IDEMPOTENCY],
        request=OrganizerSerializer,
        responses={200: OrganizersSerializer, **problem(404, 409, 413, 415, 422)},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Take somebody, or yourself, out of those who run a tournament. One always stays."""
        return once(request, lambda: self._remove(request, slug))

    def _remove(self, request: Request, slug: str) -> Response:
        name, found = _username(request), selectors.get(self.user, slug)
        guests.remove_organizer(found, username=name, organizer=self.user)
        return self.organizers(found)
