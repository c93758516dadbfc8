"""How often: per user (all his tokens together), per address for visitors."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import AnonRateThrottle, UserRateThrottle


class Visitors(AnonRateThrottle):
    scope = "visitors"
    rate = "300/min"


class Readers(UserRateThrottle):
    scope = "readers"
    rate = "1200/min"

    def allow_request(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            return True  # counted as visitors
        return super().allow_request(request, view)


class Writers(Readers):
    """Counts what changes something, on top of the readers' count."""

    scope = "writers"
    rate = "60/min"

    def allow_request(self, request: Request, view: Any) -> bool:
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return True
        return super().allow_request(request, view)
