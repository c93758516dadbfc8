"""Who may come to a private tournament, and who runs one beside its maker."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.db.models import QuerySet

from accounts.models import Team, User
from accounts.selectors import MAY_ORGANIZE
from events.errors import Conflict, Invalid
from events.models import Audience
from tournaments import announcing
from tournaments.models import Tournament, Visibility
from tournaments.selectors import require_organizer


def names_of_invited(tournament: Tournament) -> list[str]:
    return list(tournament.invited.order_by("name").values_list("name", flat=True))


def names_of_organizers(tournament: Tournament) -> list[str]:
    """Whoever lost the right is named still: given back, he runs his tournaments again."""
    return list(tournament.organizers.order_by("username").values_list("username", flat=True))


@transaction.atomic
def invite(tournament: Tournament, *, names: Iterable[str], organizer: User) -> list[Team]:
    """Lets teams see a private tournament and enter it. Returns those that could not before.

    Raises:
        Invalid: no name, or one that no team has, or everybody sees the tournament as it is;
            nobody is invited then.
    """
    require_organizer(organizer, tournament)
    teams = [_team(name) for name in _written(names)]
    if tournament.visibility != Visibility.PRIVATE:
        raise Invalid("Everybody sees a public tournament and may enter it: nobody is invited.")
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


def _named(teams: QuerySet[Team], name: str) -> Team | None:
    if "\0" in name:
        return None
    # SQLite knows no case beyond ASCII: as it was written comes first.
    return teams.filter(name=name).first() or teams.filter(name__iexact=name).first()


def _team(name: str) -> Team:
    found = _named(Team.objects.all(), name)
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
def uninvite_named(tournament: Tournament, *, names: Iterable[str], organizer: User) -> None:
    """Takes back several invitations.

    Raises:
        Invalid: no name, or one that no invited team has; all stay invited then.
    """
    require_organizer(organizer, tournament)
    for name in _written(names):
        team = _named(tournament.invited.all(), name)
        if team is None:
            raise Invalid(f"{name!r} is not invited, so no invitation was taken back.")
        uninvite(tournament, team=team, organizer=organizer)


@transaction.atomic
def add_organizer(tournament: Tournament, *, username: str, organizer: User) -> None:
    """Somebody else who runs it: they read its packages and logs from then on.

    Raises:
        Invalid: no such account, or one that runs no tournaments.
    """
    require_organizer(organizer, tournament)
    found = _account(User.objects.filter(MAY_ORGANIZE), username)
    if found is None:
        raise Invalid(
            f"{username.strip()!r} is no organizer; an administrator makes one of an account."
        )
    tournament.organizers.add(found)


@transaction.atomic
def remove_organizer(tournament: Tournament, *, username: str, organizer: User) -> None:
    """Somebody who runs it no more.

    Raises:
        Invalid: nobody of that name runs it.
        Conflict: the last one who may run it: somebody has to.
    """
    require_organizer(organizer, tournament)
    Tournament.objects.select_for_update().get(pk=tournament.pk)
    found = _account(tournament.organizers.all(), username)
    if found is None:
        raise Invalid(f"{username.strip()!r} does not run this tournament.")
    if not tournament.organizers.exclude(pk=found.pk).filter(MAY_ORGANIZE).exists():
        raise Conflict("Somebody has to run the tournament: add another organizer first.")
    tournament.organizers.remove(found)


def _account(among: QuerySet[User], username: str) -> User | None:
    return None if "\0" in username else among.filter(username__iexact=username.strip()).first()
