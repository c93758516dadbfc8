"""`manage.py tournament load FILE.toml`: make a tournament from a file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from events.errors import Refused
from tournaments import loading, services
from tournaments.states import Phase


class Command(BaseCommand):
    help = "Makes a tournament from a TOML file (docs/running-a-tournament.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        load = actions.add_parser("load", help="make the tournament of a file")
        load.add_argument("file", type=Path)
        load.add_argument("--organizer", help="pseudonym; by default the first organizer")
        load.add_argument("--open", action="store_true", help="open it at once")

    def handle(self, *args: Any, **options: Any) -> None:
        organizer = find_organizer(options["organizer"])
        try:
            tournament = services.create(loading.read(options["file"]), organizer=organizer)
            if options["open"]:
                services.move(tournament=tournament, to=Phase.OPEN, organizer=organizer)
        except Refused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Made tournament {tournament.slug} of {organizer}.")


def find_organizer(name: str | None) -> User:
    found = User.objects.filter(is_active=True)
    found = found.filter(username=name) if name else found.filter(is_organizer=True)
    user = found.order_by("pk").first()
    if user is None:
        raise CommandError(
            f"There is no account {name!r}: sign up on the site first."
            if name
            else "There is no organizer yet: `manage.py organizer NAME` makes one of an account."
        )
    return user
