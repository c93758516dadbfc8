"""Accounts: pseudonyms, teams, one-time invitations, tokens that are kept as hashes."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client, RequestFactory
from django.utils import timezone

from accounts import selectors, services
from accounts.models import ApiToken, Invitation, Scope, Team, TeamRole, User
from events.errors import Conflict, Invalid, NotAllowed, NotThere

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"


def signs_up(name: str) -> User:
    return services.sign_up(username=name, email=f"{name}@example.org", password=PASSWORD)


@pytest.fixture
def alice() -> User:
    return signs_up("alice")


@pytest.fixture
def bob() -> User:
    return signs_up("bob")


@pytest.fixture
def team(alice: User) -> Team:
    return services.create_team(user=alice, name="  Gradient   Descenders ")


# --- signing up ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("username", "email", "password", "field"),
    [
        ("ALICE", "new@example.org", PASSWORD, "__all__"),
        ("carol", "Alice@Example.org", PASSWORD, "__all__"),
        ("a@b", "new@example.org", PASSWORD, "username"),
        ("carol", "no address", PASSWORD, "email"),
        ("carol", "new@example.org", "12345678", "password"),
        ("carol", "new@example.org", "carolcarol", "password"),
    ],
)
def test_what_is_wrong_with_an_account_is_said_by_field(
    alice: User, username: str, email: str, password: str, field: str
) -> None:
    if password == "carolcarol":
        username = "carolcarol"
    with pytest.raises(ValidationError) as refused:
        services.sign_up(username=username, email=email, password=password)
    assert set(refused.value.message_dict) == {field}


@pytest.mark.parametrize("name", ["alice", "Alice", "alice@example.org", "ALICE@example.org"])
def test_one_logs_in_with_the_pseudonym_or_the_address(alice: User, name: str) -> None:
    request = RequestFactory().post("/login/")
    assert authenticate(request, username=name, password=PASSWORD) == alice
    assert authenticate(request, username=name, password="wrong") is None


def test_an_inactive_account_does_not_log_in(alice: User) -> None:
    User.objects.update(is_active=False)
    request = RequestFactory().post("/login/")
    assert authenticate(request, username="alice", password=PASSWORD) is None


# --- teams --------------------------------------------------------------------------------------


def test_who_makes_a_team_leads_it(alice: User, team: Team) -> None:
    assert team.name == "Gradient Descenders"
    assert selectors.is_captain(alice, team)
    assert selectors.team_of(alice, team.uid) == team


@pytest.mark.parametrize("name", ["", "   ", "gradient descenders", "x" * 61])
def test_a_teams_name_is_new_and_short(bob: User, team: Team, name: str) -> None:
    with pytest.raises(Invalid):
        services.create_team(user=bob, name=name)


@pytest.mark.parametrize(
    "name",
    ["Gradient\u200b Descenders", "Gradient \u202eDescenders", "Ｇradient Descenders", "House"],
    ids=["an invisible space", "a turned line", "a wide letter", "the arena's own"],
)
def test_no_team_passes_for_another_or_for_the_house(bob: User, team: Team, name: str) -> None:
    with pytest.raises(Invalid):
        services.create_team(user=bob, name=name)
    assert services.create_team(user=bob, name="Équipe Ñandú 東京").name == "Équipe Ñandú 東京"
    with pytest.raises(Invalid, match="already"):
        services.create_team(user=bob, name="éQUIPE ñandÚ 東京")


def test_a_captain_hands_over_before_he_leaves(alice: User, bob: User, team: Team) -> None:
    services.accept_invitation(user=bob, token=services.invite(user=alice, team=team).token)
    with pytest.raises(Conflict, match="captain"):
        services.leave_team(user=alice, team=team)
    with pytest.raises(NotAllowed):
        services.hand_over(captain=bob, team=team, to=bob)
    services.hand_over(captain=alice, team=team, to=bob)
    services.leave_team(user=alice, team=team)
    assert selectors.team_ids(alice) == frozenset()
    with pytest.raises(NotThere):
        selectors.team_of(alice, team.uid)


def test_the_captain_removes_a_member(alice: User, bob: User, team: Team) -> None:
    services.accept_invitation(user=bob, token=services.invite(user=alice, team=team).token)
    with pytest.raises(NotAllowed):
        services.remove_member(captain=bob, team=team, user=alice)
    services.remove_member(captain=alice, team=team, user=bob)
    assert not selectors.team_ids(bob)


def test_a_removed_member_does_not_let_himself_in_again(alice: User, bob: User, team: Team) -> None:
    services.accept_invitation(user=bob, token=services.invite(user=alice, team=team).token)
    back_door = services.invite(user=bob, team=team).token
    hers = services.invite(user=alice, team=team).token
    services.remove_member(captain=alice, team=team, user=bob)
    with pytest.raises(NotThere, match="not valid any more"):
        services.accept_invitation(user=bob, token=back_door)
    assert services.accept_invitation(user=signs_up("carol"), token=hers) == team


@pytest.mark.django_db(transaction=True)
def test_nobody_becomes_captain_while_he_leaves(alice: User, bob: User, team: Team) -> None:
    services.accept_invitation(user=bob, token=services.invite(user=alice, team=team).token)
    has_left, may_commit = threading.Event(), threading.Event()

    def leaves() -> None:
        with transaction.atomic():
            services.leave_team(user=bob, team=team)
            has_left.set()
            may_commit.wait(10)
        connection.close()

    leaving = threading.Thread(target=leaves)
    leaving.start()
    has_left.wait(10)
    threading.Timer(0.3, may_commit.set).start()
    with pytest.raises(NotThere):
        services.hand_over(captain=alice, team=team, to=bob)
    leaving.join()
    assert team.memberships.get(role=TeamRole.CAPTAIN).user == alice


@pytest.mark.django_db(transaction=True)
def test_two_who_join_a_deserted_team_at_once_get_one_captain(
    alice: User, bob: User, team: Team
) -> None:
    tokens = [services.invite(user=alice, team=team).token for _ in range(2)]
    services.leave_team(user=alice, team=team)
    has_joined, may_commit = threading.Event(), threading.Event()

    def joins() -> None:
        with transaction.atomic():
            services.accept_invitation(user=bob, token=tokens[0])
            has_joined.set()
            may_commit.wait(10)
        connection.close()

    joining = threading.Thread(target=joins)
    joining.start()
    has_joined.wait(10)
    threading.Timer(0.3, may_commit.set).start()
    services.accept_invitation(user=alice, token=tokens[1])
    joining.join()
    assert team.memberships.get(user=bob).role == TeamRole.CAPTAIN
    assert team.memberships.get(user=alice).role == TeamRole.MEMBER


# --- invitations --------------------------------------------------------------------------------


def test_an_invitation_lets_one_person_in_once(alice: User, bob: User, team: Team) -> None:
    issued = services.invite(user=alice, team=team)
    assert services.accept_invitation(user=bob, token=issued.token) == team
    assert team.memberships.get(user=bob).role == TeamRole.MEMBER
    with pytest.raises(NotThere):
        services.accept_invitation(user=signs_up("mallory"), token=issued.token)


def test_the_token_itself_is_not_stored(alice: User, team: Team) -> None:
    issued = services.invite(user=alice, team=team)
    assert issued.token not in str(Invitation.objects.values().get())


@pytest.mark.parametrize("spoilt", ["expired", "revoked", "unknown"])
def test_an_invitation_that_is_not_good_says_so_in_the_same_words(
    alice: User, bob: User, team: Team, spoilt: str
) -> None:
    issued = services.invite(user=alice, team=team)
    token = issued.token if spoilt != "unknown" else issued.token + "x"
    if spoilt == "expired":
        Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    if spoilt == "revoked":
        services.revoke_invitation(user=alice, invitation=issued.invitation)
    with pytest.raises(NotThere, match="not valid any more"):
        services.accept_invitation(user=bob, token=token)


def test_a_member_does_not_use_an_invitation_up(alice: User, bob: User, team: Team) -> None:
    issued = services.invite(user=alice, team=team)
    with pytest.raises(Conflict):
        services.accept_invitation(user=alice, token=issued.token)
    assert services.accept_invitation(user=bob, token=issued.token) == team


def test_outsiders_do_not_invite(bob: User, team: Team) -> None:
    with pytest.raises(NotAllowed):
        services.invite(user=bob, team=team)


# --- tokens -------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_kept_as_a_hash(alice: User) -> None:
    issued = services.issue_token(user=alice, name="bot", scopes=[Scope.READ, Scope.SUBMIT])
    assert issued.token.startswith("adv_")
    assert issued.token not in str(ApiToken.objects.values().get())
    used = services.use_token(issued.token)
    assert used is not None
    assert used.user == alice
    assert used.allows(Scope.SUBMIT)
    assert not used.allows(Scope.ORGANIZE)
    assert ApiToken.objects.get().last_used_at is not None


@pytest.mark.parametrize("spoilt", ["expired", "revoked", "owner gone", "unknown"])
def test_a_token_that_is_not_good_opens_nothing(alice: User, spoilt: str) -> None:
    issued = services.issue_token(user=alice, name="bot", scopes=["read"])
    token = issued.token if spoilt != "unknown" else issued.token[:-1]
    if spoilt == "expired":
        ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    if spoilt == "revoked":
        services.revoke_token(user=alice, uid=issued.api_token.uid)
    if spoilt == "owner gone":
        User.objects.update(is_active=False)
    assert services.use_token(token) is None


@pytest.mark.parametrize(
    ("name", "scopes", "days"),
    [("", ["read"], 1), ("bot", [], 1), ("bot", ["fly"], 1), ("bot", ["read"], 1000)],
)
def test_a_token_has_a_name_scopes_and_an_end(
    alice: User, name: str, scopes: list[str], days: int
) -> None:
    with pytest.raises(Invalid):
        services.issue_token(user=alice, name=name, scopes=scopes, days=days)


def test_nobody_revokes_anothers_token(alice: User, bob: User) -> None:
    issued = services.issue_token(user=alice, name="bot", scopes=["read"])
    with pytest.raises(NotThere):
        services.revoke_token(user=bob, uid=issued.api_token.uid)
    assert services.use_token(issued.token) is not None


def test_whoever_has_the_machine_makes_organizers(alice: User) -> None:
    call_command("organizer", "alice")
    alice.refresh_from_db()
    assert alice.is_organizer
    call_command("organizer", "alice", "--revoke")
    alice.refresh_from_db()
    assert not alice.is_organizer
    with pytest.raises(CommandError, match="sign up on the site first"):
        call_command("organizer", "nobody")


def test_a_locked_account_is_out_with_its_sessions_and_tokens(alice: User) -> None:
    token = services.issue_token(user=alice, name="bot", scopes=[Scope.READ]).token
    browser = Client()
    browser.post("/login/", {"username": "alice", "password": PASSWORD})
    assert browser.get("/profile/").status_code == 200
    call_command("lock", "alice")
    assert browser.get("/profile/").status_code == 302
    assert services.use_token(token) is None
    assert Client().post("/login/", {"username": "alice", "password": PASSWORD}).status_code == 200
    call_command("lock", "alice", "--open")
    assert services.use_token(token) is not None
    with pytest.raises(CommandError, match="no account 'nobody'"):
        call_command("lock", "nobody")
