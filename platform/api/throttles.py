"""How often: per user (all his tokens together), per address for visitors.

The counts lie in Redis, which may be lost: nobody is refused for that.
"""

from __future__ import annotations

import logging
from typing import Any

import redis
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import AnonRateThrottle, SimpleRateThrottle, UserRateThrottle

logger = logging.getLogger(__name__)


class Counted(SimpleRateThrottle):
    """Counts while there is a broker to count in."""

    def allow_request(self, request: Request, view: Any) -> bool:
        try:
            return super().allow_request(request, view)
        except redis.RedisError as error:
            logger.debug("A request was not counted: %s", error)
            return True


class Visitors(Counted, AnonRateThrottle):
    scope = "visitors"
    rate = "300/min"


class Readers(Counted, UserRateThrottle):
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
        if request.method in SAFE_METHODS:
            return True
        return super().allow_request(request, view)
