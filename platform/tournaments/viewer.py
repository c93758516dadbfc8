"""Who reads, as far as names need to know: asked once a request, not once a row."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.selectors import Person, is_administrator, team_ids
from tournaments.models import NOBODY, WITHDRAWN, Entry
from tournaments.selectors import organized_ids


@dataclass(frozen=True)
class Viewer:
    """``teams`` and ``organizes``: primary keys of teams and tournaments."""

    teams: frozenset[int]
    organizes: frozenset[int]
    everything: bool

    @classmethod
    def of(cls, user: Person) -> Viewer:
        return cls(team_ids(user), organized_ids(user), is_administrator(user))

    def knows(self, entry: Entry) -> bool:
        """Its team, and those who run the tournament; everyone knows the house."""
        return (
            self.everything
            or entry.is_house
            or entry.team_id in self.teams
            or entry.tournament_id in self.organizes
        )

    def is_hidden(self, entry: Entry) -> bool:
        """Whether this reader is not told whose it was."""
        return entry.is_withdrawn and not self.knows(entry)

    def name_of(self, entry: Entry) -> str:
        """Withdrawn entries keep their verdicts, but not their name."""
        return WITHDRAWN if self.is_hidden(entry) else entry.name

    def team_name_of(self, entry: Entry) -> str:
        return NOBODY if self.is_hidden(entry) else entry.team_name

    def team_of(self, entry: Entry) -> dict[str, str] | None:
        if entry.team is None or self.is_hidden(entry):
            return None
        return {"id": entry.team.uid, "name": entry.team.name}
