"""What pages say, and what their forms do."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.utils import timezone
from PIL import Image

from accounts.models import ApiToken, Team, User
from accounts.services import create_team, issue_token
from arena.errors import FaultCode
from arena.manifest import Needs, Role
from arena.rounds import GameName, RoundSpec, threat_model_for
from arena.threat_model import ThreatModel
from leaderboard.models import Standing
from submissions.models import Submission
from tests.platform.web.seeding import PASSWORD, World, judge, submitted
from tournaments import services
from tournaments.models import Entry, Match, Tournament, Verdict, Visibility
from tournaments.services import RoundPlan, TournamentPlan
from tournaments.states import EntryState, MatchState, Phase
from web.figures import heat, percent
from web.findings import FLAGS, REMEDIES, flag_sentence
from web.pages import outcomes
from web.pages.pictures import perturbation_pixels, pixels_of
from web.templatetags.arena import moment, points

Browser = Callable[[User | None], Client]
ORGANIZE = "/tournaments/spring/organize/"
MANIFEST = b'schema_version = 1\nname = "Mean"\nrole = "defense"\nentry = "player.py:Mean"\n'


def archive(**files: bytes) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in (
            {"manifest.toml": MANIFEST, "player.py": b"class Mean: ..."} | files
        ).items():
            packed.writestr(name, content)
    buffer.seek(0)
    buffer.name = "mean.zip"
    return buffer


def text_of(response: object) -> str:
    return response.content.decode()  # type: ignore[attr-defined, no-any-return]


# --- people -------------------------------------------------------------------------------------


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


# --- submissions ----------------------------------------------------------------------------------


def test_an_upload_enters_the_tournament_at_once(world: World, as_: Browser) -> None:
    team = Team.objects.create(name="New")
    team.memberships.create(user=world.charlie, role="member")
    data = {"archive": archive(), "team": team.pk, "tournament": "spring", "terms": "on"}
    response = as_(world.charlie).post("/submissions/new/", data)
    submission = Submission.objects.get(team=team)
    assert response["Location"] == f"/submissions/{submission.uid}/"
    entry = Entry.objects.get(submission=submission)
    assert entry.state == EntryState.WAITING
    assert entry.terms_version == "1"


def test_a_package_is_offered_the_tournaments_that_have_a_round_for_it(
    world: World, as_: Browser
) -> None:
    dana = as_(world.dana)
    shield = submitted(world.defenders, world.dana, "Another shield", Role.DEFENSE)
    thief = submitted(world.defenders, world.dana, "A thief", Role.THIEF)
    offer = f"Enter in {world.tournament.title}"
    assert offer in text_of(dana.get(f"/submissions/{shield.uid}/"))
    assert offer not in text_of(dana.get(f"/submissions/{thief.uid}/"))
    page = text_of(dana.get(f"/tournaments/{world.tournament.slug}/entries/"))
    assert "Another shield" in page
    assert "A thief" not in page
    terms = {"submission": thief.uid, "terms": "on"}
    refused = dana.post(f"/tournaments/{world.tournament.slug}/enter/", terms, follow=True)
    assert "No round of this tournament is made for this thief. " in text_of(refused)
    assert "White box: The evasion game is attacked by a player of role attack." in text_of(refused)


def test_a_learner_of_classes_is_not_offered_a_tournament_about_trends(
    world: World, as_: Browser
) -> None:
    game = GameName.TREND_POISONING
    rules = RoundSpec(
        game=game,
        task="ice-cover",
        threat_model=threat_model_for(game, ThreatModel.white()),
        epsilons=(0.1,),
        examples=4,
    )
    ice = services.create(
        TournamentPlan("Ice", "ice-cover", (RoundPlan("Trends", rules),), slug="ice"),
        organizer=world.oscar,
    )
    services.move(tournament=ice, to=Phase.OPEN, organizer=world.oscar)
    dana, trends = as_(world.dana), Needs(games=(game.value,))
    plain = submitted(world.defenders, world.dana, "A learner", Role.LEARNER)
    line = submitted(world.defenders, world.dana, "A line", Role.LEARNER, needs=trends)
    assert "Enter in Ice" not in text_of(dana.get(f"/submissions/{plain.uid}/"))
    assert "Enter in Ice" in text_of(dana.get(f"/submissions/{line.uid}/"))
    page = text_of(dana.get("/tournaments/ice/entries/"))
    assert "A line" in page
    assert "A learner" not in page
    sent = {"submission": plain.uid, "terms": "on"}
    refused = text_of(dana.post("/tournaments/ice/enter/", sent, follow=True))
    assert "Trends: The learner estimates no trends; one that does names trend_poisoning" in refused


def test_whose_place_an_entry_takes_is_said_before_and_after(world: World, as_: Browser) -> None:
    dana, slug = as_(world.dana), world.tournament.slug
    old = Entry.objects.get(team=world.defenders, player="defense", state=EntryState.ACTIVE)
    some = list(Match.objects.filter(defense=old).values_list("pk", flat=True)[:2])
    left = Match.objects.filter(pk__in=some).update(state="pending")
    assert left == 2
    newer = submitted(world.defenders, world.dana, "Another shield", Role.DEFENSE)
    place = f"<strong>{old.name}</strong>, defense of {old.team_name} in {world.tournament.title}"
    for address in (
        "/submissions/new/",
        f"/submissions/{newer.uid}/",
        f"/tournaments/{slug}/entries/",
    ):
        told = text_of(dana.get(address))
        assert "A newer entry supersedes yours of the same role" in told, address
        assert place in told, address
        assert f"{left} matches not played yet" in told, address
    answer = dana.post(
        f"/tournaments/{slug}/enter/", {"submission": newer.uid, "terms": "on"}, follow=True
    )
    told = text_of(answer)
    said = (
        f"Another shield supersedes {old.name} in {world.tournament.title}. {old.name} had {left} "
    )
    assert said + "matches still to play" in told
    assert Match.objects.filter(defense=old, state="cancelled").count() == left


def test_an_upload_says_whose_place_it_takes_once_it_has_qualified(
    world: World, as_: Browser
) -> None:
    old = Entry.objects.get(team=world.defenders, player="defense", state=EntryState.ACTIVE)
    data = {
        "archive": archive(), "team": world.defenders.pk, "tournament": "spring", "terms": "on"
    }  # fmt: skip
    told = text_of(as_(world.dana).post("/submissions/new/", data, follow=True))
    assert f"supersedes {old.name} in {world.tournament.title} once it has qualified" in told
    old.refresh_from_db()
    assert old.state == EntryState.ACTIVE


def test_nothing_is_said_of_places_that_nobody_takes(world: World, as_: Browser) -> None:
    charlie = as_(world.charlie)
    assert "A newer entry" not in text_of(charlie.get("/submissions/new/"))
    dana = as_(world.dana)
    spear = submitted(world.defenders, world.dana, "A spear", Role.ATTACK)
    page = text_of(dana.get(f"/submissions/{spear.uid}/"))
    assert f"Enter in {world.tournament.title}" in page
    assert "A newer entry" not in page


def test_an_upload_that_the_tournament_refuses_is_kept_and_told_why(
    world: World, as_: Browser
) -> None:
    thief = MANIFEST.replace(b'"defense"', b'"thief"')
    data = {
        "archive": archive(**{"manifest.toml": thief}),
        "team": world.outsiders.pk,
        "tournament": "spring",
        "terms": "on",
    }
    response = as_(world.charlie).post("/submissions/new/", data, follow=True)
    submission = Submission.objects.get(team=world.outsiders)
    assert response.redirect_chain[-1][0] == f"/submissions/{submission.uid}/"
    told = text_of(response)
    assert "The package is here, but not in Spring league on MNIST. No round of this" in told
    assert not Entry.objects.filter(submission=submission).exists()


def test_entering_needs_the_terms(world: World, as_: Browser) -> None:
    data = {"archive": archive(), "team": world.outsiders.pk, "tournament": "spring"}
    response = as_(world.charlie).post("/submissions/new/", data)
    assert response.status_code == 422
    assert not Submission.objects.filter(team=world.outsiders).exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"not a zip", "not a readable zip"),
        (None, "not allowed as a file name"),
    ],
)
def test_a_hostile_archive_is_refused_with_a_sentence(
    world: World, as_: Browser, content: bytes | None, sentence: str
) -> None:
    upload = archive(**{"../../evil.py": b""}) if content is None else io.BytesIO(content)
    upload.name = "evil.zip"
    data = {"archive": upload, "team": world.outsiders.pk}
    response = as_(world.charlie).post(
        "/submissions/new/", data, headers={"accept": "application/json"}
    )
    assert response.status_code == 422
    assert sentence in response.json()["sentence"]


def test_nobody_uploads_for_another_team(world: World, as_: Browser) -> None:
    data = {"archive": archive(), "team": world.defenders.pk}
    assert as_(world.charlie).post("/submissions/new/", data).status_code == 422
    assert not Submission.objects.filter(name="Mean").exists()


def test_a_name_is_text_and_never_markup(world: World, as_: Browser) -> None:
    Submission.objects.update(name="<script>alert(1)</script>", sentence="<b>x</b>")
    entry = world.entries["Bulwark v3"]
    assert entry.submission is not None
    page = text_of(as_(world.dana).get(f"/submissions/{entry.submission.uid}/"))
    assert "<script>alert" not in page
    assert "<b>x</b>" not in page


# --- tournaments ----------------------------------------------------------------------------------


def test_the_board_shows_rank_range_interval_and_team(world: World, as_: Browser) -> None:
    page = text_of(as_(None).get("/tournaments/spring/"))
    row = Standing.objects.get(entry__name="Bulwark v3", round__number=1)
    assert "Bulwark Lab" in page
    assert percent(row.headline) in page
    assert "S1" not in page


def test_a_row_names_the_attack_that_breaks_it_most_and_the_round_where_that_was_another(
    world: World, as_: Browser
) -> None:
    row = Standing.objects.get(entry__name="Bulwark v3", round__number=1)
    attack, other = world.entries["Momentum PGD"], world.round(2)
    row.metrics |= {"strongest_attack": attack.pk, "strongest_round": None}
    row.save()
    page = text_of(as_(None).get("/tournaments/spring/"))
    assert ">weakest against Momentum PGD</span>" in page
    row.metrics |= {"strongest_round": other.pk}
    row.save()
    page = text_of(as_(None).get("/tournaments/spring/"))
    link = f'<a href="?round=2">{other.title}</a>'
    assert f">weakest against Momentum PGD in {link}</span>" in page


def test_the_threat_model_is_shown_by_names_and_sentences(world: World, as_: Browser) -> None:
    page = text_of(as_(None).get("/tournaments/spring/rules/"))
    model = world.round(1).rules.threat_model
    assert model.sentence() in page
    for switch in model.switches():
        assert switch.name in page
    assert not re.search(r"\bS(1[01]|[1-9])\b", page)


def test_disclosure_is_said_before_entering_a_white_round(world: World, as_: Browser) -> None:
    Entry.objects.filter(team=world.defenders).update(state=EntryState.WITHDRAWN)
    page = text_of(as_(world.dana).get("/tournaments/spring/entries/"))
    assert "Disclosure." in page
    assert page.index("Disclosure.") < page.index("I accept the terms")


def test_a_time_that_comes_within_the_minute_is_not_in_0_minutes() -> None:
    assert ">in less than a minute<" in moment(timezone.now() + timedelta(seconds=9))
    assert ">in 2 minutes<" in moment(timezone.now() + timedelta(minutes=2, seconds=30))
    assert ">just now<" in moment(timezone.now() - timedelta(seconds=9))


def test_a_withdrawn_entry_says_so(world: World, as_: Browser) -> None:
    entry = world.entries["Bulwark v3"]
    as_(world.dana).post(f"/entries/{entry.uid}/withdraw/")
    entry.refresh_from_db()
    assert entry.state == EntryState.WITHDRAWN
    assert "Withdrawn" in text_of(as_(None).get("/tournaments/spring/entries/"))


def test_no_page_names_a_withdrawn_entry_or_its_team(world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    as_(world.dana).post(f"/entries/{match.defense.uid}/withdraw/")
    pages = ["/", f"/matches/{match.uid}/", "/tournaments/spring/"]
    pages += [f"/tournaments/spring/{tab}/" for tab in ("entries", "matches")]
    for page in pages:
        shown = as_(None).get(page).content.decode()
        assert "Bulwark v3" not in shown, page
    match_page = text_of(as_(None).get(f"/matches/{match.uid}/"))
    assert "Momentum PGD against withdrawn" in match_page
    assert match.defense.team_name not in match_page
    assert "Bulwark v3" in text_of(as_(world.dana).get("/tournaments/spring/entries/"))


def test_a_withdrawn_entry_keeps_its_name_for_its_team_and_for_organizers(
    world: World, as_: Browser
) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    as_(world.dana).post(f"/entries/{match.defense.uid}/withdraw/")
    Match.objects.filter(pk=match.pk).update(finished_at=timezone.now())
    for reader in (world.dana, world.oscar):
        page = text_of(as_(reader).get(f"/matches/{match.uid}/"))
        assert "Momentum PGD against Bulwark v3" in page
        assert f"{match.defense.team_name} defends" in page
        assert "withdrawn" not in page
        assert "Bulwark v3" in text_of(as_(reader).get(f"/parts/matches/{match.uid}/"))
        assert "Bulwark v3" in text_of(as_(reader).get("/tournaments/spring/matches/"))
        board = as_(reader).get(f"/tournaments/spring/?round={match.round.number}")
        assert "Bulwark v3" in board.content.decode()
        assert "Bulwark v3" in as_(reader).get("/").content.decode()
        assert "Bulwark v3" in as_(reader).get("/tournaments/spring/standings.csv").content.decode()
    for reader in (world.alice, None):
        for page in ("/", "/tournaments/spring/standings.csv"):
            assert "Bulwark v3" not in as_(reader).get(page).content.decode()
        page = text_of(as_(reader).get(f"/matches/{match.uid}/"))
        assert "Momentum PGD against withdrawn" in page
        assert "somebody defends" in page
        assert "Bulwark v3" not in page


def test_oscar_makes_a_tournament_on_the_form(world: World, as_: Browser) -> None:
    data = {
        "title": "Autumn", "slug": "autumn", "task": "digits", "split": "practice",
        "visibility": "public", "rounds-TOTAL_FORMS": "2", "rounds-INITIAL_FORMS": "0",
        "rounds-MIN_NUM_FORMS": "1", "rounds-MAX_NUM_FORMS": "30",
        "rounds-0-title": "White", "rounds-0-game": "evasion", "rounds-0-preset": "white",
        "rounds-0-norm": "linf", "rounds-0-epsilons": "0.1, 0.2", "rounds-0-goal": "untargeted",
        "rounds-0-poison_mode": "add", "rounds-0-examples": "50",
        "rounds-0-attacks": ["fgsm"], "rounds-0-defenses": ["cnn"],
        "rounds-1-title": "Black", "rounds-1-game": "evasion", "rounds-1-preset": "black",
        "rounds-1-norm": "l2", "rounds-1-epsilons": "1", "rounds-1-goal": "untargeted",
        "rounds-1-poison_mode": "add", "rounds-1-examples": "50", "rounds-1-queries": "40",
    }  # fmt: skip
    response = as_(world.oscar).post("/tournaments/new/", data)
    assert response["Location"] == "/tournaments/autumn/organize/"
    made = Tournament.objects.get(slug="autumn")
    rules = [round_.rules for round_ in made.rounds.all()]
    assert [r.epsilons for r in rules] == [(0.1, 0.2), (1.0,)]
    assert rules[1].threat_model.probes.per_example == 40
    assert {entry.house for entry in made.entries.all()} == {"fgsm", "cnn"}
    as_(world.oscar).post("/tournaments/autumn/move/", {"to": "open"})
    made.refresh_from_db()
    assert made.state == Phase.OPEN
    assert made.matches.count() == 1


def test_a_round_that_contradicts_itself_is_refused_on_its_own_form(
    world: World, as_: Browser
) -> None:
    data = {
        "title": "Autumn", "task": "digits", "split": "practice", "visibility": "public",
        "rounds-TOTAL_FORMS": "1", "rounds-INITIAL_FORMS": "0", "rounds-0-title": "White",
        "rounds-0-game": "evasion", "rounds-0-preset": "white", "rounds-0-norm": "linf",
        "rounds-0-goal": "untargeted", "rounds-0-poison_mode": "add", "rounds-0-examples": "50",
    }  # fmt: skip
    response = as_(world.oscar).post("/tournaments/new/", data)
    assert response.status_code == 422
    assert "at least one epsilon" in text_of(response)


def test_what_cannot_be_published_yet_is_refused_with_a_sentence(
    world: World, as_: Browser
) -> None:
    browser = as_(world.oscar)
    browser.post("/tournaments/spring/move/", {"to": "playing"})
    browser.post("/tournaments/spring/move/", {"to": "published"})
    assert "still to be played" in text_of(browser.get("/tournaments/spring/organize/"))


def clock_form(browser: Client, **typed: str) -> dict[str, str]:
    """What the organizer's page would send: what it showed, and what was typed over it."""
    form = browser.get("/tournaments/spring/organize/").context["clock"]
    shown = {
        f"initial-{field.name}": form[field.name].initial.strftime("%Y-%m-%dT%H:%M")
        if form[field.name].initial
        else ""
        for field in form
    }
    kept = {name.removeprefix("initial-"): value for name, value in shown.items()}
    return {**shown, **kept, **typed}


