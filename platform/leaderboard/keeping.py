"""Keeps superseded attacks in the pool that break something nothing else breaks.

The pool is the tournament's; only the boards' layer knows who holds a unique kill. So it marks
the entries and lets ``tournaments.planning`` add the matches that they then miss.
"""

from __future__ import annotations

from collections.abc import Callable

from arena.ranking import kept_attacks
from leaderboard.ledger import Ledger, key_of, superseded_attacks
from tournaments import announcing, planning
from tournaments.models import Entry, Round, Tournament
from tournaments.states import PLAYABLE


def attacks_to_keep(tournament: Tournament, ledger_of: Callable[[Round], Ledger]) -> frozenset[int]:
    """Over the rounds that play: a kill in any of them is enough. Reads only."""
    keys = [key_of(entry.pk) for entry in superseded_attacks(tournament)]
    if not keys:
        return frozenset()
    found: set[int] = set()
    for round_ in tournament.rounds.filter(state__in=PLAYABLE).select_related("tournament"):
        found |= {int(key) for key in kept_attacks(ledger_of(round_).records, keys)}
    return frozenset(found)


def keep(tournament: Tournament, kept: frozenset[int]) -> None:
    """Called in the fold's transaction when entries changed."""
    if not any(_changes(tournament, kept)):
        return
    Tournament.objects.select_for_update().get(pk=tournament.pk)
    gained, lost = _changes(tournament, kept)
    for entries, value in ((gained, True), (lost, False)):
        Entry.objects.filter(pk__in=[entry.pk for entry in entries]).update(kept=value)
        for entry in entries:
            entry.kept = value
    if gained:
        announcing.tell_of_plan(tournament, planning.plan(tournament, only=gained))
    for entry in (*gained, *lost):
        announcing.tell_of_entry(entry, "entry.kept" if entry.kept else "entry.let_go")


def _changes(tournament: Tournament, kept: frozenset[int]) -> tuple[list[Entry], list[Entry]]:
    """Attacks that are to stay from now on, and those that are let go."""
    old = superseded_attacks(tournament)
    gained = [entry for entry in old if entry.pk in kept and not entry.kept]
    lost = [entry for entry in old if entry.pk not in kept and entry.kept]
    return gained, lost
