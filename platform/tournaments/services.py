"""Writes tournaments: making, entering, leaving, opening, pausing. Refusals are sentences.

Whoever changes what is planned holds the tournament's row, so that two never plan at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.core.validators import slug_re
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

import arena.house
import arena.tasks
from accounts.models import User
from accounts.services import require_member
from arena.applicability import unfit
from arena.errors import PackageError, TaskError
from arena.manifest import Manifest, Role
from arena.rounds import RoundSpec, SplitName
from arena.tasks.fitting import misfit, too_many
from events.errors import Conflict, Invalid, NotAllowed
from events.identifiers import opaque_id
from submissions.models import Submission
from submissions.states import WAITING, SubmissionState
from tournaments import announcing, planning, selectors, timing
from tournaments.models import Entry, Match, Round, Tournament, Visibility
from tournaments.selectors import require_organizer
from tournaments.states import (
    ENTRIES,
    MATCHES,
    PLAYABLE,
    REVEALED,
    ROUNDS,
    TOURNAMENTS,
    UNDER_WAY,
    UNPLAYED,
    EntryState,
    MatchState,
    Phase,
)

# --- making -------------------------------------------------------------------------------------

MOST_ROUNDS: Final = 30
RESERVED: Final = frozenset(("new",))
"""Addresses of pages beside those of tournaments."""
MOST_REASONS: Final = 3
"""Rounds of which a refused entry is told why they are not for it."""


@dataclass(frozen=True)
class RoundPlan:
    """A round as an organizer writes it; ``attacks``, ``defenses``: house players in its pool."""

    title: str
    spec: RoundSpec
    attacks: tuple[str, ...] = ()
    defenses: tuple[str, ...] = ()
    weight: float = 1.0
    opens_at: datetime | None = None
    closes_at: datetime | None = None


@dataclass(frozen=True)
class TournamentPlan:
    """A tournament as an organizer writes it, on a form or in a file."""

    title: str
    task: str
    rounds: tuple[RoundPlan, ...]
    slug: str = field(default_factory=opaque_id)
    description: str = ""
    split: str = "practice"
    visibility: Visibility = Visibility.PUBLIC
    opens_at: datetime | None = None
    closes_at: datetime | None = None


@transaction.atomic
def create(plan: TournamentPlan, *, organizer: User) -> Tournament:
    """A scheduled tournament with its rounds and the house's entries.

    Raises:
        NotAllowed: ``organizer`` is none.
        Conflict: the slug is taken.
        Invalid: no round, an unknown task or house player, or one that does not fit its round.
    """
    if not (organizer.is_organizer or organizer.is_superuser):
        raise NotAllowed("Only organizers make tournaments; ask an administrator.")
    check(plan)
    if Tournament.objects.filter(slug=plan.slug).exists():
        raise Conflict(f"There is a tournament {plan.slug!r} already.")
    tournament = Tournament.objects.create(
        slug=plan.slug,
        title=plan.title,
        description=plan.description,
        task=plan.task,
        split=plan.split,
        visibility=plan.visibility,
        opens_at=plan.opens_at,
        closes_at=plan.closes_at,
    )
    tournament.organizers.add(organizer)
    for number, round_ in enumerate(plan.rounds, start=1):
        _create_round(tournament, number, round_)
    _enter_house(tournament, plan)
    announcing.tell(tournament, "tournament.created", payload={"title": tournament.title})
    return tournament


def check(plan: TournamentPlan) -> None:
    """Raises Invalid with one sentence for the first thing that cannot be."""
    if not plan.title.strip():
        raise Invalid("Give the tournament a title.")
    _check_texts(plan)
    if not plan.rounds:
        raise Invalid("A tournament needs at least one round.")
    if len(plan.rounds) > MOST_ROUNDS:
        raise Invalid(f"A tournament has at most {MOST_ROUNDS} rounds.")
    if plan.split not in list(SplitName):
        raise Invalid(f"split must be one of {', '.join(SplitName)}.")
    _check_clock(plan)
    for task in {plan.task, *(round_.spec.task for round_ in plan.rounds)}:
        if task not in arena.tasks.names():
            raise Invalid(f"There is no task {task!r}; known are {', '.join(arena.tasks.names())}.")
    for round_ in plan.rounds:
        check_round(round_)
        check_fit(round_)


def check_fit(round_: RoundPlan) -> None:
    """Refuse a task that is not on this machine, whose matches would be void and whose boards stay
    empty; a game that it is not for, more examples than there are, or a game that needs a house
    model which is not there.
    """
    spec = round_.spec
    try:
        task = arena.tasks.load(spec.task)
    except TaskError as error:
        raise Invalid(f"Round {round_.title!r}: {error}") from error
    largest = max(spec.epsilons, default=0.0)
    reason = misfit(task, spec.game, largest=largest, norm=spec.norm) or too_many(task, spec)
    if reason is not None:
        raise Invalid(f"Round {round_.title!r}: {reason}")
    missing = arena.house.no_weights(arena.house.REFERENCE, spec.task)
    if spec.needs_reference and missing:
        raise Invalid(
            f"Round {round_.title!r} is played on the house's reference model. {missing} Choose "
            "one of these tasks, or another game or target rule."
        )


def _check_texts(plan: TournamentPlan) -> None:
    """What the columns hold, before a database refuses it without a sentence."""
    texts = [("title", plan.title, 120), ("description", plan.description, 4000)]
    texts += [("title of a round", round_.title, 120) for round_ in plan.rounds]
    for name, text, most in texts:
        if len(text) > most:
            raise Invalid(f"The {name} has {len(text)} characters; at most {most} are kept.")
        if "\0" in text:
            raise Invalid(f"The {name} holds a NUL character; remove it.")
    if not slug_re.match(plan.slug) or len(plan.slug) > 60 or plan.slug in RESERVED:
        raise Invalid(
            f"{plan.slug!r} cannot be an address: take up to 60 letters, digits and hyphens, and "
            f"none of {', '.join(sorted(RESERVED))}."
        )


def _check_clock(plan: TournamentPlan | RoundPlan) -> None:
    times = {"opens_at": plan.opens_at, "closes_at": plan.closes_at}
    timing.check(times, title=plan.title)
    timing.require_due_ahead(plan.closes_at, title=plan.title)


def check_round(round_: RoundPlan) -> None:
    """The same for one of its rounds."""
    _check_clock(round_)
    if not 0 <= round_.weight < float("inf"):
        raise Invalid(f"The weight of round {round_.title!r} must be a number from 0 up.")
    _check_house(round_)


def _check_house(round_: RoundPlan) -> None:
    allowed = planning.ROLES_OF.get(round_.spec.game, planning.GUEST_ROLES)
    for side, names in (("attack", round_.attacks), ("defense", round_.defenses)):
        for name in names:
            try:
                role = arena.house.manifest(name).role
            except PackageError as error:
                raise Invalid(str(error)) from error
            if role not in allowed or role.side != side:
                raise Invalid(
                    f"The house player {name} ({role.value}) has no place among the {side}s "
                    f"of round {round_.title!r}."
                )


def _create_round(tournament: Tournament, number: int, plan: RoundPlan) -> Round:
    return Round.objects.create(
        tournament=tournament,
        number=number,
        title=plan.title,
        spec=plan.spec.to_json(),
        game=plan.spec.game.value,
        weight=plan.weight,
        house={"attacks": list(plan.attacks), "defenses": list(plan.defenses)},
        opens_at=plan.opens_at,
        closes_at=plan.closes_at,
    )


def _enter_house(tournament: Tournament, plan: TournamentPlan) -> None:
    for name in dict.fromkeys(n for r in plan.rounds for n in (*r.defenses, *r.attacks)):
        manifest = arena.house.manifest(name)
        Entry.objects.create(
            tournament=tournament,
            house=name,
            role=manifest.role.side,
            player=manifest.role.value,
            name=manifest.name,
            manifest=manifest.to_json(),
            state=EntryState.ACTIVE,
            active_since=timezone.now(),
        )


# --- entering -----------------------------------------------------------------------------------


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
    tournament = _locked(tournament)
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
    return len(misfits(tournament, submission)) < len(tournament.rounds.all())


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
    tournament = _locked(entry.tournament)
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
    tournament = _locked(entry.tournament)
    _require_not_frozen(tournament)
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
    _require_not_frozen(_locked(entry.tournament))
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


# --- the organizer's moves ------------------------------------------------------------------------


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
    tournament = _locked(tournament)
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
    tournament = _locked(round_.tournament)
    _require_not_frozen(tournament)
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
    _require_not_frozen(_locked(tournament))
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
    _locked(tournament)
    rest = tournament.matches.filter(state=MatchState.PENDING)
    moved = MATCHES.move(
        rest, MatchState.CANCELLED, sentence="Cancelled by an organizer.", finished_at=Now(),
        stopped=True,
    )  # fmt: skip
    announcing.tell(tournament, "tournament.cut_short", payload={"count": moved})
    return moved


def _require_not_frozen(tournament: Tournament) -> None:
    if tournament.state == Phase.FROZEN:
        raise Conflict("This tournament is frozen: nothing in it changes any more.")


def _require_playable(match: Match) -> None:
    """A match that nobody may claim would wait for ever, and hold up the publishing."""
    tournament = _locked(match.tournament)
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


def _locked(tournament: Tournament) -> Tournament:
    return Tournament.objects.select_for_update().get(pk=tournament.pk)


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
