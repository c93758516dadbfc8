"""The organizer's pages: making a tournament, moving it, and mending what went wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db.models import Case, When
from django.forms import BaseFormSet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache

import arena.tasks
from accounts.selectors import may_organize
from accounts.services import require_may_organize
from arena.rounds import SplitName
from events.errors import Invalid, NotThere, Refused
from tournaments import guests, previewing, selectors, services, timing
from tournaments.models import Entry, Match, Round, Tournament, Visibility
from tournaments.previewing import RoundPreview
from tournaments.services import MOST_ROUNDS
from tournaments.states import REVEALED, ROUNDS, TOURNAMENTS, EntryState, MatchState, Phase
from web import round_usuals
from web.answers import action, member_form, member_page, person
from web.forms import ClockForm, GuestsForm, ReasonForm, TournamentForm
from web.pages.tournaments import A_PAGE, frame
from web.round_forms import RoundForm, plans_of, round_formset, rounds_in
from web.round_presets import PRESETS, settle


@dataclass(frozen=True)
class Previewed:
    """A round of the form: what it will play, or why it cannot be, field by field."""

    number: int
    title: str
    found: RoundPreview | None
    problems: list[tuple[str, str]]


@never_cache
@member_form
def create(request: HttpRequest) -> HttpResponse:
    require_may_organize(person(request))
    if request.method != "POST":
        form = TournamentForm()
        begun = round_usuals.first(str(form["task"].value() or arena.tasks.names()[0]))
        return _form(request, form, round_formset(initial=[begun]))
    sent = settle(request.POST)
    if "add" in sent or "remove" in sent:
        return _begun_anew(request, sent)
    form, rounds = TournamentForm(sent), round_formset(sent)
    if "preview" in sent:
        return _form(request, form, rounds, previews=_previews(form, rounds))
    if form.is_valid() and rounds.is_valid():
        made = _made(request, form, rounds)
        if made is not None:
            messages.success(request, "The tournament is scheduled. Open it when you are ready.")
            return redirect("organize", slug=made.slug)
    return _form(request, form, rounds, status=422)


@never_cache
@action
def preview(request: HttpRequest) -> HttpResponse:
    """What the form as it stands would play; the page asks as its fields change."""
    require_may_organize(person(request))
    sent = settle(request.POST)
    previews = _previews(TournamentForm(sent), round_formset(sent))
    return render(request, "web/parts/preview.html", {"previews": previews})


def _form(
    request: HttpRequest,
    form: TournamentForm,
    rounds: BaseFormSet[RoundForm],
    *,
    previews: list[Previewed] | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {"form": form, "rounds": rounds, "previews": previews, "presets": PRESETS,
               "usuals": round_usuals.for_script(), "section": "tournaments",
               "failed": status != 200}  # fmt: skip
    return render(request, "web/tournament_new.html", context, status=status)


def _begun_anew(request: HttpRequest, sent: QueryDict) -> HttpResponse:
    """With one round more or less, for browsers without the page's script."""
    begun = round_usuals.first(sent.get("task", ""))
    kept = rounds_in(sent) or [begun]
    number = sent.get("remove", "")
    if "add" in sent and len(kept) < MOST_ROUNDS:
        kept.append(begun)
    elif number.isdecimal() and len(number) < 4 and len(kept) > 1:
        kept = [round_ for place, round_ in enumerate(kept) if place != int(number)]
    return _form(request, TournamentForm(initial=sent.dict()), round_formset(initial=kept))


def _previews(form: TournamentForm, rounds: BaseFormSet[RoundForm]) -> list[Previewed]:
    form.is_valid()
    chosen = getattr(form, "cleaned_data", {})
    known = {"task": chosen.get("task", ""), "split": chosen.get("split", SplitName.PRACTICE)}
    if not rounds.management_form.is_valid() or not known["task"]:
        return []
    return [_previewed(number, round_, **known) for number, round_ in enumerate(rounds, start=1)]


def _previewed(number: int, form: RoundForm, *, task: str, split: str) -> Previewed:
    form.is_valid()
    title = str(form["title"].value() or "")
    if not form.is_understood:
        told = form.errors.get_json_data()
        problems = [
            (str(form.fields[name].label or name.replace("_", " ").capitalize())
             if name in form.fields else "", entry["message"])
            for name, entries in told.items()
            if name != "title"
            for entry in entries
        ]  # fmt: skip
        return Previewed(number, title, None, problems)
    try:
        return Previewed(number, title, previewing.preview(form.plan(task=task, split=split)), [])
    except Refused as error:
        return Previewed(number, title, None, [("", str(error))])


def _made(
    request: HttpRequest, form: TournamentForm, rounds: BaseFormSet[RoundForm]
) -> Tournament | None:
    data = form.cleaned_data
    plans = plans_of(rounds, task=data["task"], split=data["split"])
    try:
        return services.create(form.plan(plans), organizer=person(request))
    except Refused as error:
        form.add_error(None, str(error))
        return None


