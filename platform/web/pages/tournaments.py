"""Tournaments: the list, and one's boards, rules, entries and matches, live."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet, prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from accounts.selectors import team_ids
from arena.errors import Side
from events.errors import Invalid, NotThere
from leaderboard import selectors as boards
from leaderboard.selectors import BoardView
from submissions.models import Submission
from submissions.states import WAITING, SubmissionState
from tournaments import selectors, services
from tournaments.models import Entry, Round, Tournament
from tournaments.selectors import Counts
from tournaments.states import PLAYABLE, REVEALED, UNJUDGED, EntryState, MatchState, Phase
from tournaments.viewer import Viewer
from web import entering
from web.answers import action, page, person
from web.figures import BoardRow, board_rows
from web.forms import EnterForm
from web.templatetags.arena import reveals

A_PAGE = 60
Row = TypeVar("Row", bound=Model)


@page
def tournaments(request: HttpRequest) -> HttpResponse:
    """What is open or to come, whole; what has ended, page after page."""
    found = selectors.visible_to(request.user).prefetch_related("rounds")
    ended = paged(request, found.filter(state__in=REVEALED))
    current = with_counts(found.exclude(state__in=REVEALED)) if ended.number == 1 else []
    phases = (
        ("Open", [row for row in current if row[0].state in PLAYABLE]),
        ("Scheduled", [row for row in current if row[0].state == Phase.SCHEDULED]),
        ("Ended", with_counts(ended.object_list)),
    )
    listed = any(rows for _, rows in phases)
    context = {"phases": phases, "any": listed, "ended": ended, "section": "tournaments"}
    return render(request, "web/tournaments.html", context)


def paged(request: HttpRequest, rows: QuerySet[Row]) -> Page[Row]:
    """The page that was asked for, else the first, or the last where there are not so many."""
    return Paginator(rows, A_PAGE).get_page(request.GET.get("page"))


def with_counts(found: Iterable[Tournament]) -> list[tuple[Tournament, Counts]]:
    """Each with how far it is, as cards show it."""
    found = list(found)
    counts = selectors.counts_of(found)
    return [(tournament, counts[tournament.pk]) for tournament in found]


# --- what all its pages share ---------------------------------------------------------------------


def frame(request: HttpRequest, tournament: Tournament, tab: str) -> dict[str, Any]:
    """The head of the page and its tabs."""
    return {
        "tournament": tournament,
        "rounds": list(selectors.rounds(tournament)),
        "organizes": selectors.organizes(request.user, tournament),
        "tab": tab,
        "section": "tournaments",
        **progress(request, tournament),
    }


def progress(request: HttpRequest, tournament: Tournament) -> dict[str, Any]:
    """Matches done and left, and those that play now with how far they are."""
    running = selectors.matches_of(tournament).filter(state=MatchState.RUNNING)
    told = selectors.progress(tournament)
    return {
        "tournament": tournament,
        "counts": selectors.counts(tournament),
        "running": [(match, told.get(match.uid)) for match in running.order_by("started_at")[:8]],
        "is_open": tournament.state == Phase.OPEN,
    }


# --- boards ---------------------------------------------------------------------------------------


@page
def tournament(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get(request.user, slug)
    context = {**frame(request, found, "boards"), **_boards(request, found)}
    return render(request, "web/tournament.html", context)


@never_cache
@page
def boards_live(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get(request.user, slug)
    return render(request, "web/parts/boards_live.html", _boards(request, found))


@never_cache
@page
def progress_live(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get(request.user, slug)
    return render(request, "web/parts/progress_live.html", progress(request, found))


def _boards(request: HttpRequest, tournament: Tournament) -> dict[str, Any]:
    round_ = _round(request, tournament)
    if round_ is None:
        return {"round": None}
    views = boards.standings(tournament, user=request.user, round_=round_)
    matrix = boards.matrix(round_, user=request.user)
    viewer = Viewer.of(request.user)
    strongest = boards.Strongest.of(views)
    mine = team_ids(request.user)
    return {
        "tournament": tournament,
        "round": round_,
        "sides": [_side(view) for view in views],
        "matrix": matrix,
        "strongest_attacks": {pk: viewer.name_of(e) for pk, e in strongest.entries.items()},
        "strongest_rounds": strongest.rounds,
        "mine": mine,
    }


def _side(view: BoardView) -> tuple[BoardView, list[BoardRow], bool, bool]:
    """With whether it is the defenses', and whether its game has kills to count."""
    rows = board_rows(view.board, view.rows)
    kills = any(row.unique_kills is not None for row in rows)
    return view, rows, view.role is Side.DEFENSE, kills


