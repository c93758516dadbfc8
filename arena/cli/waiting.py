"""Polling until something is decided, within a time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from arena import client
from arena.cli.console import progress
from arena.cli.exits import ExitCode, Stop

if TYPE_CHECKING:
    from arena.client import Client, SubmissionBody

SHORTEST: Final = 1.0
LONGEST: Final = 10.0
UNDER_WAY: Final = ("pending", "running")


@dataclass
class Clock:
    """``seconds`` from now; each pause is a little longer than the one before."""

    seconds: float
    _started: float = field(default_factory=time.monotonic)
    _pause: float = SHORTEST

    def wait(self, what: str) -> None:
        """One pause.

        Raises:
            Stop: the time is up.
        """
        left = self.seconds - (time.monotonic() - self._started)
        if left <= 0:
            raise Stop(ExitCode.TIMED_OUT, f"{what} after {self.seconds:g} s; it goes on there.")
        client.pause(min(self._pause, left))
        self._pause = min(1.3 * self._pause, LONGEST)


@dataclass(frozen=True)
class Line:
    """One state of a progress bar."""

    done: int
    total: int
    sentence: str


def wait_for_submission(arena: Client, id: str, clock: Clock) -> SubmissionBody:  # noqa: A002
    """The submission once it is judged."""
    with progress("Qualification") as tell:
        while True:
            row = arena.submission(id)
            if not row["pending"]:
                return row
            told = row["progress"]
            tell(
                Line(
                    int(told.get("done", 0)),
                    int(told.get("total", 0)),
                    str(told.get("sentence", row["state"])),
                )
            )
            clock.wait("The submission is not judged yet")


def wait_for_matches(arena: Client, clock: Clock, **filters: str) -> None:
    """Until none of these matches waits or plays."""
    with progress("Matches") as tell:
        most = 0
        while True:
            left = sum(1 for _ in arena.matches(state=list(UNDER_WAY), **filters))
            if not left:
                return
            most = max(most, left)
            tell(Line(most - left, most, f"{left} matches to come"))
            clock.wait(f"{left} matches are still to be played")
