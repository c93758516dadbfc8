"""`manage.py worker`: plays matches and qualifies submissions, until it is told to end."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from config.serving import (
    TICK_SECONDS,
    Stop,
    match_slots,
    new_worker_name,
    release,
    worker_services,
)
from config.supervisor import Supervisor


class Command(BaseCommand):
    help = "One worker: matches, qualifications and the boards. Any number may run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", help="of its leases; made up by default")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.REDIS_URL:
            raise CommandError(
                "There is no broker: run `manage.py serve` first, or set ADVERSARIUM_REDIS_URL."
            )
        name = options["name"] or new_worker_name()
        supervisor, stop = Supervisor(worker_services(name)), Stop()
        connection.close()
        supervisor.start()
        self.stdout.write(f"Worker {name} plays {match_slots()} matches side by side.")
        try:
            while not stop.wait(TICK_SECONDS):
                supervisor.tend()
        finally:
            supervisor.stop()
            release(name)
