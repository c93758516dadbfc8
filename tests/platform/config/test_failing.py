"""What is answered when a request fails, with the database away and with it there."""

from __future__ import annotations

import sqlite3
from typing import Any, Never

import psycopg
import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import InterfaceError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client

from events.away import database_is_away

PROBLEM = "urn:adversarium:problem:"


@pytest.fixture
def visitor() -> Client:
    return Client(raise_request_exception=False)


def raising(error: Exception, cause: Exception | None = None) -> Any:
    def fail(*_args: object, **_named: object) -> Never:
        raise error from cause

    return fail


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    away = raising(OperationalError("refused"), psycopg.OperationalError("refused"))
    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", away)
    monkeypatch.setattr(BaseDatabaseWrapper, "cursor", away)


@pytest.mark.usefixtures("no_database")
@pytest.mark.parametrize("path", ["/", "/tournaments/", "/matches/x/"])
def test_a_page_says_503_and_when_to_come_back(visitor: Client, path: str) -> None:
    visitor.cookies["sessionid"] = "a-key-that-somebody-has-0123456"
    answer = visitor.get(path)
    assert "sessionid" not in answer.cookies  # nobody is logged out by it
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    assert "back soon" in answer.content.decode()
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.usefixtures("no_database")
@pytest.mark.parametrize(
    "sent", [{}, {"Authorization": "Bearer adv_x_y"}, {"Cookie": "sessionid=x"}]
)
def test_the_api_says_it_as_a_problem(visitor: Client, sent: dict[str, str]) -> None:
    answer = visitor.get("/api/v1/tournaments/", headers=sent)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == PROBLEM + "unavailable"


@pytest.mark.parametrize("path", ["/api/v1/tournaments/", "/glossary/"])
def test_a_middleware_that_finds_no_database_says_the_same(
    visitor: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    away = raising(OperationalError("gone"), psycopg.errors.AdminShutdown("gone"))
    monkeypatch.setattr("axes.middleware.AxesMiddleware.__call__", away)
    answer = visitor.get(path)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    assert ("problem" in answer.headers["Content-Type"]) == path.startswith("/api/")


@pytest.mark.django_db
def test_a_session_that_cannot_be_read_is_503(
    visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = raising(OperationalError("the connection is closed"), psycopg.OperationalError())
    monkeypatch.setattr(SessionStore, "load", gone)
    visitor.cookies["sessionid"] = "a-key-that-somebody-has-0123456"
    assert visitor.get("/").status_code == 503


@pytest.mark.parametrize("path", ["/api/v1/tournaments/", "/glossary/"])
def test_any_other_failure_is_500_and_our_fault(
    visitor: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("axes.middleware.AxesMiddleware.__call__", raising(RuntimeError("secret")))
    answer = visitor.get(path)
    assert answer.status_code == 500
    assert "Retry-After" not in answer.headers
    assert "secret" not in answer.content.decode()
    if path.startswith("/api/"):
        assert answer.json()["type"] == PROBLEM + "our-fault"


def caused(kind: type[Exception], cause: Exception) -> Exception:
    try:
        raise kind(str(cause)) from cause
    except kind as error:
        return error


@pytest.mark.parametrize(
    "cause",
    [
        psycopg.OperationalError("connection refused"),
        psycopg.errors.AdminShutdown(),
        psycopg.errors.CannotConnectNow(),
        psycopg.errors.TooManyConnections(),
        psycopg.errors.ConnectionFailure(),
    ],
)
def test_no_connection_means_that_it_is_away(cause: Exception) -> None:
    assert database_is_away(caused(OperationalError, cause))


@pytest.mark.parametrize(
    "error",
    [
        None,
        ValueError(),
        caused(OperationalError, psycopg.errors.QueryCanceled()),
        caused(OperationalError, psycopg.errors.DeadlockDetected()),
        caused(OperationalError, psycopg.errors.DiskFull()),
        caused(InterfaceError, psycopg.InterfaceError("the cursor is closed")),
    ],
)
def test_a_fault_of_a_query_does_not(error: Exception | None) -> None:
    assert not database_is_away(error)


def test_sqlite_is_away_when_its_file_cannot_be_opened(tmp_path: Any) -> None:
    with pytest.raises(sqlite3.OperationalError) as found:
        sqlite3.connect(tmp_path / "none" / "file")
    assert database_is_away(caused(OperationalError, found.value))
    with pytest.raises(sqlite3.OperationalError) as found:
        sqlite3.connect(":memory:").execute("SELECT 1 FROM nothing")
    assert not database_is_away(caused(OperationalError, found.value))
