"""What the pages of a tournament say, and of whom they say nothing."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Team
from leaderboard.models import Standing
from tests.platform.web.reading import Browser, text_of
from tests.platform.web.seeding import World, spec
from tournaments import services
from tournaments.models import Entry, Match, Tournament
from tournaments.services import RoundPlan, TournamentPlan
from tournaments.states import EntryState, Phase
from web.figures import percent
from web.templatetags.arena import moment


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
    assert float(shown["mean_over_attacks"]) == wanted.metrics["robust_mean"]
    assert shown["team"] == "'=HYPERLINK(1)"
    attack = next(row for row in rows if row["side"] == "attack" and row["unique_kills"])
    ranked = stored.get(role="attack", entry__name=attack["entry"], round__number=attack["round"])
    assert int(attack["unique_kills"]) == ranked.metrics["unique_kills"]
    assert float(attack["on_house"]) == ranked.metrics[f"{attack['figure']}_on_house"]
    board = text_of(as_(None).get("/tournaments/spring/"))
    assert 'href="/tournaments/spring/standings.csv"' in board
    assert "Unique kills" in board
    assert 'href="/api/v1/tournaments/spring/standings/"' in board


def test_tournaments_that_have_ended_are_listed_page_after_page(
    world: World, as_: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is open or to come stands before them, on the first page alone."""
    monkeypatch.setattr("web.pages.tournaments.A_PAGE", 2)
    for number in range(3):
        ended = services.create(
            TournamentPlan(f"Ended {number}", "mnist5k", (RoundPlan("One", spec("white")),)),
            organizer=world.oscar,
        )
        Tournament.objects.filter(pk=ended.pk).update(state=Phase.FROZEN)
    first, second = (as_(None).get(f"/tournaments/{query}") for query in ("", "?page=2"))
    titles = ["Ended 2", "Ended 1", "Ended 0", world.tournament.title]
    assert [title in text_of(first) for title in titles] == [True, True, False, True]
    assert [title in text_of(second) for title in titles] == [False, False, True, False]
    assert 'href="/tournaments/?page=2"' in first.content.decode()
    assert 'href="/tournaments/?page=1"' in second.content.decode()
