"""Robust accuracy is a mean of minima over the whole pool, and says how far it is to be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arena.errors import Side
from arena.verdict import Status


def test_robust_accuracy_counts_examples_that_no_attack_of_the_pool_breaks(world: Any) -> None:
    world.attack("bob")
    world.plays("alice", "dana", [0, 1, 2, 3])
    world.plays("bob", "dana", [3, 4, 5, 6, 7])
    row = world.defenses().row("dana").contender
    assert row.metrics["robust_worst"] == 32 / 40
    assert row.metrics["robust_mean"] == np.mean([36 / 40, 35 / 40])
    assert row.metrics["strongest_attack"] == "bob"


def test_an_attack_that_crashed_moves_no_mean_but_its_kills_count(world: Any) -> None:
    world.attack("mallory")
    world.plays("alice", "dana", [0, 1, 2, 3])
    before = world.defenses().row("dana").contender.metrics["robust_mean"]
    world.plays("mallory", "dana", [9], status=Status.FORFEIT, blame=Side.ATTACK)
    after = world.defenses().row("dana").contender.metrics
    assert after["robust_mean"] == before == 36 / 40
    assert after["robust_worst"] == 35 / 40


def test_a_clean_mistake_is_no_robust_example_and_no_kill(world: Any) -> None:
    world.plays("alice", "dana", [0, 1], wrong=[1, 2])
    row = world.defenses().row("dana").contender
    assert row.clean == 38 / 40
    assert row.metrics["robust_worst"] == 37 / 40
    assert world.success("alice") == 1 / 38


def test_a_kill_at_a_smaller_epsilon_counts_at_every_larger_one(world: Any) -> None:
    world.tier("white", epsilons=(0.1, 0.2))
    world.plays("alice", "dana", [[0, 1], [2]])
    curve = world.defenses().row("dana").contender.metrics["curve"]
    assert [point["robust_worst"] for point in curve] == [38 / 40, 37 / 40]


def test_a_kill_found_in_a_black_box_counts_on_the_white_board_and_not_the_other_way(
    world: Any,
) -> None:
    world.tier("black")
    world.attack("bob")
    world.plays("alice", "dana", [0])
    world.plays("bob", "dana", [5, 6], tier="black")
    assert world.robust("dana", "white") == 37 / 40
    assert world.robust("dana", "black") == 38 / 40
    assert world.defenses().row("dana").contender.metrics["broken_only_with_less"] == 2


def test_the_strongest_attack_may_have_played_with_less_and_the_row_says_where(world: Any) -> None:
    world.tier("black")
    world.attack("bob")
    world.plays("alice", "dana", [0])
    world.plays("bob", "dana", [0], tier="black")
    metrics = world.defenses().row("dana").contender.metrics
    assert (metrics["strongest_attack"], metrics["strongest_round"]) == ("alice", None)
    world.plays("bob", "dana", [5, 6], tier="black", recorded=1)
    metrics = world.defenses().row("dana").contender.metrics
    assert (metrics["strongest_attack"], metrics["strongest_round"]) == ("bob", "black")
    black = world.defenses("black").row("dana").contender.metrics
    assert (black["strongest_attack"], black["strongest_round"]) == ("bob", None)


@pytest.mark.parametrize("preset", ["transfer", "black", "grey"])
def test_every_preset_nests_in_white(world: Any, preset: str) -> None:
    world.tier("weak", preset=preset)
    world.plays("alice", "dana", [])
    world.plays("alice", "dana", [1], tier="weak")
    assert world.robust("dana") == 39 / 40


def test_a_kill_at_a_larger_epsilon_or_in_another_norm_stays_where_it_is(world: Any) -> None:
    world.tier("far", preset="black", epsilons=(0.3,))
    world.tier("l2", preset="black", norm=_norm("l2"))
    world.plays("alice", "dana", [])
    for round_ in ("far", "l2"):
        world.plays("alice", "dana", [1, 2], tier=round_)
    assert world.robust("dana") == 1.0


def test_a_kill_of_a_targeted_round_does_not_leave_its_goal(world: Any) -> None:
    world.tier("targeted", preset="black", goal=_goal("targeted"))
    world.plays("alice", "dana", [])
    world.plays("alice", "dana", [1, 2], tier="targeted")
    assert world.robust("dana") == 1.0


def test_a_defense_without_gradients_does_not_win_the_white_board(world: Any) -> None:
    """No white-box attack can meet Kim's nearest neighbours; what the black box found counts."""
    world.tier("black")
    world.attack("square")
    world.defense("kim")
    world.plays("alice", "dana", range(10))
    world.plays("square", "dana", [], tier="black")
    world.plays("square", "kim", range(30), tier="black")
    board = world.defenses("white")
    assert [row.entry for row in board.rows] == ["dana", "kim"]
    assert world.robust("kim") == 10 / 40
    assert board.row("kim").rank == 2


