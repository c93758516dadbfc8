"""Opening jails side by side, and closing them whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from arena.errors import PlayerError
from arena.seats import AttackSeat, DefenseSeat, Seats

Seat = TypeVar("Seat", AttackSeat, DefenseSeat, AttackSeat | DefenseSeat)


def open_all(seats: Seats, openers: Sequence[Callable[[], Seat]]) -> list[Seat | PlayerError]:
    """Open side by side; an opener that fails gives its error instead of a seat."""
    return seats.prepare(*(guarded(opener) for opener in openers))


def guarded(opener: Callable[[], Seat]) -> Callable[[], Seat | PlayerError]:
    """The same opener, with a player's fault as its result."""

    def open_() -> Seat | PlayerError:
        try:
            return opener()
        except PlayerError as error:
            return error

    return open_


def close_all(opened: Sequence[Seat | PlayerError]) -> None:
    """Closing twice does nothing."""
    for seat in opened:
        if not isinstance(seat, PlayerError):
            seat.close()
