"""A round that was opened, its matches recorded, and what the pages tell of them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import QueryDict
from django.utils import timezone

from arena.rounds import RoundSpec
from arena.verdict import Verdict as Finding
from leaderboard.services import fold_all
from tests.platform.web.reading import Browser, text_of
from tests.platform.web.seeding import World
from tournaments import announcing, services
from tournaments.models import Match, Round, Verdict
from tournaments.services import RoundPlan, TournamentPlan
from tournaments.states import MatchState, Phase
from web.round_forms import round_formset
from web.round_presets import PREFIX, settle

EXAMPLES = 40


def opened(world: World, plan: RoundPlan) -> Round:
    """A tournament of one round, open, its matches planned."""
    tournament = services.create(
        TournamentPlan(title="One round", slug="one", task=plan.spec.task, rounds=(plan,)),
        organizer=world.oscar,
    )
    services.move(tournament=tournament, to=Phase.OPEN, organizer=world.oscar)
    round_: Round = tournament.rounds.get()
    return round_


def record(match: Match, finding: Finding) -> None:
    """A verdict with its outcome file and its event, and the boards that follow from it."""
    folder = f"matches/{match.uid}/1"
    finding.write(settings.DATA / folder)
    match.state, match.finished_at = MatchState.SCORED, timezone.now()
    with transaction.atomic():
        match.save()
        Verdict.objects.create(
            match=match,
            attempt=1,
            status=match.state,
            metrics=dict(finding.metrics),
            curve=[dict(point) for point in finding.curve],
            kills=finding.kills.to_json() if finding.kills else None,
            files=folder,
            flags=[],
            provenance=dict(finding.provenance),
            logs={"attack": "", "defense": ""},
        )
        announcing.tell_of_match(match, "match.recorded")
    fold_all()


def pages(world: World, as_: Browser, match: Match) -> tuple[str, str]:
    """The match's page and the boards of its round, as an organizer reads them."""
    browser = as_(world.oscar)
    found = browser.get(f"/matches/{match.uid}/")
    boards = browser.get(f"/tournaments/{match.tournament.slug}/?round={match.round.number}")
    assert (found.status_code, boards.status_code) == (200, 200)
    return text_of(found), text_of(boards)


def spec_of(**data: Any) -> RoundSpec:
    """What the form makes of a round on digits; what is not given is left empty."""
    posted = QueryDict(mutable=True)
    posted.update({f"{PREFIX}-TOTAL_FORMS": "1", f"{PREFIX}-INITIAL_FORMS": "0"})
    for name, value in data.items():
        posted.setlist(f"{PREFIX}-0-{name}", value if isinstance(value, list) else [value])
    form = round_formset(settle(posted)).forms[0]
    assert form.is_valid(), form.errors
    return form.plan(task="digits", split="practice").spec
