"""Who may come to a private tournament, and who runs one beside its maker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.db import transaction
from django.db.models import Q

from accounts.models import Team, User
from events.errors import Conflict, Invalid
from events.models import Audience
from tournaments import announcing
from tournaments.models import Tournament
from tournaments.selectors import require_organizer

MAY_ORGANIZE: Final = Q(is_active=True) & (Q(is_organizer=True) | Q(is_superuser=True))
"""Whoever lost the right is named still: given back, he runs his tournaments again."""


@transaction.atomic
def invite(tournament: Tournament, *, names: Iterable[str], organizer: User) -> list[Team]:
    """Lets teams see a private tournament and enter it. Returns those that could not before.

    Raises:
        Invalid: no name, or one that no team has; nobody is invited then.
    """
    require_organizer(organizer, tournament)
    teams = [_team(name) for name in _written(names)]
    known = set(tournament.invited.values_list("pk", flat=True))
    new = [team for team in teams if team.pk not in known]
    tournament.invited.add(*new)
    for team in new:
        announcing.tell(tournament, "tournament.invited", audience=Audience.TEAM, team=team.pk)
    return new


def _written(names: Iterable[str]) -> list[str]:
    written = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not written:
        raise Invalid("Name at least one team.")
    return written


def _team(name: str) -> Team:
    found = None
    if "\0" not in name:  # SQLite knows no case beyond ASCII: as it was written comes first
        named = Team.objects.filter(name=name).first()
        found = named or Team.objects.filter(name__iexact=name).first()
    if found is None:
        raise Invalid(
            f"There is no team {name!r}, so nobody was invited: write it as its page shows it."
        )
    return found


@transaction.atomic
def uninvite(tournament: Tournament, *, team: Team, organizer: User) -> None:
    """Takes an invitation back. A team that has entered sees the tournament still."""
    require_organizer(organizer, tournament)
    tournament.invited.remove(team)


@transaction.atomic
def add_organizer(tournament: Tournament, *, username: str, organizer: User) -> None:
    """Somebody else who runs it: they read its packages and logs from then on.

    Raises:
        Invalid: no such account, or one that runs no tournaments.
    """
    require_organizer(organizer, tournament)
    found = None
    if "\0" not in username:
        found = User.objects.filter(MAY_ORGANIZE, username__iexact=username.strip()).first()
    if found is None:
        raise Invalid(
            f"{username.strip()!r} is no organizer; an administrator makes one of an account."
        )
    tournament.organizers.add(found)


@transaction.atomic
def remove_organizer(tournament: Tournament, *, username: str, organizer: User) -> None:
    """Raises Conflict for the last one who may run it: somebody has to."""
    require_organizer(organizer, tournament)
    Tournament.objects.select_for_update().get(pk=tournament.pk)
    others = tournament.organizers.exclude(username=username)
    if not others.filter(MAY_ORGANIZE).exists():
        raise Conflict("Somebody has to run the tournament: add another organizer first.")
    tournament.organizers.remove(*tournament.organizers.filter(username=username))
