"""Work that a worker claims with a lease: matches and qualifications share these columns."""

from __future__ import annotations

from django.db import models


class Job(models.Model):
    """``attempt`` rises with each claim and fences what an earlier holder still writes.

    ``lease_until`` is on the database's clock. ``faults`` counts attempts that our side lost.
    ``hinted_at``: when a worker was last told of it.
    """

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
