"""The reaper: on the database alone, any number at once, within one sweep."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from arena.manifest import Role
from events import hints
from tournaments import claims, reaping, services
from tournaments.models import Match, Round, Tournament
from tournaments.services import RoundPlan
from tournaments.states import MatchState, Phase

LONG_AGO = timedelta(minutes=5)


@pytest.fixture
def match(stage: Any) -> Match:
    stage.enters(stage.person("dana"), "Wall", Role.DEFENSE)
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    return Match.objects.get()


def claimed() -> Match:
    found = claims.claim(worker="w:1")
    assert found is not None
    return found


def falls_silent() -> None:
    Match.objects.filter(state=MatchState.RUNNING).update(lease_until=timezone.now() - LONG_AGO)


def test_an_overdue_match_waits_again(match: Match) -> None:
    claimed()
    assert reaping.sweep().matches == 0
    falls_silent()
    assert reaping.sweep().matches == 1
    match.refresh_from_db()
    assert (match.state, match.faults) == (MatchState.PENDING, 1)
    assert match.lease_until is None


def test_one_that_falls_silent_for_the_third_time_is_void(match: Match) -> None:
    for _ in range(3):
        claimed()
        falls_silent()
        reaping.sweep()
    match.refresh_from_db()
    assert match.state == MatchState.VOID
    assert "fell silent" in match.sentence


def test_two_reapers_count_one_fault(match: Match) -> None:
    held = claimed()
    falls_silent()
    told = [claims.fail(held, "silent", overdue_only=True) for _ in range(2)]
    assert told == [True, False]
    match.refresh_from_db()
    assert match.faults == 1


def test_a_heartbeat_that_came_in_between_saves_the_match(match: Match) -> None:
    held = claimed()
    falls_silent()
    assert claims.LEASES.renew(held)
    assert not claims.fail(held, "silent", overdue_only=True)


def test_an_overdue_match_is_reaped_even_where_its_tournament_is_paused(
    stage: Any, match: Match
) -> None:
    claimed()
    falls_silent()
    services.pause(tournament=stage.tournament, organizer=stage.oscar, paused=True)
    assert reaping.sweep().matches == 1


def test_a_lost_message_is_sent_again_but_not_every_moment(
    match: Match, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(hints, "wake", lambda task, times=1: sent.extend([task] * times))
    with django_capture_on_commit_callbacks(execute=True):
        assert reaping.remind() == 1
        assert reaping.remind() == 0
    assert sent == ["tournaments.tasks.play"]
    Match.objects.update(hinted_at=timezone.now() - LONG_AGO)
    assert reaping.remind() == 1


def test_what_nobody_may_claim_is_not_announced(stage: Any, match: Match) -> None:
    services.pause(tournament=stage.tournament, organizer=stage.oscar, paused=True)
    assert reaping.remind() == 0


def test_the_clock_opens_and_closes(make_stage: Any, make_spec: Any) -> None:
    now = timezone.now()
    own_clock = RoundPlan(
        "Late", make_spec(), opens_at=now + LONG_AGO, closes_at=now + 2 * LONG_AGO
    )
    stage = make_stage(
        RoundPlan("First", make_spec()),
        own_clock,
        opens_at=now - LONG_AGO,
        closes_at=now + LONG_AGO,
    )

    def states() -> list[str]:
        rounds = Round.objects.order_by("number").values_list("state", flat=True)
        return [Tournament.objects.get().state, *rounds]

    assert reaping.sweep().clocks == 1
    assert states() == ["open", "open", "scheduled"]
    assert reaping.sweep().clocks == 0
    Round.objects.filter(number=2).update(opens_at=now - LONG_AGO)
    reaping.sweep()
    assert states() == ["open", "open", "open"]
    Tournament.objects.update(closes_at=now - LONG_AGO)
    reaping.sweep()
    assert states() == ["playing", "playing", "playing"]
    assert stage.tournament.pk


def test_the_command_sweeps_once_when_asked(match: Match) -> None:
    claimed()
    falls_silent()
    call_command("reaper", "--once")
    match.refresh_from_db()
    assert match.state == MatchState.PENDING
    assert Tournament.objects.get().state == Phase.OPEN