# --- operations -----------------------------------------------------------------------------------


@never_cache
@member_page
def organize(request: HttpRequest, slug: str) -> HttpResponse:
    return _organize(request, selectors.get_organized(request.user, slug))


@never_cache
@member_page
def organize_live(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get_organized(request.user, slug)
    return render(request, "web/parts/organize_live.html", _machinery(found))


@never_cache
@member_page
def organize_entries_live(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get_organized(request.user, slug)
    return render(request, "web/parts/organize_entries_live.html", _guests(found))


OUT = (EntryState.REFUSED, EntryState.DISQUALIFIED)
"""Entries that play no more, with why: what a team will ask its organizer about."""


def _guests(tournament: Tournament) -> dict[str, Any]:
    """The entries of teams: those that play, wait, or are out."""
    return {
        "tournament": tournament,
        "entries": selectors.entries(tournament).filter(
            team__isnull=False, state__in=(EntryState.ACTIVE, EntryState.WAITING, *OUT)
        ),
    }


def _machinery(tournament: Tournament) -> dict[str, Any]:
    """What plays, waits and went wrong."""
    return {
        "tournament": tournament,
        "operations": selectors.operations(tournament),
        **_shown("troubled", tournament, MatchState.VOID, MatchState.CANCELLED),
        **_shown("waiting", tournament, MatchState.RUNNING, MatchState.PENDING),
    }


def _organize(
    request: HttpRequest,
    found: Tournament,
    *,
    guests_form: GuestsForm | None = None,
    status: int = 200,
) -> HttpResponse:
    context = frame(request, found, "organize")
    context |= {
        "moves": _moves(found),
        "clock": ClockForm.of(found),
        "invited": found.invited.all() if found.visibility == Visibility.PRIVATE else None,
        "guests_form": guests_form or GuestsForm(),
        "organizers": [(u, may_organize(u)) for u in found.organizers.order_by("username")],
        "revealed": found.state in REVEALED,
        "round_moves": [
            (round_, sorted(ROUNDS.moves[Phase(round_.state)]), ClockForm.of(round_))
            for round_ in context["rounds"]
        ],
        **_guests(found),
        **_machinery(found),
    }
    return render(request, "web/organize.html", context, status=status)


def _shown(name: str, tournament: Tournament, *states: MatchState) -> dict[str, Any]:
    """The matches in these states, those in the first of them on top; and how many do not show."""
    listed = selectors.matches_of(tournament).filter(state__in=states)
    first = Case(When(state=states[0], then=0), default=1)
    return {
        name: listed.order_by(first, "pk")[:A_PAGE],
        f"{name}_more": max(0, listed.count() - A_PAGE),
    }


MOVES = {
    (Phase.SCHEDULED, Phase.OPEN): "Open for entries",
    (Phase.OPEN, Phase.PLAYING): "Close entries",
    (Phase.OPEN, Phase.SCHEDULED): "Back to scheduled",
    (Phase.PLAYING, Phase.OPEN): "Extend: take entries again",
    (Phase.PLAYING, Phase.PUBLISHED): "Publish",
    (Phase.PUBLISHED, Phase.FROZEN): "Freeze for good",
    (Phase.PUBLISHED, Phase.PLAYING): "Back to playing",
}


def _moves(tournament: Tournament) -> list[tuple[str, str]]:
    """(phase, what the button says), forward ones first."""
    now = Phase(tournament.state)
    order = list(Phase)
    legal = sorted(TOURNAMENTS.moves[now], key=lambda phase: -order.index(phase))
    return [(phase.value, MOVES.get((now, phase), phase.label)) for phase in legal]


def _phase(request: HttpRequest, name: str = "to") -> Phase:
    wanted = request.POST.get(name, "")
    if wanted not in Phase.values:
        raise Invalid("There is no such phase.")
    return Phase(wanted)


def _seen(request: HttpRequest) -> Phase | None:
    """The phase that the page showed beside the button."""
    return _phase(request, "seen") if "seen" in request.POST else None


@action
def move(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get_organized(request.user, slug)
    services.move(
        tournament=found, to=_phase(request), organizer=person(request), seen=_seen(request)
    )
    return redirect("organize", slug=slug)


@action
def move_round(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    found = selectors.get_organized(request.user, slug)
    services.move_round(
        round_=_numbered(found, number),
        to=_phase(request),
        organizer=person(request),
        seen=_seen(request),
    )
    return redirect("organize", slug=slug)


def _numbered(tournament: Tournament, number: int) -> Round:
    round_ = selectors.rounds(tournament).filter(number=number).first()
    if round_ is None:
        raise NotThere("There is no such round.")
    return round_


@action
def clock(request: HttpRequest, slug: str) -> HttpResponse:
    return _set_clock(request, selectors.get_organized(request.user, slug), slug)


@action
def clock_round(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    found = selectors.get_organized(request.user, slug)
    return _set_clock(request, _numbered(found, number), slug)


def _set_clock(request: HttpRequest, clocked: Tournament | Round, slug: str) -> HttpResponse:
    changes = ClockForm.of(clocked, request.POST).changes()
    if changes:
        timing.set_times(clocked, changes, organizer=person(request))
        messages.success(request, f"The times of {clocked.title} are set.")
    else:
        messages.info(request, "No time was changed.")
    return redirect("organize", slug=slug)


@action
def pause(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get_organized(request.user, slug)
    services.pause(
        tournament=found, organizer=person(request), paused=request.POST.get("paused") == "1"
    )
    return redirect("organize", slug=slug)


@action
def invite_teams(request: HttpRequest, slug: str) -> HttpResponse:
    """A list that is refused comes back with the page: it may be long."""
    found, form = selectors.get_organized(request.user, slug), GuestsForm(request.POST)
    try:
        invited = guests.invite(found, names=form.names(), organizer=person(request))
    except Invalid as error:
        form.errors.setdefault("teams", form.error_class([str(error)]))
        return _organize(request, found, guests_form=form, status=422)
    told = ", ".join(team.name for team in invited) or "No team anew, all"
    messages.success(request, f"{told} may see and enter this tournament.")
    return redirect("organize", slug=slug)


@action
def uninvite_team(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get_organized(request.user, slug)
    team = found.invited.filter(uid=request.POST.get("team", "")).first()
    if team is None:
        raise NotThere("This team is not invited.")
    guests.uninvite(found, team=team, organizer=person(request))
    return redirect("organize", slug=slug)


@action
def add_organizer(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get_organized(request.user, slug)
    name = request.POST.get("username", "")
    guests.add_organizer(found, username=name, organizer=person(request))
    return redirect("organize", slug=slug)


@action
def remove_organizer(request: HttpRequest, slug: str) -> HttpResponse:
    """Somebody who takes themselves out does not see the page any more."""
    found = selectors.get_organized(request.user, slug)
    name = request.POST.get("username", "")
    guests.remove_organizer(found, username=name, organizer=person(request))
    stays = selectors.organizes(request.user, found)
    return redirect("organize", slug=slug) if stays else redirect("tournaments")


@action
def requeue_all(request: HttpRequest, slug: str) -> HttpResponse:
    """Every void match of the tournament."""
    found = selectors.get_organized(request.user, slug)
    moved = services.requeue(matches=selectors.void_matches(found), organizer=person(request))
    told = ngettext("%d match waits again.", "%d matches wait again.", moved)
    messages.success(request, told % moved)
    return redirect("organize", slug=slug)


@action
def cancel_rest(request: HttpRequest, slug: str) -> HttpResponse:
    found = selectors.get_organized(request.user, slug)
    moved = services.cancel_rest(tournament=found, organizer=person(request))
    told = ngettext("%d match cancelled.", "%d matches cancelled.", moved)
    messages.success(request, told % moved)
    return redirect("organize", slug=slug)


def _organized_match(request: HttpRequest, uid: str) -> Match:
    """404 for a match of a tournament that somebody else runs."""
    found = selectors.get_match(request.user, uid)
    if not selectors.organizes(request.user, found.tournament):
        raise NotThere("There is no such match of yours.")
    return found


@action
def requeue(request: HttpRequest, uid: str) -> HttpResponse:
    found = _organized_match(request, uid)
    if not services.requeue(matches=[found], organizer=person(request)):
        raise Invalid("Only void and cancelled matches are played again.")
    return redirect("match", uid=uid)


@action
def cancel(request: HttpRequest, uid: str) -> HttpResponse:
    found = _organized_match(request, uid)
    services.cancel_match(
        match=found, organizer=person(request), reason="Cancelled by an organizer."
    )
    return redirect("match", uid=uid)


def _organized_entry(request: HttpRequest, uid: str) -> Entry:
    found = selectors.get_entry(request.user, uid)
    if not selectors.organizes(request.user, found.tournament):
        raise NotThere("There is no such entry of yours.")
    return found


@action
def reinstate(request: HttpRequest, uid: str) -> HttpResponse:
    entry = _organized_entry(request, uid)
    services.reinstate(entry=entry, organizer=person(request))
    messages.success(request, f"{entry.name} plays again.")
    return redirect("organize", slug=entry.tournament.slug)


@action
def disqualify(request: HttpRequest, uid: str) -> HttpResponse:
    entry = _organized_entry(request, uid)
    form = ReasonForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    services.disqualify(entry=entry, organizer=person(request), reason=reason)
    return redirect("organize", slug=entry.tournament.slug)
