"""Tells what happened: events for readers, hints for workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction

from events import hints
from events import services as events
from events.models import Audience
from tournaments.models import Entry, Match, Round, Tournament, Visibility
from tournaments.states import UNJUDGED

PLAY_TASK: Final = "tournaments.tasks.play"
MOST_HINTS: Final = 64
"""A worker that finishes a match announces the next one itself; more only wake the idle sooner."""


def audience_of(tournament: Tournament) -> Audience:
    """Verdicts and aggregates are for everyone in the tournament, or for everyone."""
    public = tournament.visibility == Visibility.PUBLIC
    return Audience.PUBLIC if public else Audience.TOURNAMENT


def tell(
    tournament: Tournament,
    kind: str,
    *,
    subject: int | None = None,
    audience: Audience | None = None,
    team: int | None = None,
    payload: Mapping[str, Any] | None = None,
) -> None:
    """An event of this tournament; last in its transaction."""
    events.record(
        kind,
        audience=audience or audience_of(tournament),
        tournament=tournament.pk,
        team=team,
        subject=subject if subject is not None else tournament.pk,
        payload={"tournament": tournament.slug, **(payload or {})},
    )


def tell_of_entry(entry: Entry, kind: str) -> None:
    """How qualification goes is for its team and the organizers; what it plays as, for others."""
    tell(
        entry.tournament,
        kind,
        subject=entry.pk,
        audience=Audience.TEAM if entry.state in UNJUDGED else None,
        team=entry.team_id,
        payload={
            "entry": entry.uid,
            "name": entry.name,
            "team": entry.team_name,
            "role": entry.role,
            "player": entry.player,
            "state": entry.state,
        },
    )


def tell_of_match(match: Match, kind: str, **more: Any) -> None:
    """``match`` with tournament, round, attack and defense at hand."""
    tell(
        match.tournament,
        kind,
        subject=match.pk,
        payload={
            "match": match.uid,
            "round": match.round.uid,
            "attack": match.attack.uid,
            "defense": match.defense.uid,
            "state": match.state,
            "attempt": match.attempt,
            **more,
        },
    )


def tell_of_round(round_: Round, kind: str) -> None:
    payload = {"round": round_.uid, "state": round_.state}
    tell(round_.tournament, kind, subject=round_.pk, payload=payload)


def tell_of_plan(tournament: Tournament, waiting: int) -> None:
    """New matches wait: readers may count them, workers may come."""
    if waiting:
        tell(tournament, "match.planned", payload={"count": waiting})
        announce_matches(waiting)


def announce_matches(times: int = 1) -> None:
    """Tell the workers, once the running transaction has committed."""
    hinted = min(times, MOST_HINTS)
    transaction.on_commit(lambda: hints.wake(PLAY_TASK, times=hinted), robust=True)
