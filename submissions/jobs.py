"""Work that a worker claims with a lease: matches and qualifications share columns and rules.

The lease is on the database's clock. ``attempt`` rises with every claim, and whatever a worker
writes (heartbeat, outcome, files) names its attempt: one that lost the lease writes nothing.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, models
from django.db.models import F, Q, QuerySet, TextChoices
from django.db.models.functions import Now

from events.machines import Machine

logger = logging.getLogger(__name__)

MAX_FAULTS: Final = 2
"""Faults of ours after which a job is still tried again; one more makes it void."""

R = TypeVar("R")
J = TypeVar("J", bound="Job")
S = TypeVar("S", bound=TextChoices)


class Job(models.Model):
    """``faults`` counts attempts that our side lost; ``hinted_at``: when workers were last told."""

    attempt = models.PositiveIntegerField(default=0)
    faults = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    worker = models.CharField(max_length=120, blank=True)
    hinted_at = models.DateTimeField(null=True)
    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True


def worker_name() -> str:
    """Of this process. A supervisor names its workers, so that it can release what they held."""
    given = os.environ.get("ADVERSARIUM_WORKER_NAME") or socket.gethostname()[:80]
    return f"{given}:{os.getpid()}"


class Leases(Generic[J, S]):
    """Claims, renews, gives back and reaps the jobs of one model."""

    def __init__(
        self, model: type[J], machine: Machine[S], *, waiting: S, running: S, void: S
    ) -> None:
        self.model = model
        self.machine = machine
        self.waiting = waiting
        self.running = running
        self.void = void

    @property
    def rows(self) -> QuerySet[J]:
        return self.model._default_manager.all()

    def take(self, pk: int, *, worker: str) -> J | None:
        """Claim one waiting job by a conditional UPDATE; None when somebody else was faster."""
        waiting = self.rows.filter(pk=pk, state=self.waiting)
        taken = self.machine.move(
            waiting,
            self.running,
            attempt=F("attempt") + 1,
            worker=worker,
            lease_until=_lease_end(),
            started_at=Now(),
            finished_at=None,
        )
        return self.rows.get(pk=pk) if taken else None

    def held(self, job: J) -> QuerySet[J]:
        """The job's row while ``job.attempt`` still holds it."""
        return self.rows.filter(pk=job.pk, attempt=job.attempt, state=self.running)

    def renew(self, job: J) -> bool:
        """The heartbeat; False when the lease is lost."""
        return bool(self.held(job).update(lease_until=_lease_end()))

    def give_back(self, held: QuerySet[J], **values: Any) -> int:
        """An orderly end of the worker: nobody's fault, so that nothing is counted."""
        return self.machine.move(
            held.filter(state=self.running), self.waiting, **_idle(), hinted_at=None, **values
        )

    def blame_ourselves(self, held: QuerySet[J], sentence: str, **values: Any) -> int:
        """A fault of ours: tried again twice, then void and shown to the organizer."""
        running = held.filter(state=self.running)
        values |= {"faults": F("faults") + 1, "sentence": sentence, **_idle()}
        again = self.machine.move(
            running.filter(faults__lt=MAX_FAULTS), self.waiting, hinted_at=None, **values
        )
        return again + self.machine.move(
            running.filter(faults__gte=MAX_FAULTS), self.void, finished_at=Now(), **values
        )

    def overdue(self) -> QuerySet[J]:
        return self.rows.filter(state=self.running, lease_until__lt=Now())

    def of_worker(self, name: str) -> QuerySet[J]:
        """What the workers of one supervisor hold."""
        return self.rows.filter(state=self.running, worker__startswith=f"{name}:")

    def forgotten(self) -> QuerySet[J]:
        """Waiting so long that the message about it may be lost."""
        since = Now() - timedelta(seconds=settings.HINT_SECONDS)
        unheard = Q(hinted_at__isnull=True) | Q(hinted_at__lt=since)
        return self.rows.filter(unheard, state=self.waiting)


def _lease_end() -> Any:
    return Now() + timedelta(seconds=settings.LEASE_SECONDS)


def _idle() -> dict[str, Any]:
    return {"lease_until": None, "worker": ""}


def persistently(action: Callable[[], R], *, seconds: float = 120.0) -> R:
    """``action``, tried again while the database is away: a restart of it loses nothing.

    Only for actions that are idempotent, and outside a transaction.
    """
    give_up = time.monotonic() + seconds
    while True:
        try:
            return action()
        except (OperationalError, InterfaceError) as error:
            connection.close()
            if time.monotonic() > give_up:
                raise
            logger.warning("The database is away, trying again: %s", error)
            time.sleep(1.0)
