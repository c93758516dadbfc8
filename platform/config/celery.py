"""The Celery application. Messages are hints; the database owns all state.

Torch is never imported in a worker process: its threads do not survive a fork.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("adversarium")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