def test_two_organizers_do_not_take_back_each_others_times(world: World, as_: Browser) -> None:
    first, second = as_(world.oscar), as_(world.oscar)
    opened_earlier = clock_form(second, opens_at="2031-01-01T09:00")
    first.post("/tournaments/spring/clock/", clock_form(first, closes_at="2031-02-03T21:30"))
    answer = second.post("/tournaments/spring/clock/", opened_earlier, follow=True)
    assert "The times of" in answer.content.decode()
    assert "03 Feb 2031, 21:30 UTC" in answer.content.decode()
    world.tournament.refresh_from_db()
    assert world.tournament.closes_at == datetime(2031, 2, 3, 21, 30, tzinfo=UTC)
    assert world.tournament.opens_at == datetime(2031, 1, 1, 9, tzinfo=UTC)


def test_a_time_that_is_none_is_refused_by_the_name_of_its_field(
    world: World, as_: Browser
) -> None:
    oscar = as_(world.oscar)
    sent = clock_form(oscar, closes_at="next week")
    answer = oscar.post(
        "/tournaments/spring/rounds/1/clock/", sent, follow=True,
        HTTP_REFERER="http://testserver/tournaments/spring/organize/",
    )  # fmt: skip
    assert "Closes (UTC): Enter a valid date/time." in answer.content.decode()


