"""``Idempotency-Key``: the same POST twice acts once, and answers the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from api.models import KeptAnswer
from api.problems import NotLikeBefore, StillRunning

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
KEPT: Final = timedelta(hours=24)
LONGEST: Final = timedelta(minutes=10)
"""A request that has not ended by then was lost with its process; its key is free again."""
MOST_KEY: Final = 100


def once(request: Request, act: Callable[[], Response]) -> Response:
    """``act()``, or the answer it gave when this key came first.

    An error frees the key, so that the client may mend the request and try again.
    """
    key = request.headers.get(HEADER, "")
    if not key:
        return act()
    if len(key) > MOST_KEY or not key.isprintable():
        raise exceptions.ParseError(f"An {HEADER} has at most {MOST_KEY} printable characters.")
    assert isinstance(request.user, User)
    kept = _claimed(request.user, key, fingerprint(request))
    if kept.status is not None:
        return _again(kept)
    try:
        response = act()
    except BaseException:
        kept.delete()
        raise
    kept.status, kept.body = response.status_code, _as_sent(response.data)
    kept.location = response.headers.get("Location", "")
    kept.save(update_fields=["status", "body", "location"])
    return response


def _claimed(user: User, key: str, wanted: str) -> KeptAnswer:
    now, mine = timezone.now(), KeptAnswer.objects.filter(user=user)
    mine.filter(created_at__lt=now - KEPT).delete()
    mine.filter(status__isnull=True, created_at__lt=now - LONGEST).delete()
    try:
        with transaction.atomic():
            return KeptAnswer.objects.create(user=user, key=key, fingerprint=wanted)
    except IntegrityError:
        kept = mine.filter(key=key).first()
    if kept is None or kept.status is None:
        raise StillRunning
    if kept.fingerprint != wanted:
        raise NotLikeBefore
    return kept


def _as_sent(data: Any) -> Any:
    """As the first answer was written: times as texts."""
    return json.loads(JSONRenderer().render(data))


def _again(kept: KeptAnswer) -> Response:
    headers = {REPLAYED: "true"} | ({"Location": kept.location} if kept.location else {})
    return Response(kept.body, status=kept.status, headers=headers)


def fingerprint(request: Request) -> str:
    """SHA-256 over method, path and every field; files by their content."""
    state = hashlib.sha256(f"{request.method} {request.path}\n".encode())
    if not isinstance(request.data, Mapping):
        state.update(_digest(request.data))
        return state.hexdigest()
    for name in sorted(request.data):
        state.update(f"{name}\0".encode())
        state.update(_digest(request.data[name]))
    return state.hexdigest()


def _digest(value: Any) -> bytes:
    state = hashlib.sha256()
    if isinstance(value, UploadedFile):
        for chunk in value.chunks():
            state.update(chunk)
        value.seek(0)
    else:
        state.update(repr(value).encode())
    return state.digest()
