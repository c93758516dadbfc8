"""Names, sentences, flags and logs of strangers on every page that shows a tournament."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Team
from submissions.models import Submission
from tests.platform.web.reading import Browser
from tests.platform.web.seeding import World
from tests.submissions.test_hostile_uploads import ESCAPES, MARKUP, injected
from tournaments.models import Entry, Match, Verdict

PAGES = (
    "/",
    "/parts/home/",
    "/tournaments/",
    "/tournaments/spring/",
    "/parts/tournaments/spring/boards/",
    "/parts/tournaments/spring/progress/",
    "/tournaments/spring/rules/",
    "/tournaments/spring/entries/",
    "/tournaments/spring/matches/",
    "/parts/tournaments/spring/matches/",
    "/tournaments/spring/organize/",
    "/submissions/",
)


@pytest.fixture
def hostile(world: World) -> World:
    """Everything that somebody else may have written, written in markup."""
    Entry.objects.filter(team__isnull=False).update(name=MARKUP)
    Submission.objects.update(name=MARKUP, sentence=MARKUP, figures={MARKUP: MARKUP})
    for number, team in enumerate(Team.objects.order_by("pk")):
        Team.objects.filter(pk=team.pk).update(name=f"{MARKUP[:50]}{number}")
    escapes = ESCAPES.replace("\0", "")  # which no log that is recorded holds: test_recording.py
    logs = {"attack": f"{MARKUP}\n{escapes}", "defense": f"{escapes}\n{MARKUP}"}
    Verdict.objects.update(logs=logs, fault_sentence=MARKUP, flags=[MARKUP])
    return world


@pytest.mark.parametrize("role", ["oscar", "alice", "dana", "charlie", None])
def test_no_page_takes_a_stranger_s_words_for_markup(
    hostile: World, as_: Browser, role: str | None
) -> None:
    browser = as_(getattr(hostile, role) if role else None)
    entered = Match.objects.filter(attack__team__isnull=False, verdict__isnull=False)
    matches = [f"/matches/{match.uid}/" for match in entered[:6]]
    teams = [f"/teams/{team.uid}/" for team in Team.objects.all()]
    shown = 0
    for path in (*PAGES, *matches, *teams):
        response: Any = browser.get(path)
        if response.status_code != 200:
            assert response.status_code in (302, 403, 404), path
            continue
        page = response.content.decode()
        assert injected(page) == [], path
        assert not set("\x1b\x07\x00\u202e\u2066") & set(page), path
        shown += "&lt;b id=pwned" in page
    assert shown > 3, "the names were nowhere to be seen"


@pytest.mark.parametrize("path", ["tournaments/spring/entries/", "matches/", "submissions/"])
def test_the_api_answers_in_json_whatever_a_browser_would_rather_have(
    hostile: World, as_: Browser, path: str
) -> None:
    """A page of JSON that a browser took for HTML would run what a name says."""
    response: Any = as_(hostile.dana).get(f"/api/v1/{path}", headers={"accept": "text/html"})
    assert response["Content-Type"].partition(";")[0] in (
        "application/json",
        "application/problem+json",
    )
    assert response["X-Content-Type-Options"] == "nosniff"
