"""Writes accounts: signing up, teams, invitations, tokens. Each refusal is a sentence.

Whoever changes who is in a team holds the team's row: else somebody could leave while he is made
captain, and the team would have none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, NamedTuple

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts import secrets
from accounts.models import ApiToken, Invitation, Membership, Scope, Team, TeamRole, User
from accounts.selectors import may_organize
from events import services as events
from events.errors import Conflict, Invalid, NotAllowed, NotThere
from events.models import Audience

RESERVED: Final = frozenset(("house", "somebody", "withdrawn"))
"""What stands on boards and pages in the place of a team."""


class IssuedInvitation(NamedTuple):
    invitation: Invitation
    token: str
    """Shown now and never again."""


class IssuedToken(NamedTuple):
    api_token: ApiToken
    token: str
    """Shown now and never again."""


def sign_up(*, username: str, email: str, password: str) -> User:
    """A new account.

    Raises:
        ValidationError: by field: a pseudonym or address that is taken, a weak password.
    """
    user = User(username=username.strip(), email=User.objects.normalize_email(email.strip()))
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({"password": error.messages}) from error
    user.set_password(password)
    user.full_clean()
    user.save()
    return user


@transaction.atomic
def change_password(
    *, user: User, current: str, password: str, revoke_tokens: bool = False
) -> None:
    """A new password. It ends all sessions, that of the caller too; tokens live on unless told.

    Raises:
        ValidationError: by field: not the current one, or a new one that is weak.
    """
    if not user.check_password(current):
        raise ValidationError({"current": "This is not your password."})
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({"password": error.messages}) from error
    user.set_password(password)
    user.save(update_fields=["password"])
    if revoke_tokens:
        user.api_tokens.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())


# --- teams --------------------------------------------------------------------------------------


@transaction.atomic
def create_team(*, user: User, name: str) -> Team:
    """A team with ``user`` as its captain.

    Raises:
        Invalid: the name is empty, too long, taken, reads like another's, or is the arena's own.
    """
    team = Team(name=_readable(name))
    try:
        team.full_clean()
    except ValidationError as error:
        raise Invalid(" ".join(error.messages)) from error
    team.save()
    Membership.objects.create(team=team, user=user, role=TeamRole.CAPTAIN)
    _tell(team, "team.created", by=user.username)
    return team


def _readable(name: str) -> str:
    """One spelling of each letter and nothing that cannot be seen: a name on a board is one team's.

    Raises:
        Invalid: it holds invisible characters, or is what boards call the arena's own players.
    """
    plain = " ".join(unicodedata.normalize("NFKC", name).split())
    if any(unicodedata.category(character)[0] == "C" for character in plain):
        raise Invalid("The name holds characters that cannot be seen; remove them.")
    if plain.casefold() in RESERVED:
        raise Invalid(f"Boards call the arena's own {plain!r}; choose another name.")
    if not plain.isascii() and _is_taken(plain):
        raise Invalid("There is a team of this name already.")
    return plain


def _is_taken(name: str) -> bool:
    """Beyond ASCII: SQLite's ``lower``, which the constraint asks, knows no other letters."""
    names = Team.objects.values_list("name", flat=True)
    return name.casefold() in {other.casefold() for other in names}


@transaction.atomic
def leave_team(*, user: User, team: Team) -> None:
    """Ends the membership at once. A captain hands over first, unless he is the last.

    Raises:
        NotThere: not a member.
        Conflict: a captain with members left.
    """
    _lock(team)
    membership = team.memberships.filter(user=user).first()
    if membership is None:
        raise NotThere("You are not in this team.")
    others = team.memberships.exclude(user=user).exists()
    if membership.role == TeamRole.CAPTAIN and others:
        raise Conflict("Make another member captain before you leave.")
    membership.delete()
    _tell(team, "team.left", by=user.username)


@transaction.atomic
def hand_over(*, captain: User, team: Team, to: User) -> None:
    """Makes ``to`` the captain.

    Raises:
        NotAllowed: ``captain`` is not the captain.
        NotThere: ``to`` is not a member.
    """
    _lock(team)
    require_captain(captain, team)
    if not team.memberships.filter(user=to).exists():
        raise NotThere("This person is not in the team.")
    team.memberships.filter(user=captain).update(role=TeamRole.MEMBER)
    team.memberships.filter(user=to).update(role=TeamRole.CAPTAIN)
    _tell(team, "team.captain", by=captain.username, captain=to.username)


@transaction.atomic
def remove_member(*, captain: User, team: Team, user: User) -> None:
    """Ends a membership, and with it the invitations by which he could let himself in again."""
    _lock(team)
    require_captain(captain, team)
    if captain == user:
        raise Conflict("Make another member captain before you leave.")
    if not team.memberships.filter(user=user).delete()[0]:
        raise NotThere("This person is not in the team.")
    team.invitations.filter(invited_by=user, used_at=None, revoked_at=None).update(
        revoked_at=timezone.now()
    )
    _tell(team, "team.left", by=user.username)


def _lock(team: Team) -> None:
    Team.objects.select_for_update().get(pk=team.pk)


def require_member(user: User, team: Team) -> None:
    if not team.memberships.filter(user=user).exists():
        raise NotAllowed("You are not in this team.")


def require_captain(user: User, team: Team) -> None:
    if not team.memberships.filter(user=user, role=TeamRole.CAPTAIN).exists():
        raise NotAllowed("Only the team's captain may do that.")


