"""What all views share: who asks, how often, and what an error looks like."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.db.models import Model, QuerySet
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import SAFE_METHODS
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from accounts.models import Scope, User
from accounts.selectors import Person
from api import problems
from api.authentication import BrowserAuthentication, TokenAuthentication
from api.idempotency import HEADER, MOST_KEY
from api.parsers import JsonParser
from api.permissions import LoggedIn, Scoped
from api.query import Choices, check_names
from api.throttles import Readers, Visitors, Writers
from tournaments.viewer import Viewer

if TYPE_CHECKING:
    from rest_framework.response import Response


class ProblemSerializer(serializers.Serializer[Any]):
    """RFC 9457: look at ``type``, show ``detail``."""

    type = serializers.ChoiceField(choices=[problems.URN + slug for slug in problems.SLUGS])
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = serializers.DictField(  # type: ignore[assignment] # the RFC's own word
        required=False, help_text="Field to sentences."
    )


EVERYWHERE: Final = (400, 401, 403, 406, 429)
"""A parameter that does not exist, a token that is none or lacks the scope, a format that is none,
too many requests."""


def problem(*codes: int) -> dict[Any, Any]:
    """Responses of a schema that are problem bodies; those of :data:`EVERYWHERE` too."""
    return {
        (code, problems.CONTENT_TYPE): OpenApiResponse(ProblemSerializer, problems.KNOWN[code][1])
        for code in sorted({*codes, *EVERYWHERE})
    }


IDEMPOTENCY: Final = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    description=f"At most {MOST_KEY} characters of your choice: the same request acts once a day.",
)
IF_NONE_MATCH: Final = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="The ETag you hold."
)


class View(GenericAPIView[Any]):
    """Reading is for everyone, filtered by the selectors; see :class:`MembersView`."""

    authentication_classes = (TokenAuthentication, BrowserAuthentication)
    permission_classes: Any = (Scoped,)
    throttle_classes = (Visitors, Readers, Writers)
    parser_classes: Any = (JsonParser,)
    renderer_classes: Any = (JSONRenderer, problems.ProblemRenderer)
    pagination_class: Any = None
    filter_backends: Any = ()
    filterset_class: Any = None
    query: ClassVar[tuple[str, ...]] = ()
    """What a GET may ask, besides filters and pages."""
    write_scope: ClassVar[Scope] = Scope.SUBMIT

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.check_query(request)

    def check_query(self, request: Request) -> None:
        """A write says everything in its body."""
        reads = request.method in SAFE_METHODS
        check_names(request, self.query_names() if reads else (), repeatable=self.repeatable())

    @classmethod
    def query_names(cls) -> tuple[str, ...]:
        pages = cls.pagination_class.query if cls.pagination_class else ()
        return (*cls._filters(), *pages, *cls.query)

    @classmethod
    def repeatable(cls) -> list[str]:
        return [name for name, found in cls._filters().items() if isinstance(found, Choices)]

    @classmethod
    def _filters(cls) -> dict[str, Any]:
        return cls.filterset_class.base_filters if cls.filterset_class else {}

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        """What is no problem is never labelled as one, also for those who accept both."""
        if not getattr(response, "exception", False) and hasattr(request, "accepted_renderer"):
            self._relabel(request)
        return super().finalize_response(request, response, *args, **kwargs)

    def _relabel(self, request: Request) -> None:
        if isinstance(request.accepted_renderer, problems.ProblemRenderer):
            request.accepted_renderer = JSONRenderer()
            request.accepted_media_type = JSONRenderer.media_type

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response]:
        return problems.handle

    @property
    def person(self) -> Person:
        return self.request.user

    @property
    def user(self) -> User:
        assert isinstance(self.request.user, User)
        return self.request.user

    @cached_property
    def viewer(self) -> Viewer:
        """Asked once a request: for rows, and for what is told of them."""
        return Viewer.of(self.person)

    @property
    def _for_schema(self) -> bool:
        """Whether drf-spectacular looks at the view without a request's user."""
        return bool(getattr(self, "swagger_fake_view", False))

    def get_serializer_context(self) -> dict[str, Any]:
        context = dict(super().get_serializer_context())
        if not self._for_schema:
            context["viewer"] = self.viewer
        return context

    def page(self, rows: QuerySet[Model]) -> Response:
        """One page of ``rows`` by this view's serializer."""
        found = self.paginate_queryset(self.filter_queryset(rows))
        return self.get_paginated_response(self.get_serializer(found, many=True).data)


class MembersView(View):
    """For those who are logged in."""

    permission_classes = (LoggedIn, Scoped)
