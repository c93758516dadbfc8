"""Entering and leaving: what becomes of a team's submission in a tournament."""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import User
from accounts.services import require_member
from arena.applicability import unfit
from arena.manifest import Manifest, Role
from events.errors import Conflict, Invalid, NotAllowed
from submissions.models import Submission
from submissions.states import WAITING, SubmissionState
from tournaments import announcing, planning, selectors
from tournaments.models import Entry, Match, Tournament
from tournaments.selectors import require_organizer
from tournaments.services.locking import locked, require_not_frozen
from tournaments.states import (
    ENTRIES,
    MATCHES,
    UNPLAYED,
    EntryState,
    MatchState,
    Phase,
)

MOST_REASONS: Final = 3
"""Rounds of which a refused entry is told why they are not for it."""


@transaction.atomic
def enter(*, tournament: Tournament, submission: Submission, user: User) -> Entry:
    """Enters a team's submission and accepts the tournament's terms; plans its matches.

    A submission that is not judged yet waits, and plays once it has qualified. A new entry
    supersedes the team's active one of the same role. Entering twice changes nothing.

    Raises:
        NotAllowed: not in the team.
        Conflict: closed, rejected, or a member plays for another team.
        Invalid: no round is made for it, and why.
    """
    require_member(user, submission.team)
    tournament = locked(tournament)
    _require_open(tournament)
    entry = tournament.entries.filter(submission=submission).first()
    if entry is not None and entry.state in (EntryState.ACTIVE, EntryState.WAITING):
        return entry
    _require_fit(tournament, submission)
    if submission.state not in (SubmissionState.QUALIFIED, *WAITING):
        state = submission.get_state_display().lower()
        raise Conflict(f"This submission is {state}. {submission.sentence}".strip())
    roster = list(submission.team.memberships.order_by("user").values_list("user", flat=True))
    _require_one_team(tournament, submission, roster)
    if entry is None:
        entry = Entry(tournament=tournament, submission=submission, team=submission.team)
    elif entry.state == EntryState.DISQUALIFIED:
        raise Conflict("This entry was disqualified.")
    _fill(entry, submission, user, roster)
    if submission.state == SubmissionState.QUALIFIED:
        activate(entry)
    else:
        announcing.tell_of_entry(entry, "entry.waiting")
    return entry


def _fill(entry: Entry, submission: Submission, user: User, roster: list[int]) -> None:
    if entry.pk is not None:
        waits = Entry.objects.filter(pk=entry.pk).exclude(state=EntryState.SUPERSEDED)
        ENTRIES.move(waits, EntryState.WAITING)
        entry.refresh_from_db(fields=["state"])
    entry.role = submission.side
    entry.player = submission.role
    entry.name = submission.name
    entry.manifest = submission.manifest
    entry.roster = roster
    entry.entered_by = user
    entry.terms_version = entry.tournament.terms_version
    entry.disclosed_at = selectors.disclosed_at(submission.sha256)
    entry.reason = ""
    entry.save()


def _require_open(tournament: Tournament) -> None:
    if tournament.state != Phase.OPEN:
        raise Conflict("This tournament takes no entries now.")
    if tournament.closes_at is not None and tournament.closes_at <= timezone.now():
        raise Conflict("Entries were due; the tournament takes none any more.")


def _require_fit(tournament: Tournament, submission: Submission) -> None:
    if not fits(tournament, submission):
        role, reasons = Role(submission.role).value, misfits(tournament, submission)
        told = " ".join(f"{title}: {reason}" for title, reason in reasons[:MOST_REASONS])
        more = len(reasons) - MOST_REASONS
        raise Invalid(
            f"No round of this tournament is made for this {role}. {told}"
            + (f" The other {more} do not fit either." if more > 0 else "")
        )


def fits(tournament: Tournament, submission: Submission) -> bool:
    """Whether it may meet somebody in some round of the tournament."""
    manifest = Manifest.from_mapping(submission.manifest)
    return any(unfit(manifest, round_.rules) is None for round_ in tournament.rounds.all())


def misfits(tournament: Tournament, submission: Submission) -> list[tuple[str, str]]:
    """(title, reason) for each round in which a submission meets nobody, by its manifest."""
    manifest = Manifest.from_mapping(submission.manifest)
    found = [(round_.title, unfit(manifest, round_.rules)) for round_ in tournament.rounds.all()]
    return [(title, reason) for title, reason in found if reason is not None]


def _require_one_team(tournament: Tournament, submission: Submission, roster: list[int]) -> None:
    """One team per person and tournament."""
    others = tournament.entries.filter(team__isnull=False).exclude(team=submission.team)
    playing = {pk for members in others.values_list("roster", flat=True) for pk in members}
    if playing & set(roster):
        raise Conflict("A member of your team plays in this tournament for another team.")


