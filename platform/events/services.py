"""Writes the outbox. Call it last in the transaction of the change it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import connection, transaction

from events import hints
from events.models import Audience, Event

ORDER_LOCK: Final = 0x41_52_45_4E_41
"""PostgreSQL advisory lock. Ids are drawn at INSERT but seen at COMMIT: without it, a reader whose
cursor has passed id 8 could miss id 7, which committed later. SQLite has one writer anyhow."""


def record(
    kind: str,
    *,
    audience: Audience,
    tournament: int | None = None,
    team: int | None = None,
    subject: int | None = None,
    payload: Mapping[str, Any] | None = None,
) -> Event:
    """Append an event to the running transaction, and tell the streams once it has committed.

    Raises:
        RuntimeError: outside a transaction; an event without its change would be a lie.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("An event is recorded in the transaction of the change it tells of.")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ORDER_LOCK])
    event = Event.objects.create(
        kind=kind,
        audience=audience,
        tournament=tournament,
        team=team,
        subject=subject,
        payload=dict(payload or {}),
    )
    transaction.on_commit(lambda: hints.announce(event.pk), robust=True)
    return event
