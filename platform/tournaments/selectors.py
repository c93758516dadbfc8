"""Reads tournaments, filtered by who asks. Boards come from ``leaderboard.selectors``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Count, Min, Q, QuerySet, Sum
from django.db.models.functions import Now

from accounts.models import Team, User
from accounts.selectors import Person, asked_once, is_administrator, team_ids
from events import hints
from events import selectors as outbox
from events.errors import NotAllowed, NotThere
from events.models import Event
from submissions import selectors as submissions
from submissions.models import Submission
from tournaments.models import Entry, Match, Round, Tournament, Verdict, Visibility
from tournaments.states import (
    PLAYABLE,
    UNDER_WAY,
    UNJUDGED,
    UNPLAYED,
    EntryState,
    MatchState,
    Phase,
)


def organizes(user: Person, tournament: Tournament) -> bool:
    """Whether ``user`` runs this tournament (administrators run all)."""
    if is_administrator(user):
        return True
    return tournament.pk in organized_ids(user)


def organized_ids(user: Person) -> frozenset[int]:
    """Primary keys of :func:`organized_by`."""
    if not isinstance(user, User):
        return frozenset()
    return asked_once(user, "organized", organized_by(user).order_by())


def organized_by(user: Person) -> QuerySet[Tournament]:
    """Those that the user runs; none any more once the right to organize was taken back."""
    if not isinstance(user, User) or not user.is_organizer:
        return Tournament.objects.none()
    return user.organized_tournaments.all()


def require_organizer(user: Person, tournament: Tournament) -> None:
    """Raises NotAllowed for everybody else."""
    if not organizes(user, tournament):
        raise NotAllowed("Only the tournament's organizers may do that.")


def takes_part(user: Person, tournament: Tournament) -> bool:
    """Whether a team of the user's has an entry, in whatever state."""
    teams = team_ids(user)
    return bool(teams) and tournament.entries.filter(team__in=teams).exists()


# --- tournaments and rounds -----------------------------------------------------------------------


def visible_to(user: Person) -> QuerySet[Tournament]:
    """Public ones, and those the user plays in, is invited to or organizes."""
    if is_administrator(user):
        return Tournament.objects.all()
    condition = Q(visibility=Visibility.PUBLIC)
    if isinstance(user, User):
        condition |= Q(pk__in=organized_by(user)) | Q(pk__in=_joined(team_ids(user)))
    return Tournament.objects.filter(condition)


def _joined(teams: frozenset[int]) -> QuerySet[Tournament, int]:
    """Primary keys of the tournaments that one of the teams plays in, or is invited to."""
    played = Entry.objects.filter(team__in=teams).values("tournament")
    found = Tournament.objects.filter(Q(pk__in=played) | Q(invited__in=teams))
    return found.order_by().values_list("pk", flat=True)


def get(user: Person, slug: str) -> Tournament:
    """Raises NotThere for a private tournament of others as for none."""
    tournament = visible_to(user).filter(slug=slug).first()
    if tournament is None:
        raise NotThere("There is no such tournament.")
    return tournament


def get_organized(user: Person, slug: str) -> Tournament:
    """The tournament, for those who run it; NotThere for the rest."""
    tournament = get(user, slug)
    if not organizes(user, tournament):
        raise NotThere("There is no such tournament of yours.")
    return tournament


def rounds(tournament: Tournament) -> QuerySet[Round]:
    return tournament.rounds.select_related("tournament").order_by("number")


def get_round(user: Person, uid: str) -> Round:
    found = Round.objects.select_related("tournament").filter(
        uid=uid, tournament__in=visible_to(user)
    )
    if (round_ := found.first()) is None:
        raise NotThere("There is no such round.")
    return round_


def open_for(user: Person) -> QuerySet[Tournament]:
    """Tournaments that take entries now."""
    return (
        visible_to(user)
        .filter(state=Phase.OPEN)
        .filter(Q(closes_at__isnull=True) | Q(closes_at__gt=Now()))
    )


# --- entries --------------------------------------------------------------------------------------


def entries(tournament: Tournament) -> QuerySet[Entry]:
    return tournament.entries.select_related("team", "submission", "tournament")


def entries_of(tournament: Tournament, user: Person) -> QuerySet[Entry]:
    """The entries of the user's own teams, newest first."""
    return entries(tournament).filter(team__in=team_ids(user)).order_by("-entered_at")


@dataclass(frozen=True)
class Place:
    """An active entry that a newer one of its team and role may supersede. ``unplayed``: the
    matches that are then cancelled."""

    entry: Entry
    unplayed: int

    def goes_to(self, submission: Submission) -> bool:
        taken = (self.entry.team_id, self.entry.player) == (submission.team_id, submission.role)
        return taken and self.entry.submission_id != submission.pk


