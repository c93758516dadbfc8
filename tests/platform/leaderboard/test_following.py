"""The follower folds by itself, survives a database that is away, and stops when told."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import OperationalError

from leaderboard import following
from leaderboard.models import Standing


def test_it_folds_what_is_new_and_stops(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.attacks("alice")
    stage.defends("dana")
    stage.plays("alice", "dana", [0])
    stop = threading.Event()
    monkeypatch.setattr(following, "close_old_connections", stop.set)  # idle: nothing is left
    following.follow(stop)
    assert Standing.objects.filter(entry__name="dana", rank=1).exists()


def test_it_waits_for_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    outcomes: list[Any] = [OperationalError("gone"), 0]

    def folds() -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        stop.set()
        return int(outcome)

    monkeypatch.setattr(following, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(following, "fold_once", folds)
    monkeypatch.setattr(following, "connection", type("Closed", (), {"close": lambda: None}))
    monkeypatch.setattr(following, "close_old_connections", lambda: None)
    following.follow(stop)
    assert outcomes == []
