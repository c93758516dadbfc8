"""Attack success is a mean over teams; unique kills stay with whoever committed first."""

from __future__ import annotations

from typing import Any

import pytest

from arena.errors import Side
from arena.verdict import Status


def test_success_is_the_mean_over_teams_of_broken_among_clean_right(world: Any) -> None:
    world.defense("eve")
    world.plays("alice", "dana", range(10))
    world.plays("alice", "eve", range(15), wrong=range(10))
    assert world.success("alice") == pytest.approx((10 / 40 + 5 / 30) / 2)


def test_a_team_stands_for_its_best_defense_alone(world: Any) -> None:
    world.defense("dana-2", team="dana")
    world.plays("alice", "dana", range(10))
    world.plays("alice", "dana-2", range(20))
    assert world.success("alice") == 10 / 40


def test_each_house_defense_is_a_team_of_its_own(world: Any) -> None:
    world.defense("cnn", "tree", team="house", house=True)
    world.plays("alice", "dana", [])
    world.plays("alice", "cnn", range(40))
    world.plays("alice", "tree", range(20))
    row = world.attacks().row("alice").contender
    assert row.estimate == pytest.approx(1.5 / 3)
    assert row.metrics["success_on_house"] == 0.75


def test_a_defense_below_the_floor_is_no_target(world: Any) -> None:
    world.defense("eve")
    world.plays("alice", "dana", [0, 1])
    world.plays("alice", "eve", range(40), wrong=range(30))
    assert world.success("alice") == 2 / 40


@pytest.mark.parametrize(
    "friends", [{"team": "dana"}, {"allies": frozenset({"dana"})}], ids=["own team", "shared"]
)
def test_an_attack_never_scores_among_friends_though_it_counts_against_them(
    world: Any, friends: dict[str, Any]
) -> None:
    world.attack("mallory", **friends)
    world.defense("eve")
    world.plays("mallory", "dana", range(40))
    world.plays("mallory", "eve", range(4))
    assert world.success("mallory") == 4 / 40
    assert world.attacks().row("mallory").contender.metrics["unique_kills"] == 4
    assert world.robust("dana") == 0.0


def test_a_cell_that_the_defense_forfeited_with_all_it_said_is_left_out(world: Any) -> None:
    forfeited = {"status": Status.FORFEIT, "blame": Side.DEFENSE}
    world.attack("bob", "carol")
    world.defense("eve", "frank")
    for attack in ("bob", "carol"):
        for name in ("eve", "frank"):
            world.plays(attack, name, [])
    world.plays("alice", "dana", range(10))
    world.plays("alice", "eve", [], wrong=range(40), **forfeited)
    world.cell("alice", "frank", **forfeited)
    assert world.success("alice") == 10 / 40


def test_a_unique_kill_is_one_that_no_other_team_has(world: Any) -> None:
    world.attack("bob")
    world.plays("alice", "dana", [0, 1, 2])
    world.plays("bob", "dana", [2, 3])
    counts = {r.entry: r.contender.metrics["unique_kills"] for r in world.attacks().rows}
    assert counts == {"alice": 2, "bob": 1}


def test_the_first_commit_keeps_its_kills_against_later_copies(world: Any) -> None:
    world.attack("copy")
    for name in ("alice", "copy"):
        world.plays(name, "dana", [0, 1, 2])
    counts = {r.entry: r.contender.metrics["unique_kills"] for r in world.attacks().rows}
    assert counts == {"alice": 3, "copy": 0}


def test_two_attacks_of_one_team_do_not_take_kills_from_each_other(world: Any) -> None:
    world.attack("alice-2", team="alice")
    world.plays("alice", "dana", [0, 1])
    world.plays("alice-2", "dana", [1, 2])
    counts = {r.entry: r.contender.metrics["unique_kills"] for r in world.attacks().rows}
    assert counts == {"alice": 2, "alice-2": 2}


def test_a_team_cannot_spoil_others_unique_kills_by_breaking_its_own_defense(world: Any) -> None:
    world.attack("dana-attack", team="dana")
    world.plays("alice", "dana", [0, 1])
    world.plays("dana-attack", "dana", range(40))
    assert world.attacks().row("alice").contender.metrics["unique_kills"] == 2


def test_kills_with_less_knowledge_are_no_success_of_the_stronger_tier(world: Any) -> None:
    world.tier("black")
    world.plays("alice", "dana", [0])
    world.plays("alice", "dana", range(20), tier="black")
    assert world.success("alice", "white") == 1 / 40


def test_attacks_are_compared_on_the_teams_that_both_met(world: Any) -> None:
    """Bob could only meet the easy defense; that does not make him better than Alice."""
    world.attack("bob")
    world.defense("easy")
    world.plays("alice", "dana", [])
    world.plays("alice", "easy", range(36))
    world.plays("bob", "easy", range(35))
    board = world.attacks()
    assert board.row("bob").contender.estimate > board.row("alice").contender.estimate
    assert [board.row(name).rank for name in ("alice", "bob")] == [1, 1]


def test_a_clearly_weaker_attack_ranks_below(world: Any) -> None:
    world.attack("noise")
    world.plays("alice", "dana", range(30))
    world.plays("noise", "dana", range(2))
    board = world.attacks()
    assert [(row.entry, row.rank) for row in board.rows] == [("alice", 1), ("noise", 2)]
    low, high = board.row("alice").contender.interval
    assert low < 0.75 < high


def test_queries_are_shown_as_the_median_over_matches(world: Any) -> None:
    world.defense("eve", "frank")
    for name, queries in (("dana", 10.0), ("eve", 30.0), ("frank", None)):
        world.plays("alice", name, [0], metrics={"median_queries": queries})
    assert world.attacks().row("alice").contender.metrics["median_queries"] == 20.0
