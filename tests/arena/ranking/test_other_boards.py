"""Minimum-norm and poisoning rounds rank by figures of their own; resubmissions take over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arena.errors import Side
from arena.ranking import kept_attacks, nests
from arena.rounds import GameName, Norm, RoundSpec
from arena.threat_model import ThreatModel
from arena.verdict import Status


def at_distances(world: Any, attack: str, defense: str, distances: list[float]) -> None:
    """A minimum-norm verdict; a distance of 9 is a miss at its full cost."""
    found = [i for i, distance in enumerate(distances) if distance < 9]
    kills = world.kills([found], distances=np.array(distances, np.float32))
    world.cell(attack, defense, tier="min", status=Status.SCORED, kills=kills)


@pytest.fixture
def norms(world: Any, make_kills: Any) -> Any:
    world.tier("min", preset="white", game=GameName.MINIMUM_NORM, epsilons=(), floor=0.0)
    world.kills = lambda broken, distances: make_kills(
        broken, examples=range(len(distances)), epsilons=(), distances=distances
    )
    return world


def test_a_minimum_norm_board_ranks_by_the_median_of_the_smallest_distances(norms: Any) -> None:
    norms.attack("bob")
    norms.defense("eve")
    at_distances(norms, "alice", "dana", [0.1, 0.2, 0.3, 0.4, 9.0])
    at_distances(norms, "bob", "dana", [0.5, 0.1, 0.5, 0.5, 0.2])
    for name in ("alice", "bob"):
        at_distances(norms, name, "eve", [0.05] * 5)
    board = norms.defenses("min")
    assert board.row("dana").contender.metrics["median_distance"] == pytest.approx(0.2)
    assert [row.entry for row in board.rows] == ["dana", "eve"]


def test_a_distance_that_nobody_knows_is_no_number(norms: Any) -> None:
    """As a verdict of an earlier version holds a miss: no figure, rather than the largest float."""
    at_distances(norms, "alice", "dana", [np.inf] * 5)
    row = norms.defenses("min").row("dana").contender
    assert row.metrics["median_distance"] is None
    assert row.metrics["median_distance_mean"] is None
    assert row.estimate == np.inf
    assert norms.attacks("min").row("alice").contender.estimate == np.inf


def test_the_mean_over_attacks_stands_beside_the_worst_case(norms: Any) -> None:
    norms.attack("bob")
    at_distances(norms, "alice", "dana", [0.1] * 5)
    at_distances(norms, "bob", "dana", [0.3] * 5)
    row = norms.defenses("min").row("dana").contender
    assert row.metrics["median_distance"] == pytest.approx(0.1)
    assert row.metrics["median_distance_mean"] == pytest.approx(0.2)


def test_a_minimum_norm_attack_is_better_the_nearer_it_stays(norms: Any) -> None:
    norms.attack("bob")
    at_distances(norms, "alice", "dana", [0.1] * 20)
    at_distances(norms, "bob", "dana", [0.3] * 20)
    board = norms.attacks("min")
    assert [(row.entry, row.rank) for row in board.rows] == [("alice", 1), ("bob", 2)]


def test_a_perturbation_of_size_d_is_a_kill_at_every_larger_epsilon(norms: Any) -> None:
    norms.plays("alice", "dana", [], examples=range(4))
    at_distances(norms, "alice", "dana", [0.05, 0.1, 0.2, 9.0])
    assert norms.robust("dana") == 2 / 4


def test_a_kill_at_an_epsilon_bounds_the_distance(norms: Any) -> None:
    at_distances(norms, "alice", "dana", [0.3, 0.3, 0.3])
    norms.plays("alice", "dana", [0, 1], examples=range(3))
    row = norms.defenses("min").row("dana").contender
    assert row.metrics["median_distance"] == pytest.approx(0.1)


@pytest.fixture
def poisoned(world: Any) -> Any:
    world.tier("poison", preset="black", game=GameName.POISONING, epsilons=(), shares=(0.03, 0.1))
    world.attack("far", "flip")
    world.defense("sphere", "plain")
    return world


def poisons(world: Any, attack: str, defense: str, clean: float, error: float) -> None:
    world.cell(
        attack,
        defense,
        tier="poison",
        status=Status.SCORED,
        metrics={"clean_error": clean, "poisoned_error": error, "delta_error": error - clean},
        curve=({"share": 0.1, "poisoned_error": error},),
    )


def test_learners_rank_by_the_largest_error_over_poisoners(poisoned: Any) -> None:
    poisons(poisoned, "far", "sphere", 0.01, 0.02)
    poisons(poisoned, "flip", "sphere", 0.01, 0.05)
    poisons(poisoned, "far", "plain", 0.01, 0.95)
    poisons(poisoned, "flip", "plain", 0.01, 0.03)
    board = poisoned.defenses("poison")
    assert [row.entry for row in board.rows] == ["sphere", "plain"]
    plain = board.row("plain").contender.metrics
    assert (plain["poisoned_error"], plain["strongest_attack"]) == (0.95, "far")
    assert plain["curve"] == [{"share": 0.1, "poisoned_error": 0.95}]


def test_poisoners_rank_by_the_error_they_add(poisoned: Any) -> None:
    poisons(poisoned, "far", "plain", 0.01, 0.95)
    poisons(poisoned, "flip", "plain", 0.01, 0.03)
    rows = poisoned.attacks("poison").rows
    assert [row.entry for row in rows] == ["far", "flip"]
    assert rows[0].contender.estimate == pytest.approx(0.94)


def test_a_poisoner_that_breaks_clearly_more_ranks_above(poisoned: Any, make_kills: Any) -> None:
    for attack, broken, added in (("far", range(30), 0.75), ("flip", [1], 0.025)):
        poisoned.cell(
            attack,
            "plain",
            tier="poison",
            status=Status.SCORED,
            kills=make_kills([[], broken], epsilons=(0.03, 0.1)),
            metrics={
                "clean_error": 0.0,
                "poisoned_error": added,
                "delta_error": added,
                "delta_error_low": added - 0.02,
                "delta_error_high": added + 0.02,
            },
        )
    rows = poisoned.attacks("poison").rows
    assert [(row.entry, row.rank) for row in rows] == [("far", 1), ("flip", 2)]
    assert rows[0].contender.interval == pytest.approx((0.73, 0.77))


def test_a_learner_below_the_clean_floor_is_unranked(poisoned: Any) -> None:
    poisons(poisoned, "far", "plain", 0.7, 0.7)
    assert poisoned.defenses("poison").row("plain").contender.lacking == pytest.approx(20.0)


def test_a_learner_that_forfeits_is_wrong_on_everything(poisoned: Any) -> None:
    poisons(poisoned, "far", "plain", 0.01, 0.02)
    poisoned.cell("flip", "plain", tier="poison", status=Status.FORFEIT, blame=Side.DEFENSE)
    assert poisoned.defenses("poison").row("plain").contender.estimate == 1.0


def test_figures_that_are_not_numbers_count_as_unknown(poisoned: Any) -> None:
    poisons(poisoned, "far", "plain", 0.01, 0.02)
    poisons(poisoned, "flip", "plain", float("nan"), float("nan"))
    assert poisoned.defenses("poison").row("plain").contender.estimate == 0.02


# ── resubmission ───────────────────────────────────────────────────────────────────────────


def test_the_old_row_stays_until_the_new_one_has_met_the_pool(world: Any) -> None:
    world.change("dana", in_pool=False)
    world.defense("dana-2", team="dana", replaces="dana")
    world.plays("alice", "dana", [0])
    world.cell("alice", "dana-2")
    assert {row.entry for row in world.defenses().rows} == {"dana", "dana-2"}
    world.plays("alice", "dana-2", [0])
    assert {row.entry for row in world.defenses().rows} == {"dana-2"}


def test_of_a_chain_only_the_newest_that_met_the_pool_stays(world: Any) -> None:
    """The second version never played: its row goes, the first one's stays."""
    world.change("dana", in_pool=False)
    world.defense("dana-2", team="dana", replaces="dana", in_pool=False)
    world.defense("dana-3", team="dana", replaces="dana-2")
    world.plays("alice", "dana", [0])
    world.cell("alice", "dana-2")
    world.cell("alice", "dana-3")
    assert {row.entry for row in world.defenses().rows} == {"dana", "dana-3"}


