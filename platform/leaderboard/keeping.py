"""Keeps superseded attacks in the pool that break something nothing else breaks.

The pool is the tournament's; only the boards' layer knows who holds a unique kill. So it marks
the entries and lets ``tournaments.planning`` add the matches that they then miss.
"""

from __future__ import annotations

from arena.ranking import Tier, kept_attacks
from leaderboard.ledger import key_of, open_ledger, superseded_attacks
from tournaments import announcing, planning
from tournaments.models import Entry, Tournament
from tournaments.states import PLAYABLE


def keep_unique_killers(tournament: Tournament, tiers: dict[int, Tier]) -> None:
    """Called in the fold's transaction when entries changed."""
    old = superseded_attacks(tournament)
    if not old:
        return
    Tournament.objects.select_for_update().get(pk=tournament.pk)
    kept = _kept(tournament, old, tiers)
    gained = [entry for entry in old if entry.pk in kept and not entry.kept]
    lost = [entry for entry in old if entry.pk not in kept and entry.kept]
    Entry.objects.filter(pk__in=[entry.pk for entry in gained]).update(kept=True)
    Entry.objects.filter(pk__in=[entry.pk for entry in lost]).update(kept=False)
    if gained:
        for entry in gained:
            entry.kept = True
        announcing.tell_of_plan(tournament, planning.plan(tournament, only=gained))
    for entry in (*gained, *lost):
        announcing.tell_of_entry(entry, "entry.kept" if entry.kept else "entry.let_go")


def _kept(tournament: Tournament, old: list[Entry], tiers: dict[int, Tier]) -> set[int]:
    """Over the rounds that play: a kill in any of them is enough."""
    keys = [key_of(entry.pk) for entry in old]
    found: set[int] = set()
    for round_ in tournament.rounds.filter(state__in=PLAYABLE):
        records = open_ledger(round_, tiers).records
        found |= {int(key) for key in kept_attacks(records, keys)}
    return found
