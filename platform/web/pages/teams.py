"""A team's page, its invitations, and joining by a link."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from accounts import selectors, services
from accounts.models import Team, User
from events.errors import Conflict, Invalid
from submissions.selectors import quota
from web.answers import action, member_form, member_page, person
from web.forms import MemberForm


@never_cache
@member_page
def team(request: HttpRequest, uid: str) -> HttpResponse:
    return _team(request, selectors.team_of(request.user, uid))


def _team(request: HttpRequest, team: Team, **more: object) -> HttpResponse:
    context = {
        "team": team,
        "members": selectors.members(team),
        "captain": selectors.is_captain(request.user, team),
        "invitations": selectors.open_invitations(team),
        "quota": quota(team, person=person(request)),
        "submissions": team.submissions.all()[:8],
        "entries": team.entries.select_related("tournament").order_by("-entered_at", "-pk")[:20],
        "section": "profile",
        **more,
    }
    return render(request, "web/team.html", context)


@never_cache
@action
def invite(request: HttpRequest, uid: str) -> HttpResponse:
    """Shows the link in this very answer, and never again."""
    team = selectors.team_of(request.user, uid)
    issued = services.invite(user=person(request), team=team)
    link = request.build_absolute_uri(f"/join/{issued.token}/")
    return _team(request, team, link=link, issued=issued)


@action
def revoke_invitation(request: HttpRequest, uid: str, pk: int) -> HttpResponse:
    team = selectors.team_of(request.user, uid)
    invitation = team.invitations.filter(pk=pk).first()
    if invitation is not None:
        services.revoke_invitation(user=person(request), invitation=invitation)
        messages.success(request, "The invitation is revoked.")
    return redirect("team", uid=uid)


@action
def leave(request: HttpRequest, uid: str) -> HttpResponse:
    team = selectors.team_of(request.user, uid)
    services.leave_team(user=person(request), team=team)
    messages.success(request, f"You have left {team.name}.")
    return redirect("profile")


@action
def hand_over(request: HttpRequest, uid: str) -> HttpResponse:
    team = selectors.team_of(request.user, uid)
    services.hand_over(captain=person(request), team=team, to=_member(request, team))
    return redirect("team", uid=uid)


@action
def remove_member(request: HttpRequest, uid: str) -> HttpResponse:
    team = selectors.team_of(request.user, uid)
    services.remove_member(captain=person(request), team=team, user=_member(request, team))
    return redirect("team", uid=uid)


def _member(request: HttpRequest, team: Team) -> User:
    form = MemberForm(request.POST, team=team)
    if not form.is_valid():
        raise Invalid("Name a member of the team.")
    member = form.cleaned_data["user"]
    assert isinstance(member, User)
    return member


@never_cache
@member_form
def join(request: HttpRequest, token: str) -> HttpResponse:
    """The page behind an invitation; logging in or signing up leads back to it."""
    invitation = services.find_invitation(token)
    if request.method != "POST":
        return render(request, "web/join.html", {"invitation": invitation, "token": token})
    try:
        team = services.accept_invitation(user=person(request), token=token)
    except Conflict:
        team = invitation.team
    else:
        messages.success(request, f"Welcome to {team.name}.")
    return redirect("team", uid=team.uid)
