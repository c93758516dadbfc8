from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.urls import reverse
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Team
from accounts.selectors import team_of, teams_of
from api.idempotency import once
from api.pagination import NewestFirst
from api.query import Choice
from api.serializers.submissions import (
    LogSerializer,
    SubmissionDetailSerializer,
    SubmissionSerializer,
    UploadSerializer,
)
from api.views.base import IDEMPOTENCY, MembersView, problem
from events.errors import Invalid, NotThere
from submissions import selectors, services
from submissions.models import ROLES, Submission
from submissions.states import SubmissionState
from tournaments import selectors as tournaments
from tournaments import visibility


class SubmissionFilter(django_filters.FilterSet):  # type: ignore[misc]
    team = django_filters.CharFilter(field_name="team__uid")
    state = Choice(choices=SubmissionState.choices)
    role = Choice(choices=ROLES)
    task = django_filters.CharFilter()

    class Meta:
        model = Submission
        fields: tuple[str, ...] = ()


@extend_schema(tags=["submissions"])
class SubmissionsView(MembersView):
    queryset = Submission.objects.none()
    serializer_class = SubmissionSerializer
    pagination_class = NewestFirst
    filter_backends = (DjangoFilterBackend,)
    filterset_class = SubmissionFilter
    parser_classes = (MultiPartParser,)

    def get_queryset(self) -> QuerySet[Submission]:
        return self.queryset if self._for_schema else selectors.visible_to(self.user)

    @extend_schema(
        operation_id="submissions",
        responses={200: SubmissionSerializer(many=True), **problem(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Your teams' submissions, newest first."""
        return self.page(self.get_queryset())

    @extend_schema(
        operation_id="submit",
        parameters=[IDEMPOTENCY],
        request={"multipart/form-data": UploadSerializer},
        responses={
            202: SubmissionDetailSerializer,
            200: SubmissionDetailSerializer,
            **problem(404, 409, 413, 415, 422),
        },
    )
    def post(self, request: Request) -> Response:
        """Submit a package.

        202 with the status's address in `Location`; 200 where your team has submitted the very
        same package before, which costs no quota.
        """
        return once(request, lambda: self._submit(request))

    def _submit(self, request: Request) -> Response:
        upload = UploadSerializer(data=request.data)
        upload.is_valid(raise_exception=True)
        given: dict[str, Any] = upload.validated_data
        done = services.submit(
            team=self._team(given.get("team", "")),
            user=self.user,
            archive=given["archive"],
            task=given.get("task", ""),
        )
        shown = SubmissionDetailSerializer(done.submission, context=self.get_serializer_context())
        location = reverse("api:submission", args=[done.submission.uid])
        code = status.HTTP_202_ACCEPTED if done.created else status.HTTP_200_OK
        return Response(shown.data, status=code, headers={"Location": location})

    def _team(self, uid: str) -> Team:
        if uid:
            return team_of(self.user, uid)
        teams = list(teams_of(self.user)[:2])
        if not teams:
            raise Invalid("You are in no team yet: make one, or accept an invitation.")
        if len(teams) > 1:
            raise Invalid("You are in several teams: say which with team = its id.")
        return teams[0]


class OneSubmissionView(MembersView):
    """Those of the user's teams, and those entered where he organizes; 404 for all others."""

    queryset = Submission.objects.none()
    serializer_class: Any = SubmissionDetailSerializer

    def found(self, uid: str) -> Submission:
        return tournaments.get_submission(self.user, uid)


@extend_schema(tags=["submissions"])
class SubmissionView(OneSubmissionView):
    @extend_schema(
        operation_id="submission", responses={200: SubmissionDetailSerializer, **problem(401, 404)}
    )
    def get(self, request: Request, uid: str) -> Response:
        """The status of a submission; ask until `pending` is false."""
        return Response(self.get_serializer(self.found(uid)).data)


@extend_schema(tags=["submissions"])
class SubmissionLogView(OneSubmissionView):
    serializer_class = LogSerializer

    @extend_schema(
        operation_id="submission_log", responses={200: LogSerializer, **problem(401, 404)}
    )
    def get(self, request: Request, uid: str) -> Response:
        """What its qualification printed."""
        row = self.found(uid)
        if not visibility.may_see_log(self.user, row):
            raise NotThere("There is no such log for you.")
        return Response({"log": selectors.log_text(row)})


@extend_schema(tags=["submissions"])
class SubmissionCancelView(OneSubmissionView):
    @extend_schema(
        operation_id="cancel_submission",
        request=None,
        parameters=[IDEMPOTENCY],
        responses={
            200: SubmissionDetailSerializer,
            **problem(404, 409, 413, 415, 422),
        },
    )
    def post(self, request: Request, uid: str) -> Response:
        """Take a waiting submission out of the queue; its quota is given back."""
        return once(request, lambda: self._cancel(uid))

    def _cancel(self, uid: str) -> Response:
        row = selectors.get(self.user, uid)
        services.cancel(submission=row, user=self.user)
        return Response(self.get_serializer(selectors.get(self.user, uid)).data)
