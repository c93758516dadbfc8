"""What Oscar did stays done: stopped matches, closed books, entries that came in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.services import appoint
from arena.manifest import Role
from arena.rounds import Limits
from events.errors import Conflict, Invalid, NotAllowed, NotThere
from events.models import Event
from tests.platform.tournaments.conftest import spec
from tournaments import guests, selectors, services, timing, visibility
from tournaments.models import Entry, Match, Tournament, Visibility
from tournaments.services import RoundPlan
from tournaments.states import EntryState, MatchState, Phase

HOUR = timedelta(hours=1)


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


# --- times --------------------------------------------------------------------------------------


def is_due(stage: Any) -> None:
    """The deadline passes, and the reaper closes entries."""
    Tournament.objects.update(closes_at=timezone.now() - HOUR)
    services.turn_clocks()


def test_a_deadline_that_passed_is_changed_before_entries_are_taken_again(stage: Any) -> None:
    is_due(stage)
    with pytest.raises(Conflict, match="set a later time, or none, first"):
        moves(stage, Phase.OPEN)
    later = timezone.now() + HOUR
    timing.set_times(stage.tournament, {"closes_at": later}, organizer=stage.oscar)
    moves(stage, Phase.OPEN)
    assert services.turn_clocks() == 0
    stage.enters(stage.person("dana"), "Late wall", Role.DEFENSE)
    told = Event.objects.get(kind="tournament.clock").payload
    assert told["closes_at"] == later.isoformat()


def test_a_round_whose_own_time_is_over_stays_closed_when_the_tournament_is_extended(
    make_stage: Any, make_spec: Any
) -> None:
    stage = make_stage(RoundPlan("First", make_spec()), RoundPlan("Short", make_spec()))
    stage.opens()
    stage.tournament.rounds.filter(number=2).update(closes_at=timezone.now() - HOUR)
    moves(stage, Phase.PLAYING, Phase.OPEN)
    states = stage.tournament.rounds.order_by("number").values_list("state", flat=True)
    assert list(states) == [Phase.OPEN, Phase.PLAYING]
    short = stage.tournament.rounds.get(number=2)
    with pytest.raises(Conflict, match="'Short' closed at"):
        services.move_round(round_=short, to=Phase.OPEN, organizer=stage.oscar)
    timing.set_times(short, {"closes_at": None}, organizer=stage.oscar)
    services.move_round(round_=short, to=Phase.OPEN, organizer=stage.oscar)


def test_a_tournament_that_its_clock_opened_goes_back_only_with_a_later_opening(
    make_stage: Any,
) -> None:
    stage = make_stage(opens_at=timezone.now() - HOUR)
    services.turn_clocks()
    with pytest.raises(Conflict, match="'Spring' opened at"):
        moves(stage, Phase.SCHEDULED)
    times = {"opens_at": timezone.now() + HOUR}
    timing.set_times(stage.tournament, times, organizer=stage.oscar)
    moves(stage, Phase.SCHEDULED)
    assert services.turn_clocks() == 0


def test_times_lie_ahead_and_in_order(stage: Any) -> None:
    now = timezone.now()
    for times, sentence in (
        ({"closes_at": now - HOUR}, "has passed"),
        ({"opens_at": now + 2 * HOUR, "closes_at": now + HOUR}, "closes before it opens"),
    ):
        with pytest.raises(Invalid, match=sentence):
            timing.set_times(stage.tournament, times, organizer=stage.oscar)
    assert Tournament.objects.get().closes_at is None


def test_nobody_else_changes_a_deadline_and_nobody_that_of_a_published_one(stage: Any) -> None:
    times = {"closes_at": timezone.now() + HOUR}
    with pytest.raises(NotAllowed):
        timing.set_times(stage.tournament, times, organizer=stage.person("mallory"))
    moves(stage, Phase.PLAYING, Phase.PUBLISHED)
    with pytest.raises(Conflict, match="published"):
        timing.set_times(stage.tournament, times, organizer=stage.oscar)


def test_a_tournament_that_nobody_could_enter_is_not_made(make_stage: Any) -> None:
    with pytest.raises(Invalid, match="closes in the past"):
        make_stage(closes_at=timezone.now() - HOUR)


# --- guests and organizers ------------------------------------------------------------------------


def test_an_invited_team_finds_a_private_tournament_and_enters_it(
    make_stage: Any,
) -> None:
    stage = make_stage(visibility=Visibility.PRIVATE)
    stage.opens()
    dana, alice = stage.person("dana"), stage.person("alice")
    with pytest.raises(NotThere):
        selectors.get(dana, stage.tournament.slug)
    invited = guests.invite(stage.tournament, names=["TEAM dana", " "], organizer=stage.oscar)
    assert [team.name for team in invited] == ["Team dana"]
    assert guests.invite(stage.tournament, names=["Team dana"], organizer=stage.oscar) == []
    assert list(selectors.open_for(dana)) == [stage.tournament]
    assert stage.tournament.pk in selectors.reader(dana).tournaments
    assert stage.enters(dana, "Wall", Role.DEFENSE).state == EntryState.ACTIVE
    with pytest.raises(NotThere):
        selectors.get(alice, stage.tournament.slug)


def test_an_invitation_that_is_taken_back_hides_a_tournament_from_who_has_not_entered(
    make_stage: Any,
) -> None:
    stage = make_stage(visibility=Visibility.PRIVATE)
    stage.opens()
    dana, alice = stage.person("dana"), stage.person("alice")
    names = ["Team dana", "Team alice"]
    teams = guests.invite(stage.tournament, names=names, organizer=stage.oscar)
    stage.enters(dana, "Wall", Role.DEFENSE)
    for team in teams:
        guests.uninvite(stage.tournament, team=team, organizer=stage.oscar)
    assert selectors.get(dana, stage.tournament.slug)
    with pytest.raises(NotThere):
        selectors.get(alice, stage.tournament.slug)


def test_where_one_name_is_wrong_nobody_is_invited(stage: Any) -> None:
    stage.person("dana")
    with pytest.raises(Invalid, match="no team 'Team nobody'"):
        guests.invite(stage.tournament, names=["Team dana", "Team nobody"], organizer=stage.oscar)
    assert not stage.tournament.invited.exists()
    with pytest.raises(Invalid, match="at least one team"):
        guests.invite(stage.tournament, names=[], organizer=stage.oscar)


def test_a_second_organizer_runs_the_tournament_and_one_always_stays(stage: Any) -> None:
    olga = stage.person("olga")
    with pytest.raises(Invalid, match="'olga' is no organizer"):
        guests.add_organizer(stage.tournament, username="olga", organizer=stage.oscar)
    User.objects.filter(pk=olga.pk).update(is_organizer=True)
    olga.refresh_from_db()
    guests.add_organizer(stage.tournament, username=" Olga", organizer=stage.oscar)
    services.pause(tournament=stage.tournament, organizer=olga, paused=True)
    guests.remove_organizer(stage.tournament, username="oscar", organizer=olga)
    assert not selectors.organizes(stage.oscar, stage.tournament)
    with pytest.raises(Conflict, match="Somebody has to run"):
        guests.remove_organizer(stage.tournament, username="olga", organizer=olga)


def test_who_is_removed_is_named_as_whoever_is_added(stage: Any) -> None:
    olga = stage.person("olga")
    User.objects.filter(pk=olga.pk).update(is_organizer=True)
    guests.add_organizer(stage.tournament, username="olga", organizer=stage.oscar)
    with pytest.raises(Invalid, match="'ogla' does not run this tournament"):
        guests.remove_organizer(stage.tournament, username="ogla", organizer=stage.oscar)
    guests.remove_organizer(stage.tournament, username=" Olga", organizer=stage.oscar)
    assert list(stage.tournament.organizers.all()) == [stage.oscar]


def test_who_lost_the_right_does_not_stay_as_the_last_organizer(stage: Any) -> None:
    olga = stage.person("olga")
    User.objects.filter(pk=olga.pk).update(is_organizer=True)
    guests.add_organizer(stage.tournament, username="olga", organizer=stage.oscar)
    appoint(username="olga", organizes=False)
    with pytest.raises(Conflict, match="Somebody has to run"):
        guests.remove_organizer(stage.tournament, username="oscar", organizer=stage.oscar)
    guests.remove_organizer(stage.tournament, username="olga", organizer=stage.oscar)
    assert list(stage.tournament.organizers.all()) == [stage.oscar]


def test_who_organizes_no_more_runs_and_reads_nothing_of_what_he_made(make_stage: Any) -> None:
    stage = make_stage(visibility=Visibility.PRIVATE)
    stage.opens()
    alice = stage.person("alice")
    guests.invite(stage.tournament, names=["Team alice"], organizer=stage.oscar)
    entry = stage.enters(alice, "Push", Role.ATTACK)
    assert visibility.may_see_package(stage.oscar, entry.submission)
    appoint(username="oscar", organizes=False)
    stage.oscar.refresh_from_db()
    assert not selectors.organizes(stage.oscar, stage.tournament)
    assert not visibility.may_see_package(stage.oscar, entry.submission)
    assert not visibility.may_see_tournament(stage.oscar, stage.tournament)
    assert not selectors.visible_events(stage.oscar).exists()
    with pytest.raises(NotAllowed):
        services.pause(tournament=stage.tournament, organizer=stage.oscar, paused=True)
    appoint(username="oscar", organizes=True)
    stage.oscar.refresh_from_db()
    assert selectors.organizes(stage.oscar, stage.tournament)


def test_nobody_else_invites_or_appoints(stage: Any) -> None:
    mallory = stage.person("mallory")
    with pytest.raises(NotAllowed):
        guests.invite(stage.tournament, names=["Team mallory"], organizer=mallory)
    with pytest.raises(NotAllowed):
        guests.add_organizer(stage.tournament, username="mallory", organizer=mallory)
    with pytest.raises(NotAllowed):
        guests.remove_organizer(stage.tournament, username="oscar", organizer=mallory)


# --- taken back, cut short ------------------------------------------------------------------------


def test_a_disqualification_is_taken_back_with_its_matches(stage: Any, match: Match) -> None:
    disqualifies(stage, match)
    with pytest.raises(NotAllowed):
        services.reinstate(entry=match.attack, organizer=stage.person("alice"))
    services.reinstate(entry=match.attack, organizer=stage.oscar)
    match.refresh_from_db()
    assert match.state == MatchState.PENDING
    assert (match.attack.state, match.attack.reason) == (EntryState.ACTIVE, "")
    with pytest.raises(Conflict, match="not disqualified"):
        services.reinstate(entry=match.attack, organizer=stage.oscar)


def test_a_reinstated_entry_throws_out_no_newer_one_and_none_plays_unqualified(
    stage: Any, match: Match
) -> None:
    disqualifies(stage, match)
    newer = stage.enters(stage.person("alice"), "Sharper spear", Role.ATTACK)
    with pytest.raises(Conflict, match="another entry in its place"):
        services.reinstate(entry=match.attack, organizer=stage.oscar)
    newer.refresh_from_db()
    assert newer.state == EntryState.ACTIVE
    early = stage.enters(stage.person("bob"), "Late wall", Role.DEFENSE, state="queued")
    services.disqualify(entry=early, organizer=stage.oscar, reason="A copy.")
    with pytest.raises(Conflict, match="has not qualified"):
        services.reinstate(entry=early, organizer=stage.oscar)


def test_when_time_is_up_what_waits_is_cancelled_and_the_rest_published(
    stage: Any, match: Match
) -> None:
    other = stage.enters(stage.person("bob"), "Late wall", Role.DEFENSE)
    stage.plays(match)
    moves(stage, Phase.PLAYING)
    assert services.cancel_rest(tournament=stage.tournament, organizer=stage.oscar) == 1
    assert stage.match(match.attack, other).state == MatchState.CANCELLED
    moves(stage, Phase.PUBLISHED)
    match.refresh_from_db()
    assert match.state == MatchState.SCORED


def test_nobody_else_cuts_a_tournament_short(stage: Any, match: Match) -> None:
    with pytest.raises(NotAllowed):
        services.cancel_rest(tournament=stage.tournament, organizer=stage.person("mallory"))
    match.refresh_from_db()
    assert match.state == MatchState.PENDING


def test_a_round_is_not_published_while_an_entry_for_it_waits(stage: Any) -> None:
    stage.enters(stage.person("dana"), "Wall", Role.DEFENSE, state="queued")
    round_ = stage.tournament.rounds.get()
    services.move_round(round_=round_, to=Phase.PLAYING, organizer=stage.oscar)
    with pytest.raises(Conflict, match="1 entry still waits"):
        services.move_round(round_=round_, to=Phase.PUBLISHED, organizer=stage.oscar)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"attack_limits": Limits(wall_seconds=1800)}, r"attack may take 1,860 s .* 1,800 s is"),
        ({"defense_limits": Limits(wall_seconds=841)}, r"defense may take 901 s .* 900 s is"),
    ],
)
def test_no_round_grants_more_time_than_its_matches_have(
    stage: Any, settings: Any, limits: dict[str, Limits], reason: str
) -> None:
    settings.MATCH_SECONDS = 3600
    with pytest.raises(Invalid, match=reason + r".*'s clock \(.*ADVERSARIUM_MATCH_SECONDS"):
        services.check_round(RoundPlan("Long", replace(spec(), **limits)))
    settings.MATCH_SECONDS = 7200
    services.check_round(RoundPlan("Long", replace(spec(), **limits)))


def test_the_usual_clocks_fit_into_matches_of_twelve_minutes(stage: Any, settings: Any) -> None:
    """docs/operating.md says so."""
    settings.MATCH_SECONDS = 720
    services.check_round(RoundPlan("Usual", spec()))
    settings.MATCH_SECONDS = 719
    with pytest.raises(Invalid, match=r"defense may take 180 s .* 179 s is"):
        services.check_round(RoundPlan("Usual", spec()))
