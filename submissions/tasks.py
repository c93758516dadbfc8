"""A message says only "there is work"; the database says which."""

from __future__ import annotations

from celery import shared_task

from submissions import services, work
from submissions.jobs import worker_name


@shared_task(ignore_result=True)  # type: ignore[untyped-decorator]
def qualify() -> None:
    submission = work.claim(worker=worker_name())
    if submission is not None:
        work.qualify(submission)
        services.announce_qualifications()