def test_a_team_that_oscar_invites_sees_his_private_tournament(world: World, as_: Browser) -> None:
    Tournament.objects.filter(pk=world.tournament.pk).update(visibility=Visibility.PRIVATE)
    oscar, charlie = as_(world.oscar), as_(world.charlie)
    team = create_team(user=world.charlie, name="Charlie's angels")
    assert charlie.get("/tournaments/spring/").status_code == 404
    page = oscar.get("/tournaments/spring/organize/")
    assert "Nobody is invited" in text_of(page)
    wrong = oscar.post("/tournaments/spring/invite/", {"teams": "Charlie's angels\nElsewhere"})
    assert wrong.status_code == 422
    assert "There is no team &#x27;Elsewhere&#x27;" in text_of(wrong)
    assert "Charlie&#x27;s angels\nElsewhere</textarea>" in text_of(wrong)
    told = oscar.post("/tournaments/spring/invite/", {"teams": "Charlie's angels\r\n"}, follow=True)
    assert "Charlie&#x27;s angels may see and enter" in text_of(told)
    assert charlie.get("/tournaments/spring/").status_code == 200
    oscar.post("/tournaments/spring/uninvite/", {"team": team.uid})
    assert charlie.get("/tournaments/spring/").status_code == 404


def test_a_void_match_is_played_again(world: World, as_: Browser) -> None:
    match = Match.objects.filter(state=MatchState.PENDING)[0]
    Match.objects.filter(pk=match.pk).update(state=MatchState.VOID, sentence="Our fault.")
    as_(world.oscar).post(f"/matches/{match.uid}/requeue/")
    match.refresh_from_db()
    assert match.state == MatchState.PENDING


