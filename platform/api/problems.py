"""Refusals as problem bodies (RFC 9457), with types that stay.

``type`` is what programs look at: ``urn:adversarium:problem:<slug>``. ``detail`` is a sentence for
people. ``errors`` maps fields to sentences where single fields are wrong.
"""

from __future__ import annotations

import logging
import math
import sys
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.core.signals import got_request_exception
from django.http import Http404
from django.utils import timezone
from rest_framework import exceptions, status
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from events.away import RETRY_SECONDS, database_is_away
from events.errors import Conflict, Invalid, NotAllowed, NotThere, QuotaExceeded, Refused

logger = logging.getLogger(__name__)

URN: Final = "urn:adversarium:problem:"
CONTENT_TYPE: Final = "application/problem+json"


class ProblemRenderer(JSONRenderer):
    """Lets a client ask for problem bodies by their own media type."""

    media_type = CONTENT_TYPE
    format = "problem"


@dataclass(frozen=True)
class Problem:
    """``slug`` is the stable end of the type; ``retry_after`` in whole seconds."""

    slug: str
    title: str
    status: int
    detail: str = ""
    errors: dict[str, Any] | None = None
    retry_after: int | None = None
    challenge: str = ""

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "type": URN + self.slug,
            "title": self.title,
            "status": self.status,
            "detail": self.detail or self.title,
        }
        if self.errors is not None:
            data["errors"] = self.errors
        return data

    def response(self) -> Response:
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.challenge:
            headers["WWW-Authenticate"] = self.challenge
        return Response(
            self.to_json(), status=self.status, headers=headers, content_type=CONTENT_TYPE
        )


REFUSALS: Final[dict[type, int]] = {
    NotAllowed: status.HTTP_403_FORBIDDEN,
    NotThere: status.HTTP_404_NOT_FOUND,
    Conflict: status.HTTP_409_CONFLICT,
    Invalid: status.HTTP_422_UNPROCESSABLE_ENTITY,
}
KNOWN: Final = {
    400: ("malformed", "The request cannot be read"),
    401: ("not-authenticated", "Who are you?"),
    403: ("not-allowed", "You may not do that"),
    404: ("not-found", "There is no such thing"),
    405: ("method-not-allowed", "Not this method"),
    406: ("not-acceptable", "Not in this format"),
    409: ("conflict", "Not in this state"),
    413: ("too-large", "The request is too large"),
    415: ("unsupported-media-type", "Not from this format"),
    422: ("invalid", "A value that cannot be"),
    429: ("throttled", "Too many requests"),
    500: ("our-fault", "The arena failed"),
    503: ("unavailable", "The arena cannot be asked now"),
}
"""Status -> slug and title."""
WHO_ARE_YOU: Final = (
    "Say who you are: make a token on your account page, send it as Authorization: Bearer adv_... "
    "(arena auth login keeps it for the command line)."
)
TOO_LARGE: Final = "Apart from files, a request holds at most 2 MiB."
SLUGS: Final = tuple(dict.fromkeys([slug for slug, _ in KNOWN.values()] + ["quota-exceeded"]))


def known(code: int, detail: str, *, retry_after: int | None = None) -> Problem:
    return Problem(*KNOWN[code], code, detail, retry_after=retry_after)


OUR_FAULT: Final = known(500, "It has been logged. Try again later.")
AWAY: Final = known(
    503,
    "The arena's database is away, for a restart as a rule. Ask again in a few seconds.",
    retry_after=RETRY_SECONDS,
)


class NotLikeBefore(exceptions.APIException):
    """An Idempotency-Key came again with another request."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = "This Idempotency-Key was used for another request; choose a new one."


class StillRunning(exceptions.APIException):
    """The first request with this Idempotency-Key has not ended."""

    status_code = status.HTTP_409_CONFLICT
    wait = 1.0
    default_detail = "The first request with this Idempotency-Key is still running; ask again."


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler. Whatever is not known is our fault, logged with its traceback."""
    set_rollback()
    found = problem_of(error)
    if found is None:
        logger.error("The API failed.", exc_info=error)
        request = context["request"]
        got_request_exception.send(sender=sys.modules[__name__], request=request._request)
        found = AWAY if database_is_away(error) else OUR_FAULT
    return found.response()


def problem_of(error: Exception) -> Problem | None:
    if isinstance(error, Refused):
        return _of_refusal(error)
    if isinstance(error, Http404):
        error = exceptions.NotFound("There is no such thing.")
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, ValidationError):
        return known(422, " ".join(error.messages))
    elif isinstance(error, RequestDataTooBig):
        return known(413, TOO_LARGE)
    elif isinstance(error, SuspiciousOperation):
        error = exceptions.ParseError("The request has too many fields or files.")
    if not isinstance(error, exceptions.APIException):
        return None
    return _of_api_exception(error)


def _of_refusal(error: Refused) -> Problem:
    if isinstance(error, QuotaExceeded):
        seconds = math.ceil((error.resets_at - timezone.now()).total_seconds())
        return Problem(
            "quota-exceeded",
            "Not any more today",
            status.HTTP_429_TOO_MANY_REQUESTS,
            str(error),
            retry_after=max(1, seconds),
        )
    code = next(REFUSALS[kind] for kind in type(error).__mro__ if kind in REFUSALS)
    return known(code, str(error))


def _of_api_exception(error: exceptions.APIException) -> Problem:
    slug, title = KNOWN.get(error.status_code, KNOWN[400])
    errors = error.detail if isinstance(error, exceptions.ValidationError) else None
    wait = getattr(error, "wait", None)
    return Problem(
        slug,
        title,
        error.status_code,
        WHO_ARE_YOU if isinstance(error, exceptions.NotAuthenticated) else _sentence(error.detail),
        errors=errors if isinstance(errors, dict) else None,
        retry_after=None if wait is None else max(1, math.ceil(wait)),
        challenge=getattr(error, "auth_header", "") or "",
    )


def _sentence(detail: Any) -> str:
    """One text for people from whatever DRF nests."""
    if isinstance(detail, dict):
        parts = [f"{key}: {_sentence(value)}" for key, value in detail.items()]
        return " ".join(parts)
    if isinstance(detail, list):
        return " ".join(_sentence(item) for item in detail)
    return str(detail)
