"""`manage.py serve`: the whole site on this machine, until Ctrl-C."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from config.serving import TICK_SECONDS, Site, Stop, require_free


class Command(BaseCommand):
    help = "Serves site, workers, reaper and broker on this machine; data is kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--no-migrate", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        require_free(options["host"], options["port"])
        if not options["no_migrate"]:
            call_command("migrate", interactive=False, verbosity=0)
        stop = Stop()
        with Site(host=options["host"], port=options["port"]) as site:
            self.stdout.write(f"Serving {site.address} (logs in {site.logs}). Ctrl-C ends it.")
            if site.jail and not site.jail.guests:
                self.stderr.write(f"Guests are refused: {site.jail.sentence}")
            while not stop.wait(TICK_SECONDS):
                site.tend()
