"""`manage.py tournament`: make a tournament from a file, invite teams, name organizers."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.models import User
from accounts.selectors import MAY_ORGANIZE
from events.errors import Refused
from tournaments import guests, loading, services
from tournaments.models import Tournament
from tournaments.states import Phase


class Command(BaseCommand):
    help = (
        "Makes a tournament from a TOML file, invites teams to a private one, names its organizers "
        "(docs/running-a-tournament.md)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        load = actions.add_parser("load", help="make the tournament of a file")
        load.add_argument("file", type=Path)
        load.add_argument("--organizer", help="pseudonym; by default the first organizer")
        load.add_argument("--open", action="store_true", help="open it at once")
        invite = actions.add_parser("invite", help="let teams see and enter a private tournament")
        invite.add_argument("slug", help="the tournament, as in its address")
        invite.add_argument("teams", nargs="+", help="their names")
        organizers = actions.add_parser("organizers", help="let others run a tournament, too")
        organizers.add_argument("slug", help="the tournament, as in its address")
        organizers.add_argument("names", nargs="+", help="pseudonyms of organizers")
        for action in (invite, organizers):
            action.add_argument("--remove", action="store_true", help="take it back")

    def handle(self, *args: Any, **options: Any) -> None:
        act = {"load": self._load, "invite": self._invite, "organizers": self._organizers}
        try:
            act[options["action"]](options)
        except Refused as error:
            raise CommandError(str(error)) from error

    def _load(self, options: dict[str, Any]) -> None:
        organizer = find_organizer(options["organizer"])
        tournament = services.create(loading.read(options["file"]), organizer=organizer)
        if options["open"]:
            services.move(tournament=tournament, to=Phase.OPEN, organizer=organizer)
        self.stdout.write(f"Made tournament {tournament.slug} of {organizer}.")

    def _invite(self, options: dict[str, Any]) -> None:
        tournament = find_tournament(options["slug"])
        change = guests.uninvite_named if options["remove"] else guests.invite
        change(tournament, names=options["teams"], organizer=runner_of(tournament))
        invited = ", ".join(guests.names_of_invited(tournament)) or "nobody"
        self.stdout.write(f"Invited to {tournament.slug}: {invited}.")

    def _organizers(self, options: dict[str, Any]) -> None:
        tournament = find_tournament(options["slug"])
        change = guests.remove_organizer if options["remove"] else guests.add_organizer
        with transaction.atomic():
            for name in options["names"]:
                change(tournament, username=name, organizer=runner_of(tournament))
        organizers = ", ".join(guests.names_of_organizers(tournament))
        self.stdout.write(f"{tournament.slug} is run by {organizers}.")


def find_tournament(slug: str) -> Tournament:
    found = Tournament.objects.filter(slug=slug).first()
    if found is None:
        raise CommandError(f"There is no tournament {slug!r}: write it as in its address.")
    return found


def runner_of(tournament: Tournament) -> User:
    """Who acts: whoever runs this command may do what its organizers may."""
    found = tournament.organizers.filter(MAY_ORGANIZE).order_by("pk").first()
    found = found or User.objects.filter(is_active=True, is_superuser=True).first()
    if found is None:
        raise CommandError(
            "Nobody runs this tournament any more: `manage.py organizer NAME` gives one of its "
            "organizers the right back, `manage.py createsuperuser` makes an administrator."
        )
    return found


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
