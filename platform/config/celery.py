"""The Celery application. Messages are hints; the database owns all state.

Torch is never imported in a worker process: its threads do not survive a fork.
"""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import worker_init, worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("adversarium")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect  # type: ignore[untyped-decorator]
def prove_the_jail(**_: object) -> None:
    """Before the first claim: a worker whose jail lets a probe through refuses guests."""
    from django.conf import settings

    from config import jail

    if settings.TRUSTED_ONLY or jail.known():
        return
    found = jail.prove()
    os.environ.update(found.mark)
    settings.TRUSTED_ONLY = not found.guests


@worker_process_init.connect  # type: ignore[untyped-decorator]
def die_with_the_worker(**_: object) -> None:
    """A killed worker takes its pool along, and each of the pool its referee."""
    from submissions.processes import die_with_parent

    die_with_parent()
    if os.getppid() == 1:  # it fell before we asked
        os._exit(1)