def places_of(user: Person, tournaments: Iterable[Tournament]) -> list[Place]:
    """Those of the user's teams in these tournaments."""

    def unplayed(matches: str) -> Count:
        return Count(matches, filter=Q(**{f"{matches}__state__in": UNPLAYED}), distinct=True)

    active = Entry.objects.filter(
        team__in=team_ids(user), tournament__in=tournaments, state=EntryState.ACTIVE
    )
    counted = active.annotate(unplayed=unplayed("attack_matches") + unplayed("defense_matches"))
    listed = counted.select_related("team", "tournament").order_by(
        "tournament__title", "team__name", "player"
    )
    return [Place(entry, entry.unplayed) for entry in listed]


def superseded_by(user: Person, tournament: Tournament, submission: Submission) -> Place | None:
    """The place that a submission takes once it plays here."""
    return next((p for p in places_of(user, [tournament]) if p.goes_to(submission)), None)


def entries_known_to(user: Person, tournament: Tournament) -> QuerySet[Entry]:
    """Who plays or played, and of those that wait or were refused what the user may know."""
    return entries(tournament).filter(_judged_or_known(user))


def _judged_or_known(user: Person) -> Q:
    """How qualification goes is for the entry's team and the organizers."""
    if is_administrator(user):
        return Q()
    own = Q(team__in=team_ids(user)) | Q(tournament__in=organized_by(user))
    return ~Q(state__in=UNJUDGED) | own


def get_entry(user: Person, uid: str) -> Entry:
    found = Entry.objects.select_related("team", "submission", "tournament").filter(
        _judged_or_known(user), uid=uid, tournament__in=visible_to(user)
    )
    if (entry := found.first()) is None:
        raise NotThere("There is no such entry.")
    return entry


def disclosed_at(package: str) -> datetime | None:
    """When a white-box match of any tournament first showed the package of this digest to another
    team; None: never."""
    shown = Entry.objects.filter(submission__sha256=package)
    found: datetime | None = shown.aggregate(first=Min("disclosed_at"))["first"]
    return found


def submissions_visible_to(user: Person) -> QuerySet[Submission]:
    """The user's teams' own, and those entered in tournaments that he organizes."""
    own = submissions.visible_to(user)
    if not isinstance(user, User) or is_administrator(user):
        return own
    organized = Entry.objects.filter(tournament__in=organized_by(user), submission__isnull=False)
    everything = Submission.objects.select_related("team", "uploader")
    return everything.filter(Q(pk__in=own.values("pk")) | Q(pk__in=organized.values("submission")))


def get_submission(user: Person, uid: str) -> Submission:
    """One of those; NotThere for another team's as for none."""
    if (submission := submissions_visible_to(user).filter(uid=uid).first()) is None:
        raise NotThere("There is no such submission of yours.")
    return submission


# --- matches --------------------------------------------------------------------------------------


_SHOWN: Final = ("tournament", "round", "attack__team", "defense__team", "verdict")
"""All that a row of a match shows."""


def matches(user: Person) -> QuerySet[Match]:
    """Matches whose existence and verdict the user may know."""
    return Match.objects.filter(tournament__in=visible_to(user)).select_related(*_SHOWN)


def matches_of(tournament: Tournament) -> QuerySet[Match]:
    """All matches of a tournament that the caller has got by ``get(user, slug)``."""
    return tournament.matches.select_related(*_SHOWN)


def of_entries(entries: QuerySet[Entry]) -> Q:
    """Matches of these entries, on either side."""
    return Q(attack__in=entries) | Q(defense__in=entries)


def of_teams(teams: Collection[int]) -> Q:
    """Matches of these teams (primary keys), on either side."""
    return Q(attack__team__in=teams) | Q(defense__team__in=teams)


def get_match(user: Person, uid: str) -> Match:
    if (match := matches(user).filter(uid=uid).first()) is None:
        raise NotThere("There is no such match.")
    return match


@dataclass(frozen=True)
class Counts:
    """How far a tournament (or round) is. Not applicable cells are in neither."""

    pending: int = 0
    running: int = 0
    scored: int = 0
    forfeit: int = 0
    void: int = 0
    not_applicable: int = 0

    @property
    def done(self) -> int:
        return self.scored + self.forfeit

    @property
    def total(self) -> int:
        return self.pending + self.running + self.done + self.void


def counts(tournament: Tournament) -> Counts:
    return counts_of([tournament])[tournament.pk]


