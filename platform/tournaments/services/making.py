"""Making a tournament: a plan is checked whole, and then written with its rounds and its house."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.conf import settings
from django.core.validators import slug_re
from django.db import transaction
from django.utils import timezone

import arena.house
import arena.tasks
from accounts.models import User
from accounts.services import require_may_organize
from arena.errors import PackageError, TaskError
from arena.rounds import RoundSpec, SplitName
from arena.tasks.fitting import misfit, too_many
from arena.timed_seats import MOST
from events.errors import Conflict, Invalid
from events.identifiers import opaque_id
from tournaments import announcing, guests, planning, timing
from tournaments.models import Entry, Round, Tournament, Visibility
from tournaments.states import EntryState

MOST_ROUNDS: Final = 30
RESERVED: Final = frozenset(("new",))
"""Addresses of pages beside those of tournaments."""


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
    """A tournament as an organizer writes it, on a form or in a file; ``invited``: names of teams,
    ``organizers``: pseudonyms of those who run it beside its maker.
    """

    title: str
    task: str
    rounds: tuple[RoundPlan, ...]
    slug: str = field(default_factory=opaque_id)
    description: str = ""
    split: str = "practice"
    visibility: Visibility = Visibility.PUBLIC
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    invited: tuple[str, ...] = ()
    organizers: tuple[str, ...] = ()


@transaction.atomic
def create(plan: TournamentPlan, *, organizer: User) -> Tournament:
    """A scheduled tournament with its rounds and the house's entries.

    Raises:
        NotAllowed: ``organizer`` is none.
        Conflict: the slug is taken.
        Invalid: no round, an unknown task, house player, team or organizer, or a house player that
            does not fit its round.
    """
    require_may_organize(organizer)
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
    for username in plan.organizers:
        guests.add_organizer(tournament, username=username, organizer=organizer)
    if plan.invited:
        guests.invite(tournament, names=plan.invited, organizer=organizer)
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
            raise Invalid(
                f"There is no task {task!r}; known are {', '.join(arena.tasks.names())}. Data of "
                "your own are brought in by `arena tasks import` on the site's machine."
            )
    for round_ in plan.rounds:
        check_round(round_)
        check_fit(round_)


def check_fit(round_: RoundPlan) -> None:
    """Refuse a task that is not on this machine, whose matches would be void and whose boards stay
    empty; a game that it is not for, more examples than there are, a game that needs a house
    model which is not there, or a house player that cannot play on it or has no place in the game,
    which would meet nobody.
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
    for name in (*round_.attacks, *round_.defenses):
        reason = arena.house.cannot_play(name, spec.task) or arena.house.misplaced(name, spec)
        if reason is not None:
            raise Invalid(f"Round {round_.title!r}: {reason} Leave it out of this round.")


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
    _check_limits(round_)
    _check_house(round_)


def _check_limits(round_: RoundPlan) -> None:
    """Refuse clocks that a match is too short for: who keeps to them would have it end void."""
    sides = {"attack": (round_.spec.attack_limits, MOST),
             "defense": (round_.spec.defense_limits, MOST / 2)}  # fmt: skip
    for side, (limits, share) in sides.items():
        seconds = limits.load_seconds + limits.wall_seconds
        most = share * settings.MATCH_SECONDS // 1
        if seconds > most:
            raise Invalid(
                f"Round {round_.title!r}: one process of the {side} may take {seconds:,.0f} s to "
                f"load and play, and {most:,.0f} s is the most where a match is ended after "
                f"{settings.MATCH_SECONDS:,} s. Lower the {side}'s clock (load_seconds or "
                f"wall_seconds of {side}_limits), or have ADVERSARIUM_MATCH_SECONDS raised."
            )


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
