"""A message says only "there is work"; the database says which. Torch is never imported here."""

from __future__ import annotations

from celery import shared_task

from submissions.jobs import worker_name
from tournaments import announcing, claims, running


@shared_task(ignore_result=True)  # type: ignore[untyped-decorator]
def play() -> None:
    match = claims.claim(worker=worker_name())
    if match is not None:
        running.play(match)
        announcing.announce_matches()
