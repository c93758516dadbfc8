"""The moves of a tournament and its matches: by its organizers, and by its clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import User
from events.errors import Conflict
from tournaments import announcing, planning, timing
from tournaments.models import Entry, Match, Round, Tournament
from tournaments.selectors import require_organizer
from tournaments.services.locking import locked, require_not_frozen
from tournaments.states import (
    MATCHES,
    PLAYABLE,
    REVEALED,
    ROUNDS,
    TOURNAMENTS,
    UNDER_WAY,
    EntryState,
    MatchState,
    Phase,
)


@transaction.atomic
def move(
    *, tournament: Tournament, to: Phase, organizer: User | None, seen: Phase | None = None
) -> Tournament:
    """The tournament's next (or, to extend, previous) phase; its rounds without a clock follow.

    ``organizer`` None is the clock itself. ``seen``: the phase in which the organizer saw it.

    Raises:
        Conflict: not from its phase, or it is not in the one that was seen.
    """
    if organizer is not None:
        require_organizer(organizer, tournament)
    tournament = locked(tournament)
    _require_seen(tournament, seen)
    if organizer is not None:
        timing.require_time(tournament, to)
    _require_done(tournament.matches.all(), to)
    _require_judged(tournament.entries.all(), to)
    TOURNAMENTS.move_one(Tournament.objects.filter(pk=tournament.pk), to)
    tournament.refresh_from_db()
    followers = [
        round_
        for round_ in tournament.rounds.all()
        if ROUNDS.allows(Phase(round_.state), to) and not _has_own_clock(round_, to)
    ]
    for round_ in followers:
        ROUNDS.move_one(Round.objects.filter(pk=round_.pk), to)
        round_.refresh_from_db()
    waiting = planning.plan(tournament)
    announcing.tell(tournament, f"tournament.{to.value}", payload={"state": to.value})
    for round_ in followers:
        announcing.tell_of_round(round_, f"round.{to.value}")
    announcing.tell_of_plan(tournament, waiting)
    return tournament


def _require_done(matches: QuerySet[Match], to: Phase) -> None:
    """What is published does not change under its readers."""
    left = matches.filter(state__in=UNDER_WAY).count()
    if to == Phase.PUBLISHED and left:
        told = "match is" if left == 1 else "matches are"
        raise Conflict(f"{left} {told} still to be played; publish when all have ended.")


def _require_seen(moved: Tournament | Round, seen: Phase | None) -> None:
    """A button of an old page means something else by now: "close entries" would unpublish."""
    if seen is not None and moved.state != seen:
        raise Conflict(
            f"{moved.title!r} was {seen.label.lower()} when this page was made, and is "
            f"{moved.get_state_display().lower()} now. Nothing was done; look again."
        )


def _require_judged(entries: Iterable[Entry], to: Phase) -> None:
    """An entry that came in time is played, however long the queue for qualification is."""
    left = sum(entry.state == EntryState.WAITING for entry in entries)
    if to == Phase.PUBLISHED and left:
        told = "entry still waits" if left == 1 else "entries still wait"
        raise Conflict(
            f"{left} {told} for qualification and would never be played; publish when all have "
            "been judged, or take them out."
        )


def _has_own_clock(round_: Round, to: Phase) -> bool:
    """A round that opens or closes at a time of its own waits for it."""
    if to != Phase.OPEN:
        return False
    now, opens_at, closes_at = timezone.now(), round_.opens_at, round_.closes_at
    over = round_.state == Phase.PLAYING and closes_at is not None and closes_at <= now
    return over or (opens_at is not None and opens_at > now)


@transaction.atomic
def move_round(
    *, round_: Round, to: Phase, organizer: User | None, seen: Phase | None = None
) -> Round:
    if organizer is not None:
        require_organizer(organizer, round_.tournament)
    tournament = locked(round_.tournament)
    require_not_frozen(tournament)
    round_.refresh_from_db(fields=["state"])
    _require_seen(round_, seen)
    if organizer is not None:
        timing.require_time(round_, to)
    _require_done(round_.matches.all(), to)
    entries = tournament.entries.filter(state=EntryState.WAITING)
    _require_judged([entry for entry in entries if planning.takes_part(entry, round_)], to)
    ROUNDS.move_one(Round.objects.filter(pk=round_.pk), to)
    round_.refresh_from_db()
    waiting = planning.plan(tournament)
    announcing.tell_of_round(round_, f"round.{to.value}")
    announcing.tell_of_plan(tournament, waiting)
    return round_


@transaction.atomic
def pause(*, tournament: Tournament, organizer: User, paused: bool) -> None:
    """Paused, no match is claimed; those under way play on."""
    require_organizer(organizer, tournament)
    require_not_frozen(locked(tournament))
    Tournament.objects.filter(pk=tournament.pk).update(paused=paused)
    tournament.refresh_from_db()
    announcing.tell(tournament, "tournament.paused" if paused else "tournament.resumed")
    if not paused:
        announcing.announce_matches(announcing.MOST_HINTS)


@transaction.atomic
def requeue(*, matches: Iterable[Match], organizer: User) -> int:
    """Void and cancelled matches wait again, with a clean slate. Returns how many.

    Raises:
        Conflict: a round has been published, or a player is out: nobody would play the match.
    """
    moved, chosen = 0, list(matches)
    for match in chosen:
        require_organizer(organizer, match.tournament)
        _require_playable(match)
        rows = Match.objects.filter(pk=match.pk)
        moved += MATCHES.move(
            rows.exclude(state=MatchState.RUNNING), MatchState.PENDING, faults=0, sentence="",
            hinted_at=None, queued_at=Now(), finished_at=None, stopped=False,
        )  # fmt: skip
        match.refresh_from_db()
    for match in chosen:
        announcing.tell_of_match(match, "match.requeued")
    announcing.announce_matches(moved)
    return moved


@transaction.atomic
def cancel_match(*, match: Match, organizer: User, reason: str) -> None:
    """Ends a match that waits or plays: its worker loses the lease and ends the referee."""
    require_organizer(organizer, match.tournament)
    rows = Match.objects.filter(pk=match.pk)
    MATCHES.move_one(
        rows, MatchState.CANCELLED, sentence=reason, lease_until=None, finished_at=Now(),
        stopped=True,
    )  # fmt: skip
    match.refresh_from_db()
    announcing.tell_of_match(match, "match.cancelled")


@transaction.atomic
def cancel_rest(*, tournament: Tournament, organizer: User) -> int:
    """Ends all matches that wait, so that what has been played can be published. How many."""
    require_organizer(organizer, tournament)
    locked(tournament)
    rest = tournament.matches.filter(state=MatchState.PENDING)
    moved = MATCHES.move(
        rest, MatchState.CANCELLED, sentence="Cancelled by an organizer.", finished_at=Now(),
        stopped=True,
    )  # fmt: skip
    announcing.tell(tournament, "tournament.cut_short", payload={"count": moved})
    return moved


def _require_playable(match: Match) -> None:
    """A match that nobody may claim would wait for ever, and hold up the publishing."""
    tournament = locked(match.tournament)
    state = Round.objects.get(pk=match.round_id).state
    if {tournament.state, state} & set(REVEALED):
        raise Conflict(
            f"{match} was published: move tournament and round back to playing before it is "
            "played again."
        )
    for entry in Entry.objects.filter(pk__in=(match.attack_id, match.defense_id)):
        if entry.state != EntryState.ACTIVE and not entry.kept:
            raise Conflict(
                f"{entry} is out ({entry.get_state_display().lower()}): {match} is not played."
            )


# --- the clock ------------------------------------------------------------------------------------


def turn_clocks() -> int:
    """Opens and closes what is due. The reaper calls it; any number may. Returns the moves made."""
    now = timezone.now()
    opening = Tournament.objects.filter(state=Phase.SCHEDULED, opens_at__lte=now)
    closing = Tournament.objects.filter(state=Phase.OPEN, closes_at__lte=now)
    moved = sum(_by_clock(move, to=Phase.OPEN, tournament=t) for t in opening)
    moved += sum(_by_clock(move, to=Phase.PLAYING, tournament=t) for t in closing)
    playing = Round.objects.filter(tournament__state__in=PLAYABLE).select_related("tournament")
    beginning = playing.filter(state=Phase.SCHEDULED, opens_at__lte=now)
    ending = playing.filter(state=Phase.OPEN, closes_at__lte=now)
    moved += sum(_by_clock(move_round, to=Phase.OPEN, round_=r) for r in beginning)
    return moved + sum(_by_clock(move_round, to=Phase.PLAYING, round_=r) for r in ending)


def _by_clock(make: Callable[..., object], *, to: Phase, **what: object) -> int:
    """1; 0 where another reaper was faster."""
    try:
        make(to=to, organizer=None, **what)
    except Conflict:
        return 0
    return 1