def activate(entry: Entry) -> None:
    """A qualified entry takes its team's place and gets its row or column of matches."""
    assert transaction.get_connection().in_atomic_block
    tournament = locked(entry.tournament)
    superseded = list(
        tournament.entries.filter(
            team=entry.team, player=entry.player, state=EntryState.ACTIVE
        ).exclude(pk=entry.pk)
    )
    for old in superseded:
        ENTRIES.move_one(Entry.objects.filter(pk=old.pk), EntryState.SUPERSEDED)
        cancel_waiting(old, "Superseded by a newer entry.")
    rows = Entry.objects.filter(pk=entry.pk)
    ENTRIES.move_one(rows, EntryState.ACTIVE, active_since=Now(), reason="")
    entry.refresh_from_db()
    waiting = planning.plan(tournament, only=[entry])
    for old in superseded:
        old.refresh_from_db()
        announcing.tell_of_entry(old, "entry.superseded")
    announcing.tell_of_entry(entry, "entry.active")
    announcing.tell_of_plan(tournament, waiting)


@transaction.atomic
def withdraw(*, entry: Entry, user: User) -> None:
    """Takes an entry out; its past verdicts stay, named "withdrawn".

    Raises:
        NotAllowed: the house's, or another team's.
        Conflict: it is out already.
    """
    if entry.team is None:
        raise NotAllowed("The house stays.")
    require_member(user, entry.team)
    _take_out(entry, EntryState.WITHDRAWN, reason="")


@transaction.atomic
def disqualify(*, entry: Entry, organizer: User, reason: str) -> None:
    """An organizer takes an entry out, for a reason that its team reads."""
    require_organizer(organizer, entry.tournament)
    if not reason.strip():
        raise Invalid("Say why: the team will read it.")
    _take_out(entry, EntryState.DISQUALIFIED, reason=reason.strip())


@transaction.atomic
def reinstate(*, entry: Entry, organizer: User) -> None:
    """An organizer takes a disqualification back; matches that it cancelled wait again.

    Raises:
        Conflict: it is not disqualified, has not qualified, or its team has put another in its
            place.
    """
    require_organizer(organizer, entry.tournament)
    tournament = locked(entry.tournament)
    require_not_frozen(tournament)
    entry.refresh_from_db()
    if entry.state != EntryState.DISQUALIFIED:
        raise Conflict("This entry is not disqualified.")
    if entry.submission is None or entry.submission.state != SubmissionState.QUALIFIED:
        raise Conflict("Its submission has not qualified, so it cannot play.")
    others = tournament.entries.filter(
        team=entry.team, player=entry.player, state=EntryState.ACTIVE
    )
    if others.exists():
        raise Conflict("Its team has another entry in its place, which would lose its own.")
    activate(entry)


def _take_out(entry: Entry, state: EntryState, *, reason: str) -> None:
    require_not_frozen(locked(entry.tournament))
    ENTRIES.move_one(Entry.objects.filter(pk=entry.pk), state, reason=reason, kept=False)
    cancel_waiting(entry, f"The entry was {state.value}.")
    entry.refresh_from_db()
    announcing.tell_of_entry(entry, f"entry.{state.value}")


def cancel_waiting(entry: Entry, sentence: str) -> int:
    """Its matches that have not begun; those under way play on."""
    waiting = Match.objects.filter(Q(attack=entry) | Q(defense=entry), state__in=UNPLAYED)
    return MATCHES.move(waiting, MatchState.CANCELLED, sentence=sentence, finished_at=Now())


def submission_was_judged(submission: Submission) -> None:
    """Waiting entries become active, or are refused. Registered with ``submissions.services``."""
    waiting = submission.entries.filter(state=EntryState.WAITING).select_related("tournament")
    for entry in waiting.order_by("tournament"):
        if submission.state in (SubmissionState.REJECTED, SubmissionState.CANCELLED):
            _refuse(entry, submission)
        elif submission.state == SubmissionState.QUALIFIED:
            _activate_unless_newer(entry, submission)


def _activate_unless_newer(entry: Entry, submission: Submission) -> None:
    """However long the queue was: the version uploaded last counts."""
    newer = entry.tournament.entries.filter(
        team=entry.team,
        player=entry.player,
        state=EntryState.ACTIVE,
        submission__created_at__gt=submission.created_at,
    )
    if newer.exists():
        ENTRIES.move_one(Entry.objects.filter(pk=entry.pk), EntryState.SUPERSEDED)
        entry.refresh_from_db()
        announcing.tell_of_entry(entry, "entry.superseded")
    else:
        activate(entry)


def _refuse(entry: Entry, submission: Submission) -> None:
    rows = Entry.objects.filter(pk=entry.pk)
    ENTRIES.move_one(rows, EntryState.REFUSED, reason=submission.sentence)
    entry.refresh_from_db()
    announcing.tell_of_entry(entry, "entry.refused")
