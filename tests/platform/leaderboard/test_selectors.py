"""Pages read boards and matrix in a few queries, and only readers who may."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser

from accounts.models import User
from arena.errors import Side
from events.errors import NotThere
from leaderboard import selectors, services
from tournaments.states import MatchState


@pytest.fixture
def played(stage: Any) -> Any:
    stage.round("black")
    stage.attacks("alice", "bob")
    stage.defends("dana", "eve", "frank")
    for defense, broken in (("dana", 30), ("eve", 3)):
        stage.plays("alice", defense, range(broken))
        stage.plays("bob", defense, range(broken))
    stage.waits("alice", "frank")
    services.fold_all()
    return stage


def test_boards_come_by_round_and_side_in_display_order(played: Any) -> None:
    views = selectors.standings(played.tournament, user=AnonymousUser())
    assert [(view.round.title, view.role) for view in views] == [
        ("white", Side.DEFENSE),
        ("white", Side.ATTACK),
        ("black", Side.DEFENSE),
        ("black", Side.ATTACK),
    ]
    assert [row.entry.name for row in views[0].rows] == ["eve", "dana", "frank"]
    assert views[0].board.upper_bound


def test_one_side_of_one_round_can_be_asked_for(played: Any) -> None:
    (view,) = selectors.standings(
        played.tournament, user=AnonymousUser(), round_=played.rounds["white"], role="attack"
    )
    assert {row.entry.team_name for row in view.rows} == {"alice", "bob"}


def test_a_board_takes_three_queries_however_many_rows(
    played: Any, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(3):
        views = selectors.standings(played.tournament, user=AnonymousUser())
        assert all(str(row.entry.team) for view in views for row in view.rows)


def test_the_matrix_shows_figures_and_what_waits(
    played: Any, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(5):
        matrix = selectors.matrix(played.rounds["white"], user=AnonymousUser())
        assert [entry.team_name for entry in matrix.defenses] == ["eve", "dana", "frank"]
    alice = next(entry for entry in matrix.attacks if entry.name == "alice")
    cells = dict(matrix.lines)[alice]
    assert [cell and cell.state for cell in cells] == [
        MatchState.SCORED,
        MatchState.SCORED,
        MatchState.PENDING,
    ]
    assert cells[1] is not None
    assert cells[1].success == 0.75
    assert cells[2] is not None
    assert cells[2].waits


def test_a_private_tournaments_boards_are_not_there_for_outsiders(played: Any) -> None:
    played.make_private()
    charlie = User.objects.create(username="charlie", email="charlie@example.org")
    with pytest.raises(NotThere):
        selectors.standings(played.tournament, user=charlie)
    with pytest.raises(NotThere):
        selectors.matrix(played.rounds["white"], user=AnonymousUser())
    alice = User.objects.get(username="alice")
    assert selectors.standings(played.tournament, user=alice)
