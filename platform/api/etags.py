"""``ETag`` on what is polled: an unchanged board costs no bytes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response


def conditional(request: Request, data: Any) -> Response:
    """304 without a body where the reader holds the same."""
    text = json.dumps(data, cls=DjangoJSONEncoder, sort_keys=True)
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    held = [item.strip() for item in request.headers.get("If-None-Match", "").split(",")]
    if tag in [item.removeprefix("W/") for item in held] or "*" in held:
        return Response(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(data, headers=headers)
