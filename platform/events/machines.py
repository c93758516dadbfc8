"""State machines as tables: which moves are legal, and a conditional UPDATE that makes one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet, TextChoices

from events.errors import Conflict

S = TypeVar("S", bound=TextChoices)
M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Machine(Generic[S]):
    """``moves[a]`` holds the states that ``a`` may become. Nothing else writes a ``state``."""

    moves: Mapping[S, frozenset[S]]

    def allows(self, before: S, after: S) -> bool:
        return after in self.moves[before]

    def sources(self, after: S) -> list[S]:
        """The states from which ``after`` may be reached."""
        return [before for before, targets in self.moves.items() if after in targets]

    @property
    def final(self) -> frozenset[S]:
        """States that nothing leaves."""
        return frozenset(state for state, targets in self.moves.items() if not targets)

    def move(self, rows: QuerySet[M], after: S, /, **values: Any) -> int:
        """Moves those of ``rows`` that legally may; the number moved. Never raises for the rest."""
        return rows.filter(state__in=self.sources(after)).update(state=after, **values)

    def move_one(self, rows: QuerySet[M], after: S, /, **values: Any) -> None:
        """Moves exactly one row.

        Raises:
            Conflict: it is in no state from which ``after`` may be reached.
        """
        if self.move(rows, after, **values) != 1:
            before = " or ".join(state.label.lower() for state in self.sources(after))
            first = f": it must be {before} first" if before else ""
            raise Conflict(f"This cannot become {after.label.lower()} now{first}.")


def table(states: type[S], moves: Mapping[S, tuple[S, ...]]) -> Machine[S]:
    """A machine over all members of ``states``; those that ``moves`` leaves out are final."""
    return Machine({state: frozenset(moves.get(state, ())) for state in states})
