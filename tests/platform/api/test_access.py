"""Who may: tokens, scopes, visitors, throttles, and the shape of every refusal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import ApiToken
from api.throttles import Readers, Visitors, Writers
from tournaments.models import Tournament


def test_me_lists_the_user_s_teams_and_what_they_have_left(alice: Any) -> None:
    me = alice.get("teams/me/").data
    assert me["user"] == "alice"
    assert me["teams"][0]["role"] == "captain"
    assert me["teams"][0]["members"] == ["alice"]
    assert me["teams"][0]["quota"]["valid_left"] == 20
    assert me["teams"][0]["pending_matches"] == 0


def test_a_visitor_is_asked_for_a_token(visitor: Any) -> None:
    answer = visitor.get("teams/me/")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["type"] == "urn:adversarium:problem:not-authenticated"
    assert "account page" in answer.json()["detail"]


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "bearer adv_x"])
def test_a_wrong_token_is_told_even_where_visitors_may_read(db: None, header: str) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=header)
    assert client.get("/api/v1/tournaments/").status_code == 401


def test_a_revoked_or_expired_token_opens_nothing(alice: Any) -> None:
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert alice.get("teams/me/").status_code == 401


def test_a_token_does_no_more_than_its_scopes(alice: Any, spring: Tournament) -> None:
    row = alice.has_qualified("Push")
    alice.carries(("submit",))
    assert alice.get("tournaments/").status_code == 403
    entering = alice.post("entries/", {"tournament": "spring", "submission": row.uid})
    assert entering.status_code == 403
    assert entering.data["detail"] == "This token lacks the scope enter."
    alice.carries(("read",))
    assert alice.get("tournaments/").status_code == 200
    assert alice.post(f"submissions/{row.uid}/cancel/").status_code == 403


def test_a_session_posts_only_with_a_csrf_token(alice: Any) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(alice.user)
    assert browser.get("/api/v1/teams/me/").status_code == 200
    answer = browser.post("/api/v1/entries/", {"tournament": "x", "submission": "y"})
    assert answer.status_code == 403


def test_too_many_requests_are_told_when_to_come_back(
    alice: Any, visitor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Visitors, "rate", "1/min")
    monkeypatch.setattr(Readers, "rate", "1/min")
    for bot in (visitor, alice):
        assert bot.get("tournaments/").status_code == 200
        answer = bot.get("tournaments/")
        assert answer.status_code == 429
        assert answer.json()["type"] == "urn:adversarium:problem:throttled"
        assert 0 < int(answer.headers["Retry-After"]) <= 60


def test_writing_has_a_rate_of_its_own(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Writers, "rate", "1/min")
    assert alice.post("entries/").status_code == 400
    assert alice.post("entries/").status_code == 429
    assert alice.get("teams/me/").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "nowhere/",
        "tournaments/nowhere/",
        "matches/x/",
        "tasks/x/",
        "matches/%00/",
        "tournaments/a%00b/",
        "entries/%2e%2e/",
        "events/?tournament=%00",
        "rounds/x%27/",
    ],
)
def test_what_is_not_there_is_a_problem_body(visitor: Any, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail"}


def test_a_wrong_method_is_told(alice: Any) -> None:
    answer = alice.client.delete("/api/v1/tournaments/")
    assert answer.status_code == 405
    assert answer.json()["type"] == "urn:adversarium:problem:method-not-allowed"


def test_broken_json_is_told(alice: Any) -> None:
    answer = alice.client.post("/api/v1/entries/", "{", content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:adversarium:problem:malformed"


@pytest.mark.parametrize(
    "body",
    ['{"tournament": "\\ud800", "submission": "x"}', "[" * 100_000, '{"a":' * 100_000],
    ids=["half a surrogate pair", "deep lists", "deep tables"],
)
def test_json_that_no_answer_could_hold_is_told(alice: Any, body: str) -> None:
    answer = alice.client.post("/api/v1/entries/", body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:adversarium:problem:malformed"


def test_a_wish_that_is_half_a_character_is_a_problem_and_no_page(
    oscar: Any, spring: Tournament
) -> None:
    answer = oscar.client.post(
        "/api/v1/tournaments/spring/move/", '{"to": "\\ud800"}', content_type="application/json"
    )
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_body_beyond_what_is_kept_in_memory_is_too_large(alice: Any) -> None:
    answer = alice.client.post(
        "/api/v1/entries/", "{}" + " " * (3 << 20), content_type="application/json"
    )
    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:adversarium:problem:too-large"
    field = alice.submit("Push", task="x" * (3 << 20))
    assert field.status_code == 413


def test_a_form_of_a_thousand_fields_is_malformed(alice: Any) -> None:
    answer = alice.submit("Push", **{f"field{n}": "x" for n in range(1500)})
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:adversarium:problem:malformed"


def test_an_address_of_one_s_own_making_escapes_no_throttle(
    visitor: Any, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Visitors, "rate", "1/min")
    assert visitor.get("tournaments/", **{"X-Forwarded-For": "203.0.113.1"}).status_code == 200
    assert visitor.get("tournaments/", **{"X-Forwarded-For": "203.0.113.2"}).status_code == 429


def test_a_lost_broker_refuses_nobody(
    alice: Any, visitor: Any, settings: Any, spring: Tournament
) -> None:
    """Requests are counted in Redis, which production has and may lose."""
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }
    assert visitor.get("tournaments/").status_code == 200
    assert alice.get("teams/me/").status_code == 200
    assert alice.submit("Push").status_code == 202


def test_a_fault_of_ours_is_a_problem_body_without_its_reason(
    alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_user: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("api.views.teams.teams_of", fails)
    alice.client.raise_request_exception = False
    answer = alice.get("teams/me/")
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:adversarium:problem:our-fault"
    assert "secret" not in answer.content.decode()
