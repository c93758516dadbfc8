"""Accounts on the pages: signing up and in, passwords, tokens, invitations."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiToken, User
from accounts.services import issue_token
from arena.manifest import Role
from tests.platform.web.reading import Browser, text_of
from tests.platform.web.seeding import PASSWORD, World, submitted
from tournaments.models import Entry
from tournaments.states import EntryState


def test_signing_up_logs_in_and_asks_for_a_team(db: None) -> None:
    client = Client()
    data = {"username": "eve", "email": "eve@example.org", "password": PASSWORD}
    response = client.post("/signup/", data, follow=True)
    assert response.redirect_chain[-1][0] == "/profile/"
    assert "You are in no team yet" in text_of(response)


def test_a_taken_pseudonym_is_refused_beside_its_field(world: World) -> None:
    data = {"username": "Dana", "email": "other@example.org", "password": PASSWORD}
    response = Client().post("/signup/", data)
    assert response.status_code == 422
    assert "This pseudonym is taken." in text_of(response)


def test_logging_in_never_leads_to_another_site(world: World) -> None:
    data = {"username": "dana", "password": PASSWORD, "next": "https://mallory.example/"}
    assert Client().post("/login/", data)["Location"] == "/"


def test_too_many_wrong_passwords_are_answered_with_a_page(world: World, settings: Any) -> None:
    settings.AXES_FAILURE_LIMIT = 2
    data = {"username": "dana", "password": "wrong"}
    answers = [Client().post("/login/", data) for _ in range(3)]
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert "Too many" in text_of(answers[-1])


@pytest.mark.parametrize("path", ["/profile/", "/tournaments/new/"])
def test_no_two_fields_of_a_page_share_an_id(world: World, as_: Browser, path: str) -> None:
    """A label would lead to the other one."""
    html = as_(world.oscar).get(path).content.decode()
    ids = re.findall(r'<(?:input|select|textarea)[^>]*\sid="([^"]+)"', html)
    assert ids
    assert len(ids) == len(set(ids))


def test_a_token_is_shown_once(world: World, as_: Browser) -> None:
    browser = as_(world.dana)
    made = browser.post("/profile/tokens/", {"name": "bot", "scopes": ["read"], "days": 9})
    found = re.search(r'value="(adv_[^"]+)"', text_of(made))
    assert found
    assert found[1] not in text_of(browser.get("/profile/"))
    token = ApiToken.objects.get(user=world.dana)
    assert browser.post(f"/profile/tokens/{token.uid}/revoke/").status_code == 302
    assert f"{token.prefix}…" not in text_of(browser.get("/profile/"))


def test_an_address_that_leads_nowhere_is_told_in_words(world: World, as_: Browser) -> None:
    page = as_(None).get("/no/such/page/")
    assert page.status_code == 404
    assert "The address may be misspelt" in text_of(page)
    assert "404<" in text_of(page)
    assert "Resolver404" not in text_of(page)
    assert "There is no such tournament." in text_of(as_(None).get("/tournaments/none/"))


def changes_password(browser: Client, **data: str) -> Any:
    form = {"current": PASSWORD, "password": "another long sentence"} | data
    return browser.post("/profile/password/", form)


def test_a_new_password_ends_other_sessions_and_leaves_tokens(world: World, as_: Browser) -> None:
    """As elsewhere: a bot in mid tournament does not stop because its person changed a password."""
    here, elsewhere = Client(), Client()
    for browser in (here, elsewhere):
        browser.post("/login/", {"username": "dana", "password": PASSWORD})
    issue_token(user=world.dana, name="bot", scopes=["read"])
    assert changes_password(here).status_code == 302
    assert here.get("/profile/").status_code == 200
    assert elsewhere.get("/profile/").status_code == 302
    assert ApiToken.objects.get(user=world.dana).is_live
    answer = Client().post("/login/", {"username": "dana", "password": "another long sentence"})
    assert answer.status_code == 302


def test_a_new_password_may_take_all_tokens_along(world: World, as_: Browser) -> None:
    issue_token(user=world.dana, name="bot", scopes=["read"])
    issue_token(user=world.alice, name="hers", scopes=["read"])
    browser = as_(world.dana)
    assert "Revoke my API tokens too" in text_of(browser.get("/profile/"))
    assert changes_password(browser, revoke_tokens="on").status_code == 302
    assert not ApiToken.objects.get(user=world.dana).is_live
    assert ApiToken.objects.get(user=world.alice).is_live


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"current": "wrong"}, "This is not your password."),
        ({"password": "short"}, "This password is too short."),
    ],
)
def test_a_password_is_not_changed_by_whoever_does_not_know_it(
    world: World, as_: Browser, data: dict[str, str], sentence: str
) -> None:
    answer = changes_password(as_(world.dana), **data, revoke_tokens="on")
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    assert User.objects.get(pk=world.dana.pk).check_password(PASSWORD)


def test_an_invitation_lets_one_person_in(world: World, as_: Browser) -> None:
    page = text_of(as_(world.dana).post(f"/teams/{world.defenders.uid}/invite/"))
    found = re.search(r'value="http://testserver(/join/[^"]+)"', page)
    assert found
    assert "Bulwark Lab" in text_of(as_(world.charlie).get(found[1]))
    as_(world.charlie).post(found[1])
    assert world.defenders.members.filter(username="charlie").exists()
    assert as_(world.alice).get(found[1]).status_code == 404


def test_a_visitor_with_an_invitation_comes_back_to_it(world: World, as_: Browser) -> None:
    response = as_(None).get("/join/adv_x/")
    assert response["Location"] == "/login/?next=/join/adv_x/"


def test_a_team_s_page_shows_what_it_entered_last(world: World, as_: Browser) -> None:
    first = world.entries["Momentum PGD"]
    for number in range(25):
        later = submitted(world.attackers, world.alice, f"Spear {number}", Role.ATTACK)
        Entry.objects.create(
            tournament=world.tournament,
            team=world.attackers,
            submission=later,
            role="attack",
            player="attack",
            name=later.name,
            state=EntryState.SUPERSEDED,
        )
    page = text_of(as_(world.alice).get(f"/teams/{world.attackers.uid}/"))
    entered = page[page.index(">Entries<") :]
    assert "Spear 24" in entered
    assert first.name not in entered