def test_why_a_match_is_void_is_for_its_organizers(world: World, as_: Browser) -> None:
    """As over the API: the sentence is of our machines, and may tell of them."""
    match = Match.objects.filter(state=MatchState.PENDING)[0]
    said = "OSError: No space left on /srv/arena"
    Match.objects.filter(pk=match.pk).update(state=MatchState.VOID, sentence=said)
    assert said in text_of(as_(world.oscar).get(f"/matches/{match.uid}/"))
    for path in (f"/matches/{match.uid}/", f"/parts/matches/{match.uid}/"):
        page = text_of(as_(world.alice).get(path))
        assert said not in page
        assert "its organizers may have it played again" in page


def test_oscar_sees_which_entries_wait_and_which_were_refused_and_why(
    world: World, as_: Browser
) -> None:
    wall = world.entries["Bulwark v3"]
    for state, said, remedy in (
        (EntryState.WAITING, "Waiting for qualification", True),
        (EntryState.REFUSED, "Refused: not qualified", False),
    ):
        Entry.objects.filter(pk=wall.pk).update(state=state, reason="It answers with NaN.")
        page = text_of(as_(world.oscar).get("/tournaments/spring/organize/"))
        assert said in page
        assert "It answers with NaN." in page
        assert (f"/entries/{wall.uid}/disqualify/" in page) is remedy


