"""`manage.py lock NAME`: shut an account out, or let it in again."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import services
from events.errors import Refused


class Command(BaseCommand):
    help = "Shuts an account out, its sessions and API tokens with it; what it entered stays."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="pseudonym of the account")
        parser.add_argument("--open", action="store_true", help="let it in again")

    def handle(self, *args: Any, **options: Any) -> None:
        name, locked = options["name"], not options["open"]
        try:
            services.lock(username=name, locked=locked)
        except Refused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{name} is {'locked out' if locked else 'let in again'}.")