def _round(request: HttpRequest, tournament: Tournament) -> Round | None:
    """The one that ``?round=NUMBER`` names, by default the first."""
    number = request.GET.get("round", "")
    found = selectors.rounds(tournament)
    if not number:
        return found.first()
    chosen = (
        found.filter(number=int(number)).first() if number.isdecimal() and len(number) < 5 else None
    )
    if chosen is None:
        raise NotThere("There is no such round.")
    return chosen


# --- rules ----------------------------------------------------------------------------------------


@page
def rules(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get(request.user, slug)
    context = frame(request, found, "rules")
    counts = selectors.counts_by_round(context["rounds"])
    context["counted"] = [(round_, counts[round_.pk]) for round_ in context["rounds"]]
    return render(request, "web/rules.html", context)


# --- entries --------------------------------------------------------------------------------------


@never_cache
@page
def entries(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get(request.user, slug)
    return _entries(request, found)


def _entries(
    request: HttpRequest,
    tournament: Tournament,
    *,
    form: EnterForm | None = None,
    status: int = 200,
) -> HttpResponse:
    context = frame(request, tournament, "entries")
    listed = selectors.entries(tournament).exclude(state__in=UNJUDGED)
    fitting = _fitting(request, tournament)
    roles = {(one.team_id, one.role) for one in fitting}
    places = selectors.places_of(request.user, [tournament])
    context |= {
        "own": selectors.entries_of(tournament, request.user),
        "guests": sorted(listed.filter(team__isnull=False), key=_in_order),
        "house": listed.filter(team__isnull=True).order_by("role", "name"),
        "form": form or EnterForm(submissions=fitting),
        "enterable": bool(roles),
        "places": [p for p in places if (p.entry.team_id, p.entry.player) in roles],
        "revealing": [round_ for round_ in context["rounds"] if reveals(round_) == "package"],
    }
    return render(request, "web/entries.html", context, status=status)


def _in_order(entry: Entry) -> tuple[str, bool, str, int]:
    """By side and team; the place of a withdrawn entry does not tell whose it was."""
    return entry.role, entry.is_withdrawn, entry.shown_team.casefold(), entry.pk


def _enterable(request: HttpRequest, tournament: Tournament) -> QuerySet[Submission]:
    """Own submissions that may still be entered here."""
    playing = tournament.entries.filter(
        state__in=(EntryState.ACTIVE, EntryState.WAITING, EntryState.DISQUALIFIED),
        submission__isnull=False,
    )
    return Submission.objects.filter(
        team__in=team_ids(request.user), state__in=(SubmissionState.QUALIFIED, *WAITING)
    ).exclude(pk__in=playing.values("submission"))


def _fitting(request: HttpRequest, tournament: Tournament) -> QuerySet[Submission]:
    """Those of them that some round here is made for: what the page offers."""
    found = _enterable(request, tournament)
    prefetch_related_objects([tournament], "rounds")
    return found.filter(pk__in=[one.pk for one in found if services.fits(tournament, one)])


@action
def enter(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get(request.user, slug)
    form = EnterForm(request.POST, submissions=_enterable(request, found))
    if not form.is_valid():
        return _entries(request, found, form=form, status=422)
    entering.enter(request, found, form.cleaned_data["submission"])
    return redirect("entries", slug=slug)


@action
def withdraw(request: HttpRequest, uid: str) -> HttpResponse:
    entry = selectors.get_entry(request.user, uid)
    services.withdraw(entry=entry, user=person(request))
    return redirect("entries", slug=entry.tournament.slug)


# --- matches --------------------------------------------------------------------------------------


@never_cache
@page
def matches(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get(request.user, slug)
    context = {**frame(request, found, "matches"), **_matches(request, found)}
    return render(request, "web/matches.html", context)


@never_cache
@page
def matches_live(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get(request.user, slug)
    return render(request, "web/parts/matches_live.html", _matches(request, found))


def _matches(request: HttpRequest, tournament: Tournament) -> dict[str, Any]:
    listed = selectors.matches_of(tournament)
    state, number = request.GET.get("state", ""), request.GET.get("round", "")
    if state in MatchState.values:
        listed = listed.filter(state=state)
    elif state:
        raise Invalid("There is no such state of a match.")
    if number.isdecimal() and len(number) < 5:
        listed = listed.filter(round__number=int(number))
    if request.GET.get("mine"):
        listed = listed.filter(selectors.of_teams(team_ids(request.user)))
    listed = listed.order_by("-finished_at", "-started_at", "-id")
    query = request.GET.copy()
    query.pop("page", None)
    return {
        "tournament": tournament,
        "paged": paged(request, listed),
        "states": MatchState.choices,
        "chosen": {"state": state, "round": number, "mine": request.GET.get("mine", "")},
        "query": query.urlencode(),
    }