def test_the_organizers_lists_follow_the_matches(world: World, as_: Browser) -> None:
    page = text_of(as_(world.oscar).get("/tournaments/spring/organize/"))
    assert 'hx-get="/parts/tournaments/spring/organize/"' in page
    match = Match.objects.filter(tournament=world.tournament, state=MatchState.SCORED).first()
    assert match is not None
    part = "/parts/tournaments/spring/organize/"
    assert match.uid not in text_of(as_(world.oscar).get(part))
    Match.objects.filter(pk=match.pk).update(state=MatchState.VOID)
    assert f'id="again-{match.uid}"' in text_of(as_(world.oscar).get(part))


def test_the_organizers_list_of_guests_follows_the_entries(world: World, as_: Browser) -> None:
    page = text_of(as_(world.oscar).get("/tournaments/spring/organize/"))
    part = "/parts/tournaments/spring/organize/entries/"
    assert f'hx-get="{part}" hx-trigger="sse:entry, refresh"' in page
    entry = Entry.objects.get(name="Bulwark v3")
    for state, remedy in ((EntryState.WAITING, "disqualify"), (EntryState.DISQUALIFIED, "reinst")):
        Entry.objects.filter(pk=entry.pk).update(state=state)
        assert f"/entries/{entry.uid}/{remedy}" in text_of(as_(world.oscar).get(part))


