"""Is the process alive, and can it do its work? For proxies and supervisors."""

from __future__ import annotations

from django.db import Error, connection
from django.http import HttpRequest, JsonResponse

from events import hints
from submissions.room import has_room


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "alive"})


def readyz(request: HttpRequest) -> JsonResponse:
    """503 without a database. A lost broker only makes pages slower, and on a full disk they are
    read still, so these are reported alone."""
    database = database_answers()
    found = {"database": database, "broker": hints.reachable(), "disk": has_room()}
    status = "ready" if database else "not ready"
    return JsonResponse({"status": status, **found}, status=200 if database else 503)


def database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM tournaments_tournament LIMIT 1")
    except Error:
        return False
    return True
