"""Reads accounts."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet

from accounts.models import ApiToken, Invitation, Membership, Team, TeamRole, User
from events.errors import NotThere

Person = User | AnonymousUser

MAY_ORGANIZE: Final = Q(is_active=True) & (Q(is_organizer=True) | Q(is_superuser=True))
"""The accounts of which :func:`may_organize` holds."""


def is_administrator(user: Person) -> bool:
    return bool(user.is_active and user.is_superuser)


def may_organize(user: Person) -> bool:
    """Whether ``user`` may make tournaments, and run those whose organizer he is."""
    if not isinstance(user, User) or not user.is_active:
        return False
    return user.is_organizer or user.is_superuser


def team_ids(user: Person) -> frozenset[int]:
    """Primary keys of the teams that ``user`` is in; none for a visitor."""
    if not isinstance(user, User):
        return frozenset()
    return asked_once(user, "teams", Membership.objects.filter(user=user), "team")


def asked_once(user: User, name: str, rows: QuerySet[Any], column: str = "pk") -> frozenset[int]:
    """A column of ``rows`` as the primary keys that it holds. Within a request that only reads
    they are asked for once, and known by ``name``."""
    known = {} if user.known is None else user.known
    if name not in known:
        known[name] = frozenset(rows.values_list(column, flat=True))
    return known[name]


def teams_of(user: Person) -> QuerySet[Team]:
    return Team.objects.filter(pk__in=team_ids(user))


def team_of(user: Person, uid: str) -> Team:
    """The user's own team with this opaque id.

    Raises:
        NotThere: not his, or none; the answer is the same.
    """
    team = teams_of(user).filter(uid=uid).first()
    if team is None:
        raise NotThere("There is no such team of yours.")
    return team


def is_captain(user: Person, team: Team) -> bool:
    if not isinstance(user, User):
        return False
    return team.memberships.filter(user=user, role=TeamRole.CAPTAIN).exists()


def members(team: Team) -> QuerySet[Membership]:
    return team.memberships.select_related("user")


def open_invitations(team: Team) -> list[Invitation]:
    found = team.invitations.filter(used_at__isnull=True, revoked_at__isnull=True)
    found = found.select_related("invited_by")
    return [invitation for invitation in found if invitation.is_open]


def tokens_of(user: User) -> QuerySet[ApiToken]:
    return user.api_tokens.filter(revoked_at__isnull=True)