def test_kills_of_other_rounds_join_on_the_index_of_the_example(world: Any) -> None:
    """The black round judged other examples: only those that the white tier judges count."""
    world.tier("black")
    world.plays("alice", "dana", [])
    world.plays("alice", "dana", [35, 45, 55], tier="black", examples=range(30, 60))
    assert world.defenses().examples == 40
    assert world.robust("dana") == 39 / 40


def test_a_clean_mistake_in_a_weaker_round_is_no_kill_on_the_stronger_tier(world: Any) -> None:
    world.tier("black")
    world.plays("alice", "dana", [])
    world.plays("alice", "dana", [3], wrong=[3, 4], tier="black")
    assert world.robust("dana") == 1.0


def test_a_forfeit_by_the_defense_counts_every_unanswered_input_as_wrong(world: Any) -> None:
    world.attack("bob")
    world.plays("alice", "dana", [0])
    world.cell("bob", "dana", status=Status.FORFEIT, blame=Side.DEFENSE)
    assert world.robust("dana") == 0.0


def test_an_input_unanswered_in_one_match_is_lost_though_clean_accuracy_goes_by_the_majority(
    world: Any,
) -> None:
    world.attack("bob", "carol")
    world.plays("alice", "dana", [0])
    world.plays("bob", "dana", [0])
    world.plays("carol", "dana", [], wrong=[7, 8])
    row = world.defenses().row("dana").contender
    assert (row.clean, row.metrics["robust_worst"]) == (1.0, 37 / 40)


def test_a_forfeit_by_the_attack_leaves_the_examples_clean(world: Any) -> None:
    world.attack("mallory")
    world.plays("alice", "dana", [0])
    world.cell("mallory", "dana", status=Status.FORFEIT, blame=Side.ATTACK)
    row = world.defenses().row("dana").contender
    assert (row.metrics["robust_worst"], row.pending) == (39 / 40, 0)
    assert world.success("mallory") == 0.0


def test_a_void_match_is_never_scored_and_stays_pending(world: Any) -> None:
    world.attack("bob")
    world.plays("alice", "dana", [0])
    world.plays("bob", "dana", range(40), status=Status.VOID)
    row = world.defenses().row("dana")
    assert row.contender.metrics["robust_worst"] == 39 / 40
    assert (row.contender.pending, row.contender.provisional, row.rank) == (1, True, None)


def test_a_cell_that_is_not_applicable_is_outside_the_pool(world: Any) -> None:
    world.attack("bob")
    world.plays("alice", "dana", [0])
    world.cell("bob", "dana", status=Status.NOT_APPLICABLE)
    assert world.defenses().row("dana").contender.applicable == 1


