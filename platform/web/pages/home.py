"""The front page, and the glossary."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

import arena.house
from accounts.models import Team
from submissions.models import Submission
from submissions.states import SubmissionState
from tournaments import selectors
from tournaments.models import Match
from tournaments.states import PLAYABLE, RECORDED, MatchState
from web.answers import page
from web.glossary import TERMS
from web.pages.pictures import showcase
from web.pages.tournaments import with_counts


@dataclass(frozen=True)
class Numbers:
    """What goes on, over all that the reader may see."""

    played: int
    running: int
    qualified: int
    teams: int
    house: int


def numbers(request: HttpRequest) -> Numbers:
    matches = Match.objects.filter(tournament__in=selectors.visible_to(request.user))
    return Numbers(
        played=matches.filter(state__in=RECORDED).count(),
        running=matches.filter(state=MatchState.RUNNING).count(),
        qualified=Submission.objects.filter(state=SubmissionState.QUALIFIED).count(),
        teams=Team.objects.count(),
        house=len(arena.house.names()),
    )


@page
def home(request: HttpRequest) -> HttpResponse:
    current = selectors.visible_to(request.user).filter(state__in=PLAYABLE)
    context = {
        "tournaments": with_counts(current.prefetch_related("rounds")[:6]),
        "showcase": showcase(request.user),
        **live(request),
    }
    return render(request, "web/home.html", context)


def live(request: HttpRequest) -> dict[str, object]:
    recent = selectors.matches(request.user).filter(state__in=RECORDED)
    return {"numbers": numbers(request), "recent": recent.order_by("-finished_at")[:6]}


@page
def home_live(request: HttpRequest) -> HttpResponse:
    return render(request, "web/parts/home_live.html", live(request))


@page
def glossary(request: HttpRequest) -> HttpResponse:
    terms = sorted(TERMS, key=lambda term: term.name.casefold())
    return render(request, "web/glossary.html", {"terms": terms, "section": "glossary"})
