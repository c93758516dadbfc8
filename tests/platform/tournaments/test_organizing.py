"""What Oscar did stays done: stopped matches, closed books, entries that came in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from arena.manifest import Role
from events.errors import Conflict
from tournaments import selectors, services
from tournaments.models import Entry, Match
from tournaments.states import EntryState, MatchState, Phase


@pytest.fixture
def match(stage: Any) -> Match:
    """Alice's spear against Dana's wall; it waits."""
    wall = stage.enters(stage.person("dana"), "Wall", Role.DEFENSE)
    spear = stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    return Match.objects.select_related("tournament").get(attack=spear, defense=wall)


def moves(stage: Any, *phases: Phase) -> None:
    for phase in phases:
        services.move(tournament=stage.tournament, to=phase, organizer=stage.oscar)


def stops(stage: Any, match: Match) -> None:
    services.cancel_match(match=match, organizer=stage.oscar, reason="It hangs.")


def test_a_match_that_oscar_cancelled_stays_so_when_others_enter_and_when_entries_close(
    stage: Any, match: Match
) -> None:
    stops(stage, match)
    stage.enters(stage.person("bob"), "Late wall", Role.DEFENSE)
    match.refresh_from_db()
    assert match.state == MatchState.CANCELLED
    moves(stage, Phase.PLAYING)
    match.refresh_from_db()
    assert (match.state, match.sentence) == (MatchState.CANCELLED, "It hangs.")


def test_a_match_that_oscar_cancelled_waits_again_when_he_says_so(stage: Any, match: Match) -> None:
    stops(stage, match)
    match.refresh_from_db()
    assert services.requeue(matches=[match], organizer=stage.oscar) == 1
    assert match.state == MatchState.PENDING
    assert not match.stopped


def test_no_match_of_an_entry_that_is_out_is_played_again(stage: Any, match: Match) -> None:
    services.disqualify(entry=match.attack, organizer=stage.oscar, reason="A copy.")
    match.refresh_from_db()
    with pytest.raises(Conflict, match=r"Spear is out \(disqualified\)"):
        services.requeue(matches=[match], organizer=stage.oscar)
    match.refresh_from_db()
    assert match.state == MatchState.CANCELLED


def test_what_is_played_again_at_once_leaves_out_players_that_left(
    stage: Any, match: Match
) -> None:
    other = stage.enters(stage.person("bob"), "Late wall", Role.DEFENSE)
    services.withdraw(entry=match.defense, user=stage.person("dana"))
    Match.objects.update(state=MatchState.VOID)
    assert [found.defense for found in selectors.void_matches(stage.tournament)] == [other]


def test_a_published_match_is_not_played_again_behind_its_readers(stage: Any, match: Match) -> None:
    stops(stage, match)
    moves(stage, Phase.PLAYING, Phase.PUBLISHED)
    match.refresh_from_db()
    with pytest.raises(Conflict, match="back to playing"):
        services.requeue(matches=[match], organizer=stage.oscar)
    moves(stage, Phase.PLAYING)
    assert services.requeue(matches=[match], organizer=stage.oscar) == 1


def withdraws(stage: Any, match: Match) -> None:
    services.withdraw(entry=match.attack, user=stage.person("alice"))


def disqualifies(stage: Any, match: Match) -> None:
    services.disqualify(entry=match.attack, organizer=stage.oscar, reason="A copy.")


def pauses(stage: Any, match: Match) -> None:
    services.pause(tournament=stage.tournament, organizer=stage.oscar, paused=True)


def opens_a_round(stage: Any, match: Match) -> None:
    match.tournament.rounds.update(state=Phase.SCHEDULED)
    services.move_round(round_=match.round, to=Phase.OPEN, organizer=stage.oscar)


@pytest.mark.parametrize("change", [withdraws, disqualifies, pauses, opens_a_round])
def test_nothing_changes_in_a_frozen_tournament(
    stage: Any, match: Match, change: Callable[[Any, Match], None]
) -> None:
    stops(stage, match)
    moves(stage, Phase.PLAYING, Phase.PUBLISHED, Phase.FROZEN)
    with pytest.raises(Conflict, match="frozen"):
        change(stage, match)
    assert set(Entry.objects.values_list("state", flat=True)) == {EntryState.ACTIVE}


def test_publishing_waits_for_an_entry_that_qualification_has_not_reached(stage: Any) -> None:
    entry = stage.enters(stage.person("dana"), "Wall", Role.DEFENSE, state="queued")
    moves(stage, Phase.PLAYING)
    with pytest.raises(Conflict, match="1 entry still waits for qualification"):
        moves(stage, Phase.PUBLISHED)
    services.disqualify(entry=entry, organizer=stage.oscar, reason="Too late.")
    moves(stage, Phase.PUBLISHED)
