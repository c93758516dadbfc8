"""Seats of a match that is ended from outside after so many seconds.

Every process has a clock of its own, and a match may need dozens of them: a player that lets each
run nearly out would have the match ended from outside, which is our fault, void and never scored.
So near the end no further process is opened: the side that has taken more than half of the time is
at fault, or the one that has taken more than the other where nearly all of it was theirs. If we
were slow, nobody is. Where it is not the side whose process would be opened, the match ends there:
that the other can no longer be asked must not count as its mistake.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from arena.errors import FaultCode, MatchUsedUp, PlayerError, Side
from arena.rounds import Limits
from arena.seats import AttackSeat, DefenseSeat, DelegatingSeats, Revealed

MARGIN: Final = 60.0
"""Seconds that the referee may need for itself after the last process."""
MOST: Final = 0.5
"""The share of a match that one side may take."""
NEARLY_ALL: Final = 0.9
"""Of a match: who took so much together has used it up, and not we."""

Seat = TypeVar("Seat", AttackSeat, DefenseSeat)


@dataclass(eq=False)
class _Spent:
    """Seconds in which processes were opened, and those opened, whose own clocks tell the rest."""

    opening: float = 0.0
    seats: list[AttackSeat | DefenseSeat] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.opening + sum(seat.seconds for seat in self.seats)


@dataclass(frozen=True, eq=False)
class TimedSeats(DelegatingSeats):
    """``seats``, whose match is ended ``seconds`` after it began."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    began: float = field(init=False)
    spent: dict[Side, _Spent] = field(
        default_factory=lambda: {side: _Spent() for side in (Side.ATTACK, Side.DEFENSE)}
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "began", self.clock())

    def open_attack(self, revealed: Revealed) -> AttackSeat:
        """As ever, in time.

        Raises:
            PlayerError: the attack's, if it has taken too much of the match.
            MatchUsedUp: the defense has.
        """
        limits = self.round.attack_limits
        return self._opened(Side.ATTACK, limits, lambda: self.seats.open_attack(revealed))

    def open_defense(self, *, in_turn: bool = False) -> DefenseSeat:
        """As ever, in time.

        Raises:
            PlayerError: the defense's, if it has taken too much of the match.
            MatchUsedUp: the attack has.
        """
        limits = self.round.defense_limits
        return self._opened(Side.DEFENSE, limits, lambda: self.seats.open_defense(in_turn=in_turn))

    def logs(self) -> dict[Side, str]:
        """What the processes of each side printed, in the order of their beginning; ends them."""
        return {
            side: "".join(seat.close() for seat in spent.seats)
            for side, spent in self.spent.items()
        }

    def _opened(self, side: Side, limits: Limits, open_: Callable[[], Seat]) -> Seat:
        spent, begun = self.spent[side], self.clock()
        elapsed = begun - self.began
        last = self.seconds - limits.load_seconds - limits.wall_seconds - MARGIN
        fault = self._at_fault(elapsed) if elapsed > max(last, self.seconds * MOST) else None
        if fault is not None:
            raise fault if fault.side is side else MatchUsedUp(fault, self.logs)
        try:
            seat = open_()
        finally:
            spent.opening += self.clock() - begun
        spent.seats.append(seat)
        return seat

    def _at_fault(self, elapsed: float) -> PlayerError | None:
        """Of the side by which the match can no longer be played to its end, if by one."""
        taken = {side: spent.seconds for side, spent in self.spent.items()}
        side = max(taken, key=lambda side: taken[side])
        if taken[side] <= elapsed * MOST and sum(taken.values()) <= elapsed * NEARLY_ALL:
            return None
        return PlayerError(
            side,
            FaultCode.WALL_TIME,
            f"Its processes have taken {taken[side]:.0f} of the {elapsed:.0f} seconds that "
            f"the match has lasted; after {self.seconds:.0f} it would be ended.",
        )
