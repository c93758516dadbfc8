"""Reads boards and the matrix for pages and the API: a few indexed queries, no folding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.selectors import Person
from arena.errors import Side
from events.errors import NotThere
from leaderboard.models import Board, MatrixCell, Standing
from tournaments import visibility
from tournaments.models import Entry, Match, Round, Tournament
from tournaments.states import UNDER_WAY, MatchState


@dataclass(frozen=True)
class BoardView:
    """One board with its rows in display order; each row has ``entry.team`` at hand."""

    board: Board
    round: Round
    rows: tuple[Standing, ...]

    @property
    def role(self) -> Side:
        return Side(self.board.role)

    @property
    def as_of(self) -> datetime | None:
        return self.board.as_of


def standings(
    tournament: Tournament,
    *,
    user: Person,
    round_: Round | None = None,
    role: Side | str | None = None,
) -> list[BoardView]:
    """The tournament's boards, by round and side: three queries, however many rows.

    Raises:
        NotThere: the reader may not know of this tournament.
    """
    _require_visible(user, tournament)
    boards = Board.objects.filter(round__tournament=tournament).select_related("round")
    rows = Standing.objects.filter(tournament=tournament)
    if round_ is not None:
        boards, rows = boards.filter(round=round_), rows.filter(round=round_)
    if role is not None:
        side = Side(role).value
        boards, rows = boards.filter(role=side), rows.filter(role=side)
    by_board: dict[tuple[int, str], list[Standing]] = {}
    for row in rows.select_related("entry__team").order_by("position"):
        by_board.setdefault((row.round_id, row.role), []).append(row)
    return [
        BoardView(board, board.round, tuple(by_board.get((board.round_id, board.role), ())))
        for board in boards.order_by("round__number", "-role")
    ]


@dataclass(frozen=True)
class Strongest:
    """The attacks that rows name as those that break them most, and the rounds they did it in."""

    entries: dict[int, Entry]
    rounds: dict[int, Round]

    @classmethod
    def of(cls, views: Iterable[BoardView]) -> Strongest:
        metrics = [row.metrics for view in views for row in view.rows]
        attacks = {told.get("strongest_attack") for told in metrics} - {None}
        rounds = {told.get("strongest_round") for told in metrics} - {None}
        named = Entry.objects.filter(pk__in=attacks).select_related("team")
        return cls(named.in_bulk(), Round.objects.in_bulk(rounds) if rounds else {})


@dataclass(frozen=True)
class CellView:
    """``state`` is the match's own, so that playing cells show at once; figures once folded."""

    match: str
    state: MatchState
    success: float | None
    robust: float | None
    metrics: dict[str, Any]

    @property
    def waits(self) -> bool:
        return self.state in UNDER_WAY


@dataclass(frozen=True)
class Matrix:
    """Attack x defense. ``cells``: (attack, defense) primary keys -> cell; absent: never planned.

    Rows and columns are in the order of the boards, those without a row after them.
    """

    attacks: tuple[Entry, ...]
    defenses: tuple[Entry, ...]
    cells: dict[tuple[int, int], CellView]

    def cell(self, attack: Entry, defense: Entry) -> CellView | None:
        return self.cells.get((attack.pk, defense.pk))

    @property
    def lines(self) -> list[tuple[Entry, list[CellView | None]]]:
        """For templates: (attack, one cell a defense)."""
        return [(a, [self.cell(a, d) for d in self.defenses]) for a in self.attacks]


def matrix(round_: Round, *, user: Person) -> Matrix:
    """A round's matrix: five queries, however large.

    Raises:
        NotThere: the reader may not know of this tournament.
    """
    _require_visible(user, round_.tournament)
    figures = {cell.match_id: cell for cell in MatrixCell.objects.filter(round=round_)}
    matches = Match.objects.filter(round=round_).exclude(state=MatchState.CANCELLED)
    rows = list(matches.values_list("pk", "uid", "state", "attack", "defense"))
    cells = {(a, d): _view(uid, state, figures.get(pk)) for pk, uid, state, a, d in rows}
    order = dict(Standing.objects.filter(round=round_).values_list("entry", "position"))
    entries = Entry.objects.filter(pk__in={pk for pair in cells for pk in pair})
    listed = sorted(
        entries.select_related("team"), key=lambda e: (order.get(e.pk, len(rows) + 1), e.pk)
    )
    return Matrix(
        attacks=tuple(entry for entry in listed if entry.role == Side.ATTACK),
        defenses=tuple(entry for entry in listed if entry.role == Side.DEFENSE),
        cells=cells,
    )


def _view(uid: str, state: str, cell: MatrixCell | None) -> CellView:
    if cell is None:
        return CellView(uid, MatchState(state), None, None, {})
    return CellView(uid, MatchState(state), cell.success, cell.robust, cell.metrics)


def _require_visible(user: Person, tournament: Tournament) -> None:
    if not visibility.may_see_tournament(user, tournament):
        raise NotThere("There is no such tournament.")
