"""Folds the outbox into standings. Idempotent: a board is a function of the rows below it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

from arena.errors import ArenaError, Side
from arena.ranking import Board as RankedBoard
from arena.ranking import Row, Tier, board_of, fed_by
from arena.ranking.cells import cell_figures
from arena.ranking.records import finite_or_none
from events.models import Event
from leaderboard import keeping
from leaderboard.ledger import Ledger, PlayedCell, open_ledger, pk_of, tiers_of
from leaderboard.models import Board, Cursor, MatrixCell, Standing
from tournaments import announcing
from tournaments.models import Round, Tournament
from tournaments.states import UNDER_WAY, Phase

logger = logging.getLogger(__name__)

CURSOR: Final = "standings"
CHANGED: Final = "board.changed"
WHOLE_TOURNAMENT: Final = ("entry.", "round.", "tournament.", "match.planned")
ONE_MATCH: Final = "match."


def fold_once(*, limit: int = 500) -> int:
    """Fold the next events, in one transaction with the cursor; how many were read.

    Any number of processes may call it at any time: the cursor's row is the lock.
    """
    if not _behind():  # without this look an idle follower would take the write lock for ever
        return 0
    with transaction.atomic():
        cursor = _locked_cursor()
        events = list(Event.objects.filter(id__gt=cursor.position).order_by("id")[:limit])
        if not events:
            return 0
        _refresh_touched(events)
        cursor.position = events[-1].pk
        cursor.save(update_fields=["position"])
        return len(events)


def fold_all() -> int:
    """Fold until nothing is left; how many events were read."""
    total = 0
    while read := fold_once():
        total += read
    return total


def rebuild() -> int:
    """Make every board anew from the verdicts, but for frozen ones; how many rounds."""
    with transaction.atomic():
        cursor = _locked_cursor()
        last = Event.objects.order_by("-id").values_list("id", flat=True).first()
        kept = Board.objects.filter(frozen=True).values("round")
        for table in (Board, Standing, MatrixCell):
            table.objects.exclude(round__in=kept).delete()
        rounds = 0
        for tournament in Tournament.objects.order_by("pk"):
            rounds += len(refresh(tournament))
        cursor.position = last or 0
        cursor.save(update_fields=["position"])
        return rounds


def _behind() -> bool:
    position = Cursor.objects.filter(name=CURSOR).values_list("position", flat=True).first() or 0
    return Event.objects.filter(id__gt=position).exists()


def _locked_cursor() -> Cursor:
    Cursor.objects.get_or_create(name=CURSOR)
    return Cursor.objects.select_for_update().get(name=CURSOR)


# --- what an event touches ------------------------------------------------------------------------


def _refresh_touched(events: Iterable[Event]) -> None:
    touched = _touched(events)
    for tournament in Tournament.objects.filter(pk__in=touched).order_by("pk"):
        uids = touched[tournament.pk]
        refresh(tournament, uids=None if None in uids else {uid for uid in uids if uid})


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


# --- boards ---------------------------------------------------------------------------------------


def refresh(tournament: Tournament, *, uids: Collection[str] | None = None) -> list[Round]:
    """Recompute the boards of these rounds (None: all) and of every tier that they feed.

    Returns the rounds whose boards changed; readers are told of them by one event.
    """
    rounds = {round_.pk: round_ for round_ in tournament.rounds.select_related("tournament")}
    try:
        tiers = tiers_of(tournament)
    except ArenaError as error:
        logger.error("No boards for %s: %s", tournament.slug, error)
        return []
    wanted = [pk for pk, r in rounds.items() if uids is None or r.uid in uids]
    changed = [rounds[pk] for pk in _with_fed(wanted, tiers) if _refresh(rounds[pk], tiers)]
    if uids is None:
        keeping.keep_unique_killers(tournament, tiers)
    if changed:
        announcing.tell(
            tournament, CHANGED, payload={"rounds": sorted(round_.uid for round_ in changed)}
        )
    return changed


def _with_fed(rounds: Iterable[int], tiers: dict[int, Tier]) -> list[int]:
    found = set(rounds)
    for pk in list(found):
        found |= {pk_of(id_) for id_ in fed_by(tiers[pk], tiers.values())}
    return sorted(found)


def _refresh(round_: Round, tiers: dict[int, Tier]) -> bool:
    """Both boards and the matrix of one round; whether anything changed."""
    held = {board.role: board for board in Board.objects.filter(round=round_)}
    if any(board.frozen for board in held.values()):
        return False
    ledger = open_ledger(round_, tiers)
    changed = _write_cells(ledger)
    for side in Side:
        ranked = board_of(ledger.records, ledger.tier.id, side)
        changed |= _write_board(ledger, ranked, held.get(side.value))
    return changed


def _write_board(ledger: Ledger, ranked: RankedBoard, held: Board | None) -> bool:
    frozen = Phase.FROZEN in (ledger.round.state, ledger.round.tournament.state)
    rows = [_standing(ledger, ranked, row) for row in ranked.rows]
    digest = _digest(rows)
    if held is not None and (held.digest, held.frozen) == (digest, frozen):
        return False
    Board.objects.update_or_create(
        round=ledger.round,
        role=ranked.side.value,
        defaults={
            "headline": ranked.headline.name,
            "title": ranked.headline.title,
            "higher_is_better": ranked.headline.higher_is_better,
            "upper_bound": ranked.headline.upper_bound,
            "examples": ranked.examples,
            "floor": ledger.tier.floor,
            "pool_version": ranked.pool_version,
            "as_of": ledger.as_of,
            "digest": digest,
            "frozen": frozen,
        },
    )
    Standing.objects.filter(round=ledger.round, role=ranked.side.value).delete()
    Standing.objects.bulk_create(rows, batch_size=200)
    return True


def _standing(ledger: Ledger, ranked: RankedBoard, row: Row) -> Standing:
    contender = row.contender
    low, high = contender.interval or (None, None)
    return Standing(
        tournament_id=ledger.round.tournament_id,
        round=ledger.round,
        role=ranked.side.value,
        entry_id=pk_of(row.entry),
        position=row.position,
        rank=row.rank,
        rank_low=row.rank_low,
        rank_high=row.rank_high,
        headline=finite_or_none(contender.estimate),
        interval_low=finite_or_none(low),
        interval_high=finite_or_none(high),
        clean_accuracy=contender.clean,
        metrics=_with_entries(contender.metrics),
        provisional=contender.provisional,
        below_floor=contender.lacking > 0,
        points_lacking=contender.lacking,
        met=contender.met,
        pending=contender.pending,
        reasons=list(contender.reasons),
        as_of=ledger.as_of,
        pool_version=ranked.pool_version,
    )


def _with_entries(metrics: object) -> dict[str, object]:
    """``strongest_attack`` as a primary key, as every other reference to an entry."""
    assert isinstance(metrics, dict)
    strongest = metrics.get("strongest_attack")
    return {**metrics, "strongest_attack": pk_of(strongest)} if strongest else dict(metrics)


def _digest(rows: list[Standing]) -> str:
    content = [row.content() for row in rows]
    text = json.dumps(content, cls=DjangoJSONEncoder, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


# --- matrix ---------------------------------------------------------------------------------------


def _write_cells(ledger: Ledger) -> bool:
    """Only cells with a new verdict are written; those whose match has none any more go."""
    held = dict(MatrixCell.objects.filter(round=ledger.round).values_list("match", "verdict"))
    current = {cell.match: cell for cell in ledger.played}
    stale = [match for match in held if match not in current]
    new = [cell for match, cell in current.items() if held.get(match) != cell.verdict]
    if stale or new:
        dropped = [*stale, *(cell.match for cell in new)]
        for start in range(0, len(dropped), 500):
            chunk = dropped[start : start + 500]
            MatrixCell.objects.filter(match__in=chunk).delete()
        MatrixCell.objects.bulk_create([_cell(ledger, cell) for cell in new], batch_size=200)
    return bool(stale or new)


def _cell(ledger: Ledger, cell: PlayedCell) -> MatrixCell:
    figures = cell_figures(cell.result, ledger.tier)
    blame = cell.result.blame
    return MatrixCell(
        round=ledger.round,
        attack_id=pk_of(cell.result.attack),
        defense_id=pk_of(cell.result.defense),
        match_id=cell.match,
        state=cell.state,
        success=figures.pop("success"),
        robust=figures.pop("robust"),
        metrics={**figures, "fault_side": blame.value if blame else None},
        verdict=cell.verdict,
    )
