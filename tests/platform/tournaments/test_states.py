"""One table of legal moves each: what it says, and that nothing else moves a row."""

from __future__ import annotations

from typing import Any

import pytest

from arena.manifest import Role
from events.errors import Conflict
from submissions.states import SUBMISSIONS, SubmissionState
from tournaments.models import Match
from tournaments.states import (
    ENTRIES,
    MATCHES,
    ROUNDS,
    TOURNAMENTS,
    EntryState,
    MatchState,
    Phase,
)

MACHINES = {
    "tournaments": (TOURNAMENTS, Phase, {Phase.FROZEN}),
    "rounds": (ROUNDS, Phase, {Phase.FROZEN}),
    "entries": (ENTRIES, EntryState, set()),
    "matches": (
        MATCHES,
        MatchState,
        {MatchState.SCORED, MatchState.FORFEIT, MatchState.NOT_APPLICABLE},
    ),
    "submissions": (
        SUBMISSIONS,
        SubmissionState,
        {SubmissionState.QUALIFIED, SubmissionState.REJECTED},
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_every_state_has_its_moves_and_only_the_final_ones_have_none(name: str) -> None:
    machine, states, final = MACHINES[name]
    assert set(machine.moves) == set(states)
    assert machine.final == final


@pytest.mark.parametrize("name", MACHINES)
def test_no_state_moves_to_itself(name: str) -> None:
    machine, states, _ = MACHINES[name]
    assert not [state for state in states if machine.allows(state, state)]


@pytest.mark.parametrize("after", MatchState)
@pytest.mark.parametrize("before", MatchState)
def test_the_database_moves_a_match_exactly_where_the_table_lets_it(
    stage: Any, before: MatchState, after: MatchState
) -> None:
    attack = stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    defense = stage.enters(stage.person("dana"), "Wall", Role.DEFENSE)
    rows = Match.objects.filter(pk=stage.match(attack, defense).pk)
    rows.update(state=before, lease_until="2030-01-01T00:00Z")
    assert MATCHES.move(rows, after) == int(MATCHES.allows(before, after))
    moved = MATCHES.allows(before, after)
    assert rows.get().state == (after if moved else before)


def test_a_move_that_is_not_legal_is_a_conflict_with_a_sentence(stage: Any) -> None:
    with pytest.raises(Conflict, match="cannot become frozen now: it must be published first"):
        TOURNAMENTS.move_one(type(stage.tournament).objects.all(), Phase.FROZEN)