def counts_of(tournaments: Iterable[Tournament]) -> dict[int, Counts]:
    """Those of each tournament, by primary key, in one query."""
    keys = [tournament.pk for tournament in tournaments]
    found = _counted(Match.objects.filter(tournament__in=keys), by="tournament")
    return {key: found.get(key, Counts()) for key in keys}


def counts_by_round(rounds: Iterable[Round]) -> dict[int, Counts]:
    """The same of rounds."""
    keys = [round_.pk for round_ in rounds]
    found = _counted(Match.objects.filter(round__in=keys), by="round")
    return {key: found.get(key, Counts()) for key in keys}


def _counted(matches: QuerySet[Match], *, by: str) -> dict[int, Counts]:
    states: defaultdict[int, dict[str, int]] = defaultdict(dict)
    grouped = matches.exclude(state=MatchState.CANCELLED).order_by().values_list(by, "state")
    for key, state, number in grouped.annotate(Count("pk")):
        states[key][state] = number
    return {key: Counts(**numbers) for key, numbers in states.items()}


def pending_matches(team: Team) -> QuerySet[Match]:
    """What a team still waits for: `arena check` polls until there is none."""
    return Match.objects.filter(of_teams([team.pk]), state__in=UNDER_WAY)


def void_matches(tournament: Tournament) -> QuerySet[Match]:
    """Those that can be played again: one whose player has left since stays void."""
    found = matches_of(tournament).filter(state=MatchState.VOID)
    for side in ("attack", "defense"):
        here = Q(**{f"{side}__state": EntryState.ACTIVE}) | Q(**{f"{side}__kept": True})
        found = found.filter(here)
    return found


def progress(tournament: Tournament) -> dict[str, dict[str, Any]]:
    """Match uid -> what it does now, for the running ones that have told anything."""
    running = tournament.matches.filter(state=MatchState.RUNNING)
    return hints.progress_of(list(running.values_list("uid", flat=True)[:500]))


# --- events ---------------------------------------------------------------------------------------


def reader(user: Person) -> outbox.Reader:
    """What decides which events ``user`` may read."""
    if not isinstance(user, User):
        return outbox.ANYBODY
    teams = team_ids(user)
    return outbox.Reader(
        teams=teams,
        tournaments=frozenset(_joined(teams)),
        organizes=organized_ids(user),
        everything=is_administrator(user),
    )


def visible_events(
    user: Person, *, after: int = 0, tournament: Tournament | None = None
) -> QuerySet[Event]:
    """The outbox from a cursor, as far as ``user`` may read it."""
    return outbox.visible_to(
        reader(user), after=after, tournament=tournament.pk if tournament else None
    )


# --- for organizers -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operations:
    """What an organizer's page shows of the machinery. ``replayable``: void matches that can be
    played again; ``seconds``: the playing time of all attempts."""

    counts: Counts
    overdue: int
    workers: tuple[str, ...]
    replayable: int
    faults: dict[str, int]
    seconds: float


def operations(tournament: Tournament) -> Operations:
    found = tournament.matches
    running = found.filter(state=MatchState.RUNNING)
    faults = (
        Verdict.objects.filter(match__tournament=tournament)
        .exclude(fault_side="")
        .order_by()
        .values_list("fault_side")
        .annotate(Count("pk"))
    )
    return Operations(
        counts=counts(tournament),
        overdue=running.filter(lease_until__lt=Now()).count(),
        workers=tuple(running.order_by("worker").values_list("worker", flat=True).distinct()),
        replayable=void_matches(tournament).count(),
        faults=dict(faults),
        seconds=found.aggregate(sum=Sum("seconds"))["sum"] or 0.0,
    )


def claimable() -> QuerySet[Match]:
    """Waiting matches of rounds that play."""
    return Match.objects.filter(
        state=MatchState.PENDING,
        tournament__state__in=PLAYABLE,
        tournament__paused=False,
        round__state__in=PLAYABLE,
    )


def running_seconds_by_team(*, hours: float = 1.0) -> dict[int | None, float]:
    """Seconds that matches for each team (None: the house) have run of late, or run now."""
    since = Now() - timedelta(hours=hours)
    recent = Match.objects.filter(started_at__gt=since).order_by()
    done = recent.values_list("beneficiary").annotate(Sum("seconds"))
    now = recent.filter(state=MatchState.RUNNING).values_list("beneficiary").annotate(Count("pk"))
    spent = {team: seconds or 0.0 for team, seconds in done}
    for team, running in now:
        # A running match counts as a little time at once, so that two workers do not both pick
        # the same team while another waits.
        spent[team] = spent.get(team, 0.0) + running * 5.0
    return spent
