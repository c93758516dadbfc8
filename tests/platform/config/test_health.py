"""Health checks, and the headers that every answer carries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from config.middleware import ContentSecurityPolicy


def test_a_live_process_says_so_without_a_database(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}


@pytest.mark.django_db
def test_ready_means_that_the_database_answers(client: Client) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "database": True, "broker": False, "disk": True}


@pytest.mark.django_db
def test_a_full_disk_is_reported_and_pages_are_read_still(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submissions.room.LEAST_BYTES", 1 << 80)
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["disk"] is False


@pytest.mark.django_db
def test_without_a_database_it_is_not_ready(client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr("config.health.database_answers", lambda: False)
    assert client.get("/readyz").status_code == 503


def test_every_answer_carries_a_strict_policy(client: Client) -> None:
    policy = client.get("/healthz").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_an_async_answer_carries_it_too(rf: Any) -> None:
    async def view(request: object) -> HttpResponse:
        return HttpResponse()

    answer = asyncio.run(ContentSecurityPolicy(view)(rf.get("/")))  # type: ignore[arg-type]
    assert "Content-Security-Policy" in answer.headers