def test_the_organizers_page_says_how_many_matches_it_does_not_show(
    world: World, as_: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.organizing.A_PAGE", 1)
    Match.objects.filter(tournament=world.tournament).update(state=MatchState.VOID)
    void = Match.objects.filter(tournament=world.tournament).count()
    page = text_of(as_(world.oscar).get("/tournaments/spring/organize/"))
    assert f"And {void - 1} more:" in page


def test_a_frozen_tournament_offers_no_pause(world: World, as_: Browser) -> None:
    Tournament.objects.filter(pk=world.tournament.pk).update(state=Phase.FROZEN)
    page = text_of(as_(world.oscar).get("/tournaments/spring/organize/"))
    assert "/tournaments/spring/pause/" not in page
    assert "Set the times" not in page


def test_the_boards_are_a_table_for_spreadsheets_that_holds_no_formula(
    world: World, as_: Browser
) -> None:
    Team.objects.filter(pk=world.defenders.pk).update(name="=HYPERLINK(1)")
    answer = as_(None).get("/tournaments/spring/standings.csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="spring.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    stored = Standing.objects.filter(tournament=world.tournament)
    assert len(rows) == stored.count() > 0
    shown = next(row for row in rows if row["entry"] == "Bulwark v3" and row["round"] == "1")
    wanted = stored.get(entry=world.entries["Bulwark v3"], round__number=1)
    assert float(shown["value"]) == wanted.headline
    assert shown["team"] == "'=HYPERLINK(1)"
    board = text_of(as_(None).get("/tournaments/spring/"))
    assert 'href="/tournaments/spring/standings.csv"' in board
    assert 'href="/api/v1/tournaments/spring/standings/"' in board


def test_a_disqualified_submission_is_not_offered_again_and_can_be_reinstated(
    world: World, as_: Browser
) -> None:
    entry, oscar, dana = world.entries["Bulwark v3"], as_(world.oscar), as_(world.dana)
    assert entry.submission is not None
    oscar.post(f"/entries/{entry.uid}/disqualify/", {"reason": "A copy."})
    offered = f'<option value="{entry.submission.uid}"'
    assert offered not in text_of(dana.get("/tournaments/spring/entries/"))
    assert f"/entries/{entry.uid}/reinstate/" in text_of(oscar.get("/tournaments/spring/organize/"))
    told = oscar.post(f"/entries/{entry.uid}/reinstate/", follow=True)
    assert "Bulwark v3 plays again." in text_of(told)


def test_a_button_of_an_old_page_does_not_unpublish(world: World, as_: Browser) -> None:
    """ "Close entries" leads from open to playing; from published it would lead there too."""
    oscar = as_(world.oscar)
    old = re.search(r'name="seen" value="(\w+)"', text_of(oscar.get(ORGANIZE)))
    assert old is not None
    Tournament.objects.filter(pk=world.tournament.pk).update(state=Phase.PUBLISHED)
    world.tournament.rounds.filter(number=1).update(state=Phase.PUBLISHED)
    sent = {"seen": old[1], "to": "playing"}
    for path in ("/tournaments/spring/move/", "/tournaments/spring/rounds/1/move/"):
        referer = f"http://testserver{ORGANIZE}"
        told = text_of(oscar.post(path, sent, follow=True, HTTP_REFERER=referer))
        assert "was open when this page was made, and is published now" in told
    world.tournament.refresh_from_db()
    assert world.tournament.state == Phase.PUBLISHED
    assert world.round(1).state == Phase.PUBLISHED


# --- matches --------------------------------------------------------------------------------


def test_a_match_page_tells_figures_with_intervals_and_the_curve_as_a_table(
    world: World, as_: Browser
) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    page = text_of(as_(world.oscar).get(f"/matches/{match.uid}/"))
    for epsilon in ("0.1", "0.2", "0.3"):
        assert f'<th scope="row">{epsilon}</th>' in page
    assert 'id="curve-data"' in page
    assert percent(match.verdict.metrics["robust_accuracy"]) in page
    assert page.count('class="gallery-row"') == 12


def test_a_corruption_round_tells_every_kind_and_names_its_levels(
    world: World, as_: Browser
) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    match.round.spec |= {"norm": "corruption", "epsilons": [1.0, 2.0, 3.0]}
    match.round.save()
    match.verdict.provenance["corruptions"] = {"fog": 0.875, "gaussian_blur": 0.25}
    match.verdict.metrics["corruption_accuracy"] = 0.5625
    match.verdict.save()
    page = text_of(as_(world.oscar).get(f"/matches/{match.uid}/"))
    assert "common corruptions, severity 1, 2, 3" in page
    assert page.index("gaussian blur") < page.index("fog")
    assert "56.2 %" in page
    assert "Against severity" in page
    assert "severity 0.3" in page
    assert "corruptions fog" not in page


def test_figures_are_for_everyone_but_seeds_are_not(world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    page = text_of(as_(None).get(f"/matches/{match.uid}/"))
    assert percent(match.verdict.metrics["robust_accuracy"]) in page
    assert str(match.seed) not in page
    assert match.verdict.provenance["defense_sha256"] not in page
    oscars = text_of(as_(world.oscar).get(f"/matches/{match.uid}/"))
    assert match.verdict.provenance["defense_sha256"] in oscars
    assert "gallery-row" not in page


def test_the_digest_of_an_outcome_waits_for_the_close_as_the_outcome_does(
    world: World, as_: Browser
) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    digest = "ab" * 32
    Verdict.objects.filter(match=match).update(outcome_sha256=digest)
    address = f"/matches/{match.uid}/"
    assert digest in text_of(as_(world.oscar).get(address))
    assert digest not in text_of(as_(None).get(address))
    Tournament.objects.filter(pk=world.tournament.pk).update(state=Phase.FROZEN)
    assert digest in text_of(as_(None).get(address))


def test_a_log_loses_its_control_characters(world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3", 3)
    response = as_(world.alice).get(f"/matches/{match.uid}/attack.log.txt")
    assert b"\x1b" not in response.content
    assert response["Content-Disposition"].startswith("attachment")


def test_a_team_is_told_when_it_will_read_its_log(world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    for reader, name in ((world.alice, "Momentum PGD"), (world.dana, "Bulwark v3")):
        page = text_of(as_(reader).get(f"/matches/{match.uid}/"))
        assert page.count("once this round is published") == 1
        assert f"What {name} printed" in page
    assert "once this round is published" not in text_of(as_(None).get(f"/matches/{match.uid}/"))
    refused = as_(world.alice).get(f"/api/v1/matches/{match.uid}/log/?side=attack")
    assert refused.status_code == 404
    assert "once this round is published" in refused.json()["detail"]
    other = as_(world.alice).get(f"/api/v1/matches/{match.uid}/log/?side=defense")
    assert other.json()["detail"] == "There is no such log for you."


def test_the_level_of_the_gallery_is_checked(world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3", 3)
    good = as_(world.alice).get(f"/matches/{match.uid}/?level=0")
    assert "pictures/attacked-0-" in text_of(good)
    beyond = as_(world.alice).get(f"/matches/{match.uid}/?level=9")
    assert "gallery-row" not in text_of(beyond)


# --- pages as such ----------------------------------------------------------------------


def test_no_page_holds_inline_script_or_style(world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    for path in ("/", "/tournaments/spring/", f"/matches/{match.uid}/", "/tournaments/new/",
                 "/tasks/mnist5k/", "/glossary/"):  # fmt: skip
        page = text_of(as_(world.oscar).get(path))
        assert not re.search(r"<script(?![^>]*(\bsrc=|application/json))", page), path
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", page), path


def test_every_term_on_a_page_is_in_the_glossary(world: World, as_: Browser) -> None:
    known = set(re.findall(r'<div id="([^"]+)">', text_of(as_(None).get("/glossary/"))))
    for path in ("/", "/tournaments/spring/", "/tournaments/spring/rules/", "/tasks/digits/"):
        used = set(re.findall(r"/glossary/#([\w-]+)", text_of(as_(None).get(path))))
        assert used <= known


def test_a_missing_page_says_where_to_go(db: None, as_: Browser) -> None:
    response = as_(None).get("/nothing/")
    assert response.status_code == 404
    assert "See the tournaments" in text_of(response)


def test_published_data_can_be_loaded(as_: Browser, db: None) -> None:
    with np.load(io.BytesIO(as_(None).get("/tasks/digits/train.npz").content)) as data:
        assert data["x"].dtype == np.float32
        assert len(data["x"]) == len(data["y"])


def test_a_perturbation_is_ember_where_added_and_tide_where_taken_away() -> None:
    delta = np.zeros((1, 1, 3), np.float32)
    delta[0, 0] = [0.3, -0.3, 0.0]
    added, taken, left = perturbation_pixels(delta)[0]
    assert added[0] > added[2]
    assert taken[0] < taken[1]
    assert min(left) > 230


def test_a_picture_has_the_size_of_its_example() -> None:
    image = np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 3, 4)
    assert Image.fromarray(pixels_of(image)).size == (4, 3)
    assert pixels_of(np.zeros((3, 5, 6), np.float32)).shape == (5, 6, 3)


def test_heat_grows_with_success() -> None:
    assert [heat(None), heat(0.0), heat(0.42), heat(1.0)] == [
        "heat-none",
        "heat-0",
        "heat-4",
        "heat-10",
    ]


def test_no_share_is_told_as_less_than_nothing_where_it_rounds_to_nothing() -> None:
    assert [percent(-0.0004), percent(-0.004, 0), points(-0.004)] == ["0.0 %", "0 %", "0"]
    assert [percent(-0.02), points(-0.02)] == ["−2.0 %", "−2"]


def test_each_flag_of_a_verdict_is_told_as_a_sentence(project_root: Path) -> None:
    rules = (project_root / "docs" / "rules.md").read_text("utf-8")
    (table,) = re.findall(r"Flags, which are no faults:\n\n(.*?)\n\n", rules, re.DOTALL)
    flags = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    assert set(flags) == set(FLAGS)
    assert flag_sentence("certificate_broken").startswith("Its certificate is broken")
    assert flag_sentence("a flag to come") == "a flag to come"


def test_that_the_other_side_failed_as_well_is_told_as_a_sentence() -> None:
    told = flag_sentence("also_defense_wrong_shape")
    assert told == "The defense failed as well: the player answered with the wrong shape."
    for code in FaultCode:
        assert "_" not in flag_sentence(f"also_attack_{code.value}"), code


def test_the_usual_reasons_of_faults_are_those_of_the_docs(project_root: Path) -> None:
    page = (project_root / "docs" / "writing-a-submission.md").read_text("utf-8")
    (table,) = re.findall(r"\| fault \| usual reason \|\n\| --- .*\n((?:\|.*\n?)+)", page)
    told = {
        code: reason.replace("`", "")
        for codes, reason in re.findall(r"^\| (.*?) \| (.*) \|$", table, re.MULTILINE)
        for code in re.findall(r"`(\w+)`", codes)
    }
    assert told == REMEDIES
    assert set(REMEDIES) == set(FaultCode)


def test_the_side_at_fault_is_told_the_usual_reason(world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3", 1)
    match.verdict.delete()
    judge(match, fault="attack")
    page, reason = f"/matches/{match.uid}/", f"Usual reason: {REMEDIES[FaultCode.CRASHED]}"
    assert reason in text_of(as_(world.oscar).get(page))
    assert "Usual reason" not in text_of(as_(world.dana).get(page))


def test_an_example_that_was_wrong_from_the_start_is_not_called_held(
    world: World, as_: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    match = world.match("Momentum PGD", "Bulwark v3", 1)
    columns = outcomes.columns_of(world.oscar, match)
    none = np.zeros_like(columns["clean_right"])
    wrong = {**columns, "clean_right": none, "broken": none}
    monkeypatch.setattr(outcomes, "columns_of", lambda *_: wrong)
    shown = text_of(as_(world.oscar).get(f"/matches/{match.uid}/"))
    assert "wrong from the start" in shown
    assert "; held" not in shown
