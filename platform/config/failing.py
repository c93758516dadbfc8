"""What is answered when a request fails: a page or a problem body, without touching the database.

Django asks here wherever the error came from, a view or a middleware (sessions, logins).
"""

from __future__ import annotations

import sys
from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

from api import problems
from events.away import RETRY_SECONDS, database_is_away

API: Final = "/api/"


def failed(request: HttpRequest) -> HttpResponse:
    """``handler500``: 503 with a time to come back while the database is away, else 500."""
    away = database_is_away(sys.exc_info()[1])
    problem = problems.AWAY if away else problems.OUR_FAULT
    response: HttpResponse
    if request.path.startswith(API):
        response = JsonResponse(
            problem.to_json(), status=problem.status, content_type=problems.CONTENT_TYPE
        )
    else:  # neither a user nor a session may be asked for: the page gets no request
        response = HttpResponse(render_to_string(f"{problem.status}.html"), status=problem.status)
    if away:
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response
