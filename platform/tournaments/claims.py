"""Which match a worker plays next, and the lease under which it does."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.expressions import CombinedExpression
from django.utils import timezone

import arena.tasks
from arena.sandbox import gpu
from submissions import room
from submissions.jobs import Leases
from tournaments import announcing, crafting, selectors
from tournaments.clock import SecondsSince
from tournaments.models import Entry, Match
from tournaments.states import MATCHES, MatchState

LEASES: Final = Leases(
    Match,
    MATCHES,
    waiting=MatchState.PENDING,
    running=MatchState.RUNNING,
    void=MatchState.VOID,
)
LOOK_AHEAD: Final = 20
_PLAYERS: Final = (
    "tournament", "round", "attack__submission", "attack__team",
    "defense__submission", "defense__team",
)  # fmt: skip


def claim(*, worker: str) -> Match | None:
    """The best waiting match, now ours; None where none waits, or the disk is full.

    Of tournaments and rounds that play, the team with the least recent running time first, then
    priority, then age; before all, what need not wait for what another match still makes. Others
    may claim the same at once: the conditional UPDATE lets one have it.
    """
    if not room.may_work():
        return None
    while True:
        candidates = _best()
        if not candidates:
            return None
        for pk in candidates:
            if (claimed := _take(pk, worker)) is not None:
                return claimed


def _best() -> list[int]:
    waiting = selectors.claimable()
    if settings.TRUSTED_ONLY:
        waiting = waiting.filter(attack__team__isnull=True, defense__team__isnull=True)
    waiting = _playable_here(waiting)
    at_once = waiting.exclude(pk__in=crafting.waiting_for_others(waiting))
    waiting = at_once if at_once.exists() else waiting
    teams = list(waiting.order_by().values_list("beneficiary", flat=True).distinct())
    if not teams:
        return []
    spent = selectors.running_seconds_by_team()
    next_team = min(teams, key=lambda team: (spent.get(team, 0.0), team or 0))
    of_team = (
        waiting.filter(beneficiary=next_team)
        if next_team
        else waiting.filter(beneficiary__isnull=True)
    )
    return list(of_team.order_by("-priority", "pk").values_list("pk", flat=True)[:LOOK_AHEAD])


def _playable_here(waiting: QuerySet[Match]) -> QuerySet[Match]:
    """Without a GPU, all but the matches of tasks that ask for one: they wait for who has one."""
    if gpu.nodes():
        return waiting
    tasks = waiting.order_by().values_list("round__spec__task", flat=True).distinct()
    elsewhere = arena.tasks.on_a_gpu(tasks)
    return waiting.exclude(round__spec__task__in=elsewhere) if elsewhere else waiting


@transaction.atomic
def _take(pk: int, worker: str) -> Match | None:
    if LEASES.take(pk, worker=worker) is None:
        return None
    match = Match.objects.select_related(*_PLAYERS).get(pk=pk)
    _disclose(match)
    announcing.tell_of_match(match, "match.running")
    return match


def _disclose(match: Match) -> None:
    """Notes when a package first lay in the jail of another team's attack; boards tell it, in
    whatever tournament and by whatever team the same package is entered."""
    owners = (match.attack.team_id, match.defense.team_id)
    if None in owners or owners[0] == owners[1] or not match.round.rules.discloses_defense:
        return
    shown = match.defense.submission
    assert shown is not None  # whoever has a team has a package
    entries = Entry.objects.filter(submission__sha256=shown.sha256, disclosed_at__isnull=True)
    entries.update(disclosed_at=timezone.now())


@transaction.atomic
def fail(match: Match, sentence: str, *, overdue_only: bool = False) -> bool:
    """Our fault: plays again, at most twice, then void and shown to the organizer.

    False: this attempt held the lease no more.
    """
    held = LEASES.held(match)
    if overdue_only:
        held = held & LEASES.overdue()
    if not LEASES.blame_ourselves(held, sentence, seconds=elapsed_seconds()):
        return False
    match = Match.objects.select_related(*_PLAYERS).get(pk=match.pk)
    void = match.state == MatchState.VOID
    # Everyone hears of it, and the sentence may hold a machine's paths: organizers read it alone.
    announcing.tell_of_match(match, "match.void" if void else "match.requeued")
    if not void:
        announcing.announce_matches()
    return True


def release(held: QuerySet[Match]) -> int:
    """An orderly end of a worker: its matches wait again, and nobody is to blame."""
    return LEASES.give_back(held)


def elapsed_seconds() -> CombinedExpression:
    """``seconds`` with what this attempt has run, on the database's clock."""
    return F("seconds") + SecondsSince("started_at")
