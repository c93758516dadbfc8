"""One round's boards and matrix: drafted without a lock, written in the fold's transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from arena.errors import Side
from arena.ranking import Board as RankedBoard
from arena.ranking import Row, board_of
from arena.ranking.cells import cell_figures
from arena.ranking.records import finite_or_none
from leaderboard.ledger import Ledger, PlayedCell, pk_of
from leaderboard.models import Board, MatrixCell, Standing
from leaderboard.symptoms import flags_of_defenses
from tournaments.models import Round
from tournaments.visibility import is_closed


@dataclass(frozen=True)
class BoardDraft:
    """A board that is to be written because it says something new."""

    ranked: RankedBoard
    rows: list[Standing]
    digest: str
    frozen: bool


@dataclass(frozen=True)
class RoundDraft:
    """What is to change. ``dropped``: matches whose cells go; those of ``cells`` come anew."""

    ledger: Ledger
    boards: tuple[BoardDraft, ...]
    dropped: tuple[int, ...]
    cells: tuple[MatrixCell, ...]

    @property
    def changes(self) -> bool:
        return bool(self.boards or self.dropped or self.cells)


def draft(
    round_: Round, ledger_of: Callable[[Round], Ledger], *, afresh: bool = False
) -> RoundDraft | None:
    """Read and compute; None for frozen boards. ``afresh``: as if nothing stood there yet."""
    held = {board.role: board for board in Board.objects.filter(round=round_)}
    if any(board.frozen for board in held.values()):
        return None
    ledger = ledger_of(round_)
    flags = flags_of_defenses(ledger)
    made = []
    for side in Side:
        ranked = board_of(ledger.records, ledger.tier.id, side)
        made.append(_board(ledger, ranked, None if afresh else held.get(side.value), flags))
    dropped, cells = _cells(ledger, afresh=afresh)
    return RoundDraft(ledger, tuple(b for b in made if b is not None), dropped, cells)


def write(draft: RoundDraft) -> bool:
    """Whether anything changed. The caller holds the fold's lock, and nothing moved since."""
    _write_cells(draft)
    for board in draft.boards:
        _write_board(draft.ledger, board)
    return draft.changes


# --- boards ---------------------------------------------------------------------------------------


def _board(
    ledger: Ledger, ranked: RankedBoard, held: Board | None, flags: dict[str, list[dict[str, Any]]]
) -> BoardDraft | None:
    frozen = is_closed(ledger.round)
    rows = [_standing(ledger, ranked, row, flags.get(row.entry, [])) for row in ranked.rows]
    digest = _digest(rows)
    if held is not None and (held.digest, held.frozen) == (digest, frozen):
        return None
    return BoardDraft(ranked, rows, digest, frozen)


def _write_board(ledger: Ledger, board: BoardDraft) -> None:
    ranked = board.ranked
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
            "digest": board.digest,
            "frozen": board.frozen,
        },
    )
    Standing.objects.filter(round=ledger.round, role=ranked.side.value).delete()
    Standing.objects.bulk_create(board.rows, batch_size=200)


def _standing(
    ledger: Ledger, ranked: RankedBoard, row: Row, flags: list[dict[str, Any]]
) -> Standing:
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
        flags=flags if ranked.side is Side.DEFENSE else [],
        as_of=ledger.as_of,
        pool_version=ranked.pool_version,
    )


def _with_entries(metrics: object) -> dict[str, object]:
    """The strongest attack and its round as primary keys, as every other reference."""
    assert isinstance(metrics, dict)
    keys = ("strongest_attack", "strongest_round")
    named = {key: pk_of(metrics[key]) for key in keys if metrics.get(key)}
    return {**metrics, **named}


def _digest(rows: list[Standing]) -> str:
    content = [row.content() for row in rows]
    text = json.dumps(content, cls=DjangoJSONEncoder, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


# --- matrix ---------------------------------------------------------------------------------------


def _cells(ledger: Ledger, *, afresh: bool) -> tuple[tuple[int, ...], tuple[MatrixCell, ...]]:
    """Only cells with a new verdict are written; those whose match has none any more go."""
    standing = MatrixCell.objects.filter(round=ledger.round)
    held = {} if afresh else dict(standing.values_list("match", "verdict"))
    current = {cell.match: cell for cell in ledger.played}
    stale = tuple(match for match in held if match not in current)
    new = [cell for match, cell in current.items() if held.get(match) != cell.verdict]
    return stale, tuple(_cell(ledger, cell) for cell in new)


def _write_cells(draft: RoundDraft) -> None:
    dropped = [*draft.dropped, *(cell.match_id for cell in draft.cells)]
    for start in range(0, len(dropped), 500):
        MatrixCell.objects.filter(match__in=dropped[start : start + 500]).delete()
    MatrixCell.objects.bulk_create(draft.cells, batch_size=200)


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
