"""Rows, ranks and order: what every board has in common, whatever its game."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import Side
from arena.ranking.records import CellResult, Player
from arena.ranking.statistics import Interval, significantly_better

POOL_SHARE: Final = 0.95
"""Share of its applicable pool that a row must have met to be ranked."""


@dataclass(frozen=True)
class Headline:
    """What a board ranks by. ``upper_bound``: it can only fall as attacks arrive."""

    name: str
    title: str
    higher_is_better: bool = True
    upper_bound: bool = False


@dataclass(frozen=True)
class Contender:
    """A row before it is ranked. ``estimate`` None: nothing is known yet."""

    player: Player
    estimate: float | None
    interval: Interval | None
    clean: float | None
    met: int
    applicable: int
    lacking: float = 0.0
    """Percentage points of clean accuracy below the floor."""
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pending(self) -> int:
        return self.applicable - self.met

    @property
    def provisional(self) -> bool:
        """A missing score never ranks."""
        return self.estimate is None or self.met < POOL_SHARE * self.applicable

    @property
    def ranked(self) -> bool:
        return not self.provisional and self.lacking <= 0

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the row has no rank, in sentences."""
        found = []
        if self.lacking > 0:
            found.append(f"Clean accuracy lacks {self.lacking:.1f} percentage points to the floor.")
        if self.provisional and self.pending:
            found.append(f"Met {self.met} of {self.applicable} in the pool; ranked from 95 %.")
        elif self.provisional:
            found.append("Nobody in the pool can meet it in this round.")
        return tuple(found)


@dataclass(frozen=True)
class Row:
    """A ranked row. ``rank`` to ``rank_high``: the range that the tests leave open."""

    contender: Contender
    position: int
    rank: int | None
    rank_low: int | None
    rank_high: int | None

    @property
    def entry(self) -> str:
        return self.contender.player.id


@dataclass(frozen=True)
class Board:
    """All rows of one side of a tier, in display order."""

    tier: str
    side: Side
    headline: Headline
    rows: tuple[Row, ...]
    pool_version: str
    examples: int

    def row(self, entry: str) -> Row:
        return next(row for row in self.rows if row.entry == entry)


def ranked_board(
    contenders: Sequence[Contender],
    wins: NDArray[np.int64],
    *,
    tier: str,
    side: Side,
    headline: Headline,
    pool_version: str,
    examples: int,
    ahead: NDArray[np.bool_] | None = None,
) -> Board:
    """Give ranks to those who may have one.

    ``rank = 1 + number of rows significantly better``; rows without a rank neither push others
    down nor enter the family of tests.

    Args:
        wins: (m, m), in the order of ``contenders``: shared examples on which i beats j.
        ahead: (m, m), whether i is better than j on what both met; by the headline where left out.
    """
    ranked = [i for i, c in enumerate(contenders) if c.ranked]
    if ahead is None:
        estimates = np.array([_upwards(c, headline) for c in contenders], np.float64)
        ahead = estimates[:, None] > estimates[None, :]
    among = np.ix_(ranked, ranked)
    better = significantly_better(wins[among], ahead[among])
    places = {
        i: (1 + int(better[:, k].sum()), len(ranked) - int(better[k].sum()))
        for k, i in enumerate(ranked)
    }
    order = sorted(
        range(len(contenders)), key=lambda i: _display(contenders[i], places.get(i), headline)
    )
    return Board(
        tier=tier,
        side=side,
        headline=headline,
        rows=tuple(
            _row(contenders[i], position, places.get(i)) for position, i in enumerate(order, 1)
        ),
        pool_version=pool_version,
        examples=examples,
    )


def _row(contender: Contender, position: int, place: tuple[int, int] | None) -> Row:
    low, high = place or (None, None)
    return Row(contender, position, low, low, high)


def _upwards(contender: Contender, headline: Headline) -> float:
    estimate = contender.estimate
    if estimate is None:
        return -np.inf
    return estimate if headline.higher_is_better else -estimate


def _display(c: Contender, place: tuple[int, int] | None, headline: Headline) -> tuple[Any, ...]:
    """Ranked, then provisional, then below the floor; within, the cautious end of the interval."""
    cautious = -np.inf
    if c.interval is not None:
        cautious = c.interval.low if headline.higher_is_better else -c.interval.high
    return (
        c.lacking > 0,
        c.provisional,
        place[0] if place else 0,
        -cautious,
        -_upwards(c, headline),
        -(c.clean or 0.0),
        c.player.uploaded,
        c.player.id,
    )


def points_lacking(clean: float | None, floor: float) -> float:
    """Percentage points below the floor, 0 at or above it."""
    if clean is None:
        return 0.0
    lacking = 100 * (floor - clean)
    return lacking if lacking > 1e-9 else 0.0


def pool_met(cells: Iterable[CellResult]) -> tuple[int, int]:
    """(met, applicable)."""
    listed = list(cells)
    return sum(cell.met for cell in listed), len(listed)


def pool_version(members: Iterable[Sequence[str]]) -> str:
    """A short name of the pool: equal pools have equal versions, in whatever order they came."""
    digest = hashlib.sha256()
    for member in sorted({tuple(member) for member in members}):
        digest.update(("\x1f".join(member) + "\x1e").encode())
    return digest.hexdigest()[:12]