def test_a_row_that_met_less_than_its_pool_is_provisional_and_below_the_ranked(world: Any) -> None:
    world.attack(*(f"a{i}" for i in range(20)))
    world.defense("eve")
    for i in range(20):
        world.plays(f"a{i}", "dana", range(20))
        world.cell(f"a{i}", "eve", status=Status.SCORED if i == 0 else None)
    world.plays("a0", "eve", [])
    board = world.defenses()
    assert [row.entry for row in board.rows] == ["dana", "eve"]
    assert board.row("eve").rank is None
    assert board.row("eve").contender.reasons == ("Met 1 of 20 in the pool; ranked from 95 %.",)


def test_nineteen_of_twenty_are_enough_to_be_ranked(world: Any) -> None:
    for i in range(20):
        world.attack(f"a{i}")
        world.plays(f"a{i}", "dana", [], status=Status.SCORED if i else None)
    assert world.defenses().row("dana").rank == 1


def test_below_the_clean_floor_a_row_is_shown_unranked_with_the_points_it_lacks(world: Any) -> None:
    world.defense("eve")
    world.plays("alice", "dana", range(20))
    world.plays("alice", "eve", [], wrong=range(30))
    row = world.defenses().row("eve")
    assert row.rank is None
    assert row.contender.lacking == pytest.approx(25.0)
    assert row.contender.reasons == ("Clean accuracy lacks 25.0 percentage points to the floor.",)
    assert world.defenses().rows[0].entry == "dana"


def test_rank_is_one_plus_the_rows_that_are_significantly_better(world: Any) -> None:
    world.defense("eve", "frank")
    world.plays("alice", "dana", range(4))
    world.plays("alice", "eve", range(6))
    world.plays("alice", "frank", range(36))
    rows = {row.entry: row for row in world.defenses().rows}
    assert [rows[name].rank for name in ("dana", "eve", "frank")] == [1, 1, 3]
    assert (rows["dana"].rank_low, rows["dana"].rank_high) == (1, 2)
    assert (rows["frank"].rank_low, rows["frank"].rank_high) == (3, 3)
    assert [row.position for row in world.defenses().rows] == [1, 2, 3]


def test_equals_are_shown_by_clean_accuracy_then_by_upload(world: Any) -> None:
    world.defense("eve", uploaded=0.5)
    world.defense("frank", uploaded=9.0)
    world.plays("alice", "frank", [0, 1])
    world.plays("alice", "dana", [0], wrong=[1])
    world.plays("alice", "eve", [0], wrong=[1])
    assert [row.entry for row in world.defenses().rows] == ["frank", "eve", "dana"]


def test_intervals_hold_the_figure_and_are_the_same_each_time(world: Any) -> None:
    world.plays("alice", "dana", range(10))
    first, second = (world.defenses().row("dana").contender.metrics for _ in range(2))
    assert first == second
    for name in ("robust_worst_wilson", "robust_worst_bootstrap"):
        low, high = first[name]
        assert low < 0.75 < high


def test_the_pool_version_changes_with_the_pool_and_with_nothing_else(world: Any) -> None:
    world.plays("alice", "dana", [0])
    before = world.defenses().pool_version
    world.cells.reverse()
    world.defense("eve")
    world.plays("alice", "eve", [1])
    assert world.defenses().pool_version == before
    world.attack("bob")
    world.plays("bob", "dana", [])
    assert world.defenses().pool_version != before


def test_the_headline_is_labelled_an_upper_bound(world: Any) -> None:
    world.plays("alice", "dana", [0])
    assert world.defenses().headline.upper_bound
    assert "upper bound" in world.defenses().headline.title


def test_a_board_without_any_verdict_has_rows_without_figures(world: Any) -> None:
    world.cell("alice", "dana")
    row = world.defenses().row("dana")
    assert (row.contender.estimate, row.rank, row.contender.pending) == (None, None, 1)


def _norm(name: str) -> Any:
    from arena.rounds import Norm

    return Norm(name)


def _goal(name: str) -> Any:
    from arena.rounds import Goal

    return Goal(name)