def _tell(team: Team, kind: str, **payload: str) -> None:
    payload |= {"team": team.uid}
    events.record(kind, audience=Audience.TEAM, team=team.pk, subject=team.pk, payload=payload)


# --- invitations --------------------------------------------------------------------------------


@transaction.atomic
def invite(*, user: User, team: Team) -> IssuedInvitation:
    """A link for one person. Any member may invite.

    Raises:
        NotAllowed: not a member.
    """
    _lock(team)
    require_member(user, team)
    token = secrets.new_token()
    invitation = Invitation.objects.create(
        team=team,
        invited_by=user,
        token_hash=secrets.digest(token),
        expires_at=timezone.now() + timedelta(days=settings.INVITATION_DAYS),
    )
    return IssuedInvitation(invitation, token)


def find_invitation(token: str) -> Invitation:
    """The open invitation of a link.

    Raises:
        NotThere: unknown, used, revoked or expired; the sentence does not say which.
    """
    invitation = (
        Invitation.objects.select_related("team").filter(token_hash=secrets.digest(token)).first()
    )
    if invitation is None or not invitation.is_open:
        raise NotThere("This invitation is not valid any more. Ask the team for a new one.")
    return invitation


@transaction.atomic
def accept_invitation(*, user: User, token: str) -> Team:
    """Joins the team; the link is used up by a conditional UPDATE, so that two cannot share it.

    Raises:
        NotThere: not a valid link.
        Conflict: already in the team (the link stays good).
    """
    invitation = find_invitation(token)
    team = invitation.team
    _lock(team)
    if team.memberships.filter(user=user).exists():
        raise Conflict("You are in this team already.")
    taken = Invitation.objects.filter(
        pk=invitation.pk, used_at__isnull=True, revoked_at__isnull=True
    ).update(used_at=timezone.now(), used_by=user)
    if not taken:
        raise NotThere("This invitation is not valid any more. Ask the team for a new one.")
    Membership.objects.create(team=team, user=user, role=_role_of_the_next(team))
    _tell(team, "team.joined", by=user.username)
    return team


def _role_of_the_next(team: Team) -> TeamRole:
    """Whoever joins a deserted team leads it."""
    return TeamRole.MEMBER if team.memberships.exists() else TeamRole.CAPTAIN


def revoke_invitation(*, user: User, invitation: Invitation) -> None:
    require_member(user, invitation.team)
    Invitation.objects.filter(pk=invitation.pk, used_at__isnull=True).update(
        revoked_at=timezone.now()
    )


# --- API tokens ---------------------------------------------------------------------------------


def issue_token(
    *, user: User, name: str, scopes: Iterable[str], days: int | None = None
) -> IssuedToken:
    """A token with ``scopes`` (``Scope`` values) that lives ``days`` days.

    Raises:
        Invalid: no name, no scope, an unknown scope, or a life beyond a year.
    """
    wanted = sorted(set(scopes))
    life = settings.TOKEN_DAYS if days is None else days
    if not name.strip() or len(name) > 60:
        raise Invalid("Give the token a name of at most 60 characters.")
    if not wanted or not set(wanted) <= set(Scope.values):
        raise Invalid(f"Choose scopes among {', '.join(Scope.values)}.")
    if not 1 <= life <= 366:
        raise Invalid("A token lives between 1 and 366 days.")
    token = secrets.new_token()
    row = ApiToken.objects.create(
        user=user,
        name=name.strip(),
        token_hash=secrets.digest(token),
        prefix=token[: secrets.SHOWN],
        scopes=wanted,
        expires_at=timezone.now() + timedelta(days=life),
    )
    return IssuedToken(row, token)


def revoke_token(*, user: User, uid: str) -> None:
    """Raises NotThere for a token of somebody else."""
    if not ApiToken.objects.filter(user=user, uid=uid).update(revoked_at=timezone.now()):
        raise NotThere("You have no such token.")


def use_token(token: str) -> ApiToken | None:
    """The live token of an active user, its use noted at most once a minute; else None."""
    found = (
        ApiToken.objects.select_related("user")
        .filter(token_hash=secrets.digest(token), user__is_active=True)
        .first()
    )
    if found is None or not found.is_live:
        return None
    now = timezone.now()
    if found.last_used_at is None or now - found.last_used_at > timedelta(minutes=1):
        ApiToken.objects.filter(pk=found.pk).update(last_used_at=now)
    return found


# --- organizers ---------------------------------------------------------------------------------


def require_may_organize(user: User) -> None:
    if not may_organize(user):
        raise NotAllowed("Only organizers make tournaments; ask an administrator.")


def appoint(*, username: str, organizes: bool) -> None:
    """Lets an account run tournaments, or not; for whoever has the machine.

    Raises:
        NotThere: there is no such account.
    """
    if not User.objects.filter(username=username).update(is_organizer=organizes):
        raise NotThere(f"There is no account {username!r}: sign up on the site first.")


def lock(*, username: str, locked: bool) -> None:
    """Shuts an account out, or lets it in again; for whoever has the machine. Its tokens live on
    with it: they open nothing while it is locked.

    Raises:
        NotThere: there is no such account.
    """
    if not User.objects.filter(username=username).update(is_active=not locked):
        raise NotThere(f"There is no account {username!r}.")
