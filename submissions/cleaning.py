"""Lets go of packages that nobody will play: of submissions cancelled or rejected long ago.

Their rows stay, with what was found and the logs; the bytes go. Uploading such a package again
brings them back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from submissions import artifacts
from submissions.models import Submission
from submissions.states import NOT_VALID


@dataclass(frozen=True)
class Freed:
    packages: int = 0
    bytes: int = 0


def forget_packages(*, days: int, dry_run: bool = False) -> Freed:
    """Removes the packages that nothing but cancelled or rejected submissions, judged more than
    ``days`` days ago, holds. ``dry_run`` counts alone."""
    before = timezone.now() - timedelta(days=days)
    freed = Freed()
    for sha256 in _unneeded(before):
        size = artifacts.forget(sha256, kept_before=before, dry_run=dry_run)
        if size is not None:
            freed = Freed(freed.packages + 1, freed.bytes + size)
    return freed


def _unneeded(before: datetime) -> Iterator[str]:
    over = Submission.objects.filter(state__in=NOT_VALID, finished_at__lt=before)
    held = Submission.objects.exclude(pk__in=over.values("pk"))
    gone = over.exclude(sha256__in=held.values("sha256"))
    yield from gone.order_by("sha256").values_list("sha256", flat=True).distinct()
