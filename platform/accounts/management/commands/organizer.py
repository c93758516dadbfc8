"""`manage.py organizer NAME`: let an account run tournaments, or take that back."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import services
from events.errors import Refused


class Command(BaseCommand):
    help = "Lets an account run tournaments of its own; whoever may run this is an administrator."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="pseudonym of an account that has signed up")
        parser.add_argument("--revoke", action="store_true", help="take it back")

    def handle(self, *args: Any, **options: Any) -> None:
        name, granted = options["name"], not options["revoke"]
        try:
            services.appoint(username=name, organizes=granted)
        except Refused as error:
            raise CommandError(str(error)) from error
        what = "may run tournaments now" if granted else "runs no tournaments any more"
        self.stdout.write(f"{name} {what}.")
