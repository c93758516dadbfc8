"""Oscar at his pages: making, clocks, guests, matches that are void, lists."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.test import Client

from accounts.services import create_team
from tests.platform.web.reading import Browser, text_of
from tests.platform.web.seeding import World
from tournaments.models import Entry, Match, Tournament, Visibility
from tournaments.states import EntryState, MatchState, Phase

ORGANIZE = "/tournaments/spring/organize/"


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


def test_void_matches_are_played_again_together_where_their_players_are_there_still(
    world: World, as_: Browser
) -> None:
    oscar, match = as_(world.oscar), Match.objects.filter(state=MatchState.PENDING)[0]
    Match.objects.filter(pk=match.pk).update(state=MatchState.VOID)
    assert "Play all void again" in text_of(oscar.get(ORGANIZE))
    told = oscar.post("/tournaments/spring/requeue/", follow=True)
    assert "1 match waits again." in text_of(told)
    Match.objects.filter(pk=match.pk).update(state=MatchState.VOID)
    Entry.objects.filter(pk=match.attack_id).update(state=EntryState.WITHDRAWN)
    assert "Play all void again" not in text_of(oscar.get(ORGANIZE))


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