def test_a_superseded_attack_with_a_kill_that_nobody_else_has_is_kept(world: Any) -> None:
    world.change("alice", in_pool=False)
    world.attack("alice-2", team="alice", replaces="alice")
    world.plays("alice", "dana", [0, 1])
    world.plays("alice-2", "dana", [1, 2])
    assert kept_attacks(world.records, ["alice"]) == ["alice"]


def test_a_superseded_attack_whose_kills_others_have_is_not_kept(world: Any) -> None:
    world.change("alice", in_pool=False)
    world.attack("alice-2", team="alice", replaces="alice")
    world.plays("alice", "dana", [0, 1])
    world.plays("alice-2", "dana", [0, 1, 2])
    assert kept_attacks(world.records, ["alice"]) == []


def test_a_team_keeps_no_more_attacks_than_the_cap_and_those_that_matter_most(world: Any) -> None:
    old = [f"v{i}" for i in range(5)]
    world.attack(*old, team="alice", in_pool=False)
    for i, name in enumerate(old):
        world.plays(name, "dana", range(8 * i, 8 * i + 1 + i))
    assert kept_attacks(world.records, old, per_team=2) == ["v3", "v4"]


def test_of_two_old_versions_with_the_same_kills_one_is_kept(world: Any) -> None:
    world.attack("v1", "v2", team="alice", in_pool=False)
    for name in ("v1", "v2"):
        world.plays(name, "dana", [7])
    assert kept_attacks(world.records, ["v1", "v2"]) == ["v1"]


def test_no_attack_is_kept_for_kills_on_its_own_teams_defense(world: Any) -> None:
    world.attack("old", team="dana", in_pool=False)
    world.plays("old", "dana", range(9))
    assert kept_attacks(world.records, ["old"]) == []


# ── beyond norms ───────────────────────────────────────────────────────────────────────────


def test_a_turn_nests_only_where_its_shift_fits_as_well() -> None:
    def spatial(*shifts: float) -> RoundSpec:
        return RoundSpec(
            GameName.EVASION,
            "t",
            ThreatModel.white(),
            norm=Norm.SPATIAL,
            epsilons=(10.0, 30.0),
            shifts=shifts,
        )

    small, large = spatial(1.0, 2.0), spatial(1.0, 3.0)
    assert nests(small, large)
    assert not nests(large, small)
    assert nests(spatial(), large)
