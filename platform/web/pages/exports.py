"""The boards of a tournament as a table for spreadsheets: an organizer grades by it."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache

from leaderboard import selectors as boards
from leaderboard.selectors import BoardView
from tournaments import selectors
from tournaments.viewer import Viewer
from web.answers import attachment, page
from web.figures import BoardRow, board_rows

COLUMNS: Final = (
    "round", "round_title", "side", "position", "rank", "rank_low", "rank_high", "entry", "team",
    "figure", "value", "interval_low", "interval_high", "clean_accuracy", "mean_over_attacks",
    "unique_kills", "on_house", "matches_ended",
    "matches_left", "why_unranked", "as_of",
)  # fmt: skip
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would compute; names are texts of guests."""


@never_cache
@page
def standings(request: HttpRequest, slug: str) -> HttpResponse:
    """Every row of every board that the reader may see."""
    found, viewer = selectors.get(request.user, slug), Viewer.of(request.user)
    written = io.StringIO()
    table = csv.writer(written)
    table.writerow(COLUMNS)
    for view in boards.standings(found, user=request.user):
        table.writerows(_rows(view, viewer))
    content = codecs.BOM_UTF8 + written.getvalue().encode()  # or Excel takes it for Latin-1
    return attachment(content, name=f"{found.slug}.csv", kind="text/csv; charset=utf-8")


def _rows(view: BoardView, viewer: Viewer) -> Iterator[list[object]]:
    for row in board_rows(view.board, view.rows):
        yield [_cell(value) for value in _values(view, row, viewer)]


def _values(view: BoardView, told: BoardRow, viewer: Viewer) -> list[object]:
    row = told.standing
    return [
        view.round.number, view.round.title, view.role.value, row.position, row.rank,
        row.rank_low, row.rank_high, viewer.name_of(row.entry),
        viewer.team_name_of(row.entry), view.board.headline, row.headline, row.interval_low,
        row.interval_high,
        row.clean_accuracy, told.mean, told.unique_kills, told.on_house, row.met,
        row.pending, " ".join(row.reasons),
        row.as_of.isoformat() if row.as_of else None,
    ]  # fmt: skip


def _cell(value: object) -> object:
    """A text that looks like a formula is made one that does not."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
