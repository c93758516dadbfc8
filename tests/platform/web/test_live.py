"""The live stream: what it tells, to whom, and where it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.test import AsyncClient, RequestFactory

from accounts import services as accounts
from accounts.models import Team, User
from events import hints
from events import selectors as outbox
from events import services as events
from events.errors import NotThere
from events.models import Audience
from tournaments.models import Tournament, Visibility
from web import live
from web.live import Scope, read, scope_of

PASSWORD = "correct horse battery"


def user(name: str) -> User:
    return accounts.sign_up(username=name, email=f"{name}@example.org", password=PASSWORD)


@pytest.fixture
def tournament(db: None) -> Tournament:
    return Tournament.objects.create(slug="spring", title="Spring", task="digits")


def happens(kind: str, tournament: Tournament | None = None, **more: Any) -> int:
    more.setdefault("audience", Audience.PUBLIC)
    with transaction.atomic():
        pk = tournament.pk if tournament else None
        return events.record(kind, tournament=pk, **more).pk


def test_a_stream_names_each_kind_once_and_moves_its_cursor(tournament: Tournament) -> None:
    happens("match.recorded", tournament)
    happens("match.recorded", tournament)
    last = happens("board.changed", tournament)
    scope = Scope(tournament=tournament.pk)
    assert read(None, scope, 0) == ({"match", "board"}, last)
    assert read(None, scope, last) == (set(), last)


def test_a_stream_goes_on_where_it_was(tournament: Tournament) -> None:
    first = happens("match.recorded", tournament)
    last = happens("board.changed", tournament)
    assert read(None, Scope(tournament=tournament.pk), first) == ({"board"}, last)


def test_another_tournament_is_not_heard(tournament: Tournament) -> None:
    other = Tournament.objects.create(slug="other", title="Other", task="digits")
    happens("match.recorded", other)
    names, _ = read(None, Scope(tournament=tournament.pk), 0)
    assert names == set()


def test_a_match_page_hears_its_own_match_alone(tournament: Tournament) -> None:
    happens("match.recorded", tournament, payload={"match": "other"})
    scope = Scope(tournament=tournament.pk, match="mine")
    names, cursor = read(None, scope, 0)
    assert names == set()
    happens("match.recorded", tournament, payload={"match": "mine"})
    assert read(None, scope, cursor)[0] == {"match"}


def test_a_team_s_events_are_for_the_team_until_one_leaves(tournament: Tournament) -> None:
    dana, charlie = user("dana"), user("charlie")
    team: Team = accounts.create_team(user=dana, name="Bulwark")
    start = outbox.latest()
    happens("submission.qualified", audience=Audience.TEAM, team=team.pk,
            payload={"submission": "s"})  # fmt: skip
    scope = Scope(submission="s")
    assert read(dana.pk, scope, start)[0] == {"submission"}
    assert read(charlie.pk, scope, start)[0] == set()
    assert read(None, scope, start)[0] == set()
    team.memberships.all().delete()
    assert read(dana.pk, scope, start)[0] == set()


def test_a_private_tournament_has_no_stream_for_outsiders(tournament: Tournament) -> None:
    Tournament.objects.update(visibility=Visibility.PRIVATE)
    request = RequestFactory().get("/live/", {"tournament": "spring"})
    with pytest.raises(NotThere):
        scope_of(AnonymousUser(), request)


@pytest.mark.parametrize("given", ["-1", "9" * 40, "x", "²"])
def test_a_cursor_that_is_none_begins_now(given: str) -> None:
    assert live._cursor(RequestFactory().get("/live/", headers={"last-event-id": given})) is None


def test_progress_is_heard_where_it_belongs() -> None:
    assert Scope(tournament=7).follows("m", 7)
    assert not Scope(tournament=7).follows("m", 8)
    assert Scope(tournament=7, match="m").follows("m", 7)
    assert not Scope(tournament=7, match="other").follows("m", 7)
    assert not Scope().follows("m", 7)


# --- over HTTP ------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[None]:
    settings.REDIS_URL = ""
    monkeypatch.setattr(live, "BATCH_SECONDS", 0.01)
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.05)
    yield
    hints._client.cache_clear()


@pytest.mark.django_db(transaction=True)
def test_the_stream_tells_of_an_event_and_ends_politely(quick: None) -> None:
    tournament = Tournament.objects.create(slug="spring", title="Spring", task="digits")

    async def listen() -> list[bytes]:
        response: Any = await AsyncClient().get("/live/", {"tournament": "spring", "after": "0"})
        assert response["Content-Type"] == "text/event-stream"
        assert response["Cache-Control"] == "no-store"
        got: list[bytes] = []
        async for message in response.streaming_content:
            got.append(message)
            if len(got) == 2:
                await live.in_thread(happens, "board.changed", tournament)
            if b"event: board" in message:
                live.hub().close()
        return got

    got = asyncio.run(asyncio.wait_for(listen(), 30))
    assert got[0] == b"retry: 2000\n\n"
    assert any(message.startswith(b"id: ") for message in got)


@pytest.mark.django_db(transaction=True)
def test_the_stream_of_a_private_tournament_is_not_there(quick: None) -> None:
    Tournament.objects.create(
        slug="spring", title="Spring", task="digits", visibility=Visibility.PRIVATE
    )

    async def ask() -> int:
        response: Any = await AsyncClient().get("/live/", {"tournament": "spring"})
        return int(response.status_code)

    assert asyncio.run(ask()) == 404
