"""Folds the outbox into standings. Idempotent: a board is a function of the rows below it.

A fold computes first, holding no lock, and then writes in one short transaction: SQLite has one
writer, and matches must not wait for statistics. The cursor guards it: if somebody else has
written meanwhile, the drafts may be older than what stands, and are made again. If rows below
changed meanwhile, their events lie beyond the cursor and are folded next.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from django.db import transaction

from arena.errors import ArenaError
from arena.ranking import Tier, fed_by
from events.models import Event
from leaderboard import boards, keeping
from leaderboard.ledger import Ledger, open_ledger, pk_of, tiers_of
from leaderboard.models import Board, Cursor, MatrixCell, Standing
from tournaments import announcing
from tournaments.models import Round, Tournament
from tournaments.states import UNDER_WAY

logger = logging.getLogger(__name__)

CURSOR: Final = "standings"
CHANGED: Final = "board.changed"
WHOLE_TOURNAMENT: Final = ("entry.", "round.", "tournament.", "match.planned")
ONE_MATCH: Final = "match."


def fold_once(*, limit: int = 500) -> int:
    """Fold the next events; how many were read.

    Any number of processes may call it at any time. A turn that is lost to another process is
    taken again, from where that one has come.
    """
    while True:
        cursor = _cursor()
        events = list(Event.objects.filter(id__gt=cursor.position).order_by("id")[:limit])
        if not events:  # without this look an idle follower would take the write lock for ever
            return 0
        drafts = _drafts(events)
        with transaction.atomic():
            if _moved(cursor, to=events[-1].pk):
                for draft in drafts:
                    _write(draft)
                return len(events)


def fold_all() -> int:
    """Fold until nothing is left; how many events were read."""
    total = 0
    while read := fold_once():
        total += read
    return total


def rebuild() -> int:
    """Make every board anew from the verdicts, but for frozen ones; how many rounds."""
    while True:
        cursor = _cursor()
        last = Event.objects.order_by("-id").values_list("id", flat=True).first() or 0
        tournaments = Tournament.objects.order_by("pk")
        drafts = [_draft(tournament, afresh=True) for tournament in tournaments]
        with transaction.atomic():
            if _moved(cursor, to=last):
                kept = Board.objects.filter(frozen=True).values("round")
                for table in (Board, Standing, MatrixCell):
                    table.objects.exclude(round__in=kept).delete()
                return sum(len(_write(draft)) for draft in drafts)


def _cursor() -> Cursor:
    """As it stands, without a lock."""
    return Cursor.objects.filter(name=CURSOR).first() or Cursor(name=CURSOR)


def _moved(seen: Cursor, *, to: int) -> bool:
    """Take the lock of the fold and move on; False if another process was faster."""
    Cursor.objects.get_or_create(name=CURSOR)
    cursor = Cursor.objects.select_for_update().get(name=CURSOR)
    if cursor.turn != seen.turn:
        return False
    cursor.position, cursor.turn = to, cursor.turn + 1
    cursor.save(update_fields=["position", "turn"])
    return True


# --- what an event touches ------------------------------------------------------------------------


def _drafts(events: Iterable[Event]) -> list[Draft]:
    touched = _touched(events)
    found = Tournament.objects.filter(pk__in=touched).order_by("pk")
    return [_draft(t, uids=_rounds_of(touched[t.pk])) for t in found]


def _touched(events: Iterable[Event]) -> dict[int, set[str | None]]:
    """Tournament -> uids of rounds; None among them: all of its rounds."""
    touched: defaultdict[int, set[str | None]] = defaultdict(set)
    for event in events:
        if event.tournament is None:
            continue
        if event.kind.startswith(WHOLE_TOURNAMENT):
            touched[event.tournament].add(None)
        elif event.kind.startswith(ONE_MATCH) and event.payload.get("state") not in UNDER_WAY:
            touched[event.tournament].add(event.payload.get("round"))
    return touched


def _rounds_of(uids: set[str | None]) -> set[str] | None:
    return None if None in uids else {uid for uid in uids if uid}


# --- one tournament -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Draft:
    """What a tournament's boards ought to say. ``kept``: attacks that stay; None: as they are."""

    tournament: Tournament
    rounds: tuple[boards.RoundDraft, ...] = ()
    kept: frozenset[int] | None = None


def _draft(
    tournament: Tournament, *, uids: Collection[str] | None = None, afresh: bool = False
) -> Draft:
    """Compute the boards of these rounds (None: all) and of every tier that they feed."""
    rounds = {round_.pk: round_ for round_ in tournament.rounds.select_related("tournament")}
    try:
        tiers = tiers_of(tournament)
    except ArenaError as error:
        logger.error("No boards for %s: %s", tournament.slug, error)
        return Draft(tournament)
    wanted = [pk for pk, r in rounds.items() if uids is None or r.uid in uids]
    ledgers: dict[int, Ledger] = {}

    def ledger_of(round_: Round) -> Ledger:
        if round_.pk not in ledgers:
            ledgers[round_.pk] = open_ledger(round_, tiers)
        return ledgers[round_.pk]

    made = [boards.draft(rounds[pk], ledger_of, afresh=afresh) for pk in _with_fed(wanted, tiers)]
    return Draft(
        tournament,
        rounds=tuple(draft for draft in made if draft is not None),
        kept=keeping.attacks_to_keep(tournament, ledger_of) if uids is None else None,
    )


def _with_fed(rounds: Iterable[int], tiers: dict[int, Tier]) -> list[int]:
    found = set(rounds)
    for pk in list(found):
        found |= {pk_of(id_) for id_ in fed_by(tiers[pk], tiers.values())}
    return sorted(found)


def _write(draft: Draft) -> list[Round]:
    """The rounds whose boards changed; readers are told of them by one event."""
    changed = [d.ledger.round for d in draft.rounds if boards.write(d)]
    if draft.kept is not None:
        keeping.keep(draft.tournament, draft.kept)
    if changed:
        payload = {"rounds": sorted(round_.uid for round_ in changed)}
        announcing.tell(draft.tournament, CHANGED, payload=payload)
    return changed
