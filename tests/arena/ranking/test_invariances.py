"""What must not change a board does not change it, whatever the verdicts say."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arena.errors import Side
from arena.ranking import Board
from arena.verdict import Status

ATTACKS, DEFENSES, EXAMPLES = 4, 4, 40
seeds = st.integers(0, 2**32 - 1)
checked = settings(max_examples=8, deadline=None, derandomize=True)


def played(world_class: type[Any], seed: int, *, clean: float = 0.9) -> Any:
    """Attacks a0..a3 against d0..d3 on a white and a black tier, with random kills."""
    rng = np.random.default_rng(seed)
    world = world_class()
    for tier in ("white", "black"):
        world.tier(tier, floor=0.2)
    world.attack(*(f"a{i}" for i in range(ATTACKS)))
    world.defense(*(f"d{i}" for i in range(DEFENSES)))
    wrong = [np.flatnonzero(rng.random(EXAMPLES) > clean).tolist() for _ in range(DEFENSES)]
    for tier in ("white", "black"):
        for a in range(ATTACKS):
            for d in range(DEFENSES):
                broken = np.flatnonzero(rng.random(EXAMPLES) < rng.random()).tolist()
                world.plays(f"a{a}", f"d{d}", broken, wrong=wrong[d], tier=tier)
    return world


def figures(board: Board, *, without: tuple[str, ...] = ()) -> list[Any]:
    """All that a row shows but how many it met."""
    counts = {"pool_met", "pool_applicable", *without}
    return [
        (
            row.entry,
            row.rank,
            row.rank_high,
            row.contender.estimate,
            row.contender.interval,
            {k: v for k, v in row.contender.metrics.items() if k not in counts},
        )
        for row in board.rows
    ]


@given(seeds)
@checked
def test_a_hundred_clones_of_an_attack_leave_the_defense_board_as_it_was(
    empty_world: type[Any], seed: int
) -> None:
    world = played(empty_world, seed)
    before = figures(world.defenses(), without=("robust_mean",))
    clone_a_hundred_times(world)
    assert figures(world.defenses(), without=("robust_mean",)) == before


@given(seeds)
@checked
def test_a_hundred_clones_leave_every_other_attack_its_success_and_the_first_its_unique_kills(
    empty_world: type[Any], seed: int
) -> None:
    world = played(empty_world, seed)
    before = {row.entry: row.contender for row in world.attacks().rows}
    clone_a_hundred_times(world)
    after = {row.entry: row.contender for row in world.attacks().rows}
    for name, row in before.items():
        assert after[name].estimate == row.estimate
        assert after[name].metrics["unique_kills"] == row.metrics["unique_kills"]
    assert all(after[f"clone{i}"].metrics["unique_kills"] == 0 for i in range(100))


def clone_a_hundred_times(world: Any) -> None:
    originals = [cell for cell in world.cells if cell.attack == "a0"]
    world.attack(*(f"clone{i}" for i in range(100)))
    world.cells += [replace(cell, attack=f"clone{i}") for cell in originals for i in range(100)]


@given(seeds)
@checked
def test_the_order_of_arrival_shows_nowhere(empty_world: type[Any], seed: int) -> None:
    world = played(empty_world, seed)
    before = [(world.defenses(t), world.attacks(t)) for t in world.tiers]
    random.Random(seed).shuffle(world.cells)
    world.players = dict(reversed(world.players.items()))
    assert [(world.defenses(t), world.attacks(t)) for t in world.tiers] == before


@given(seeds)
@checked
def test_a_verdict_that_arrives_twice_counts_once(empty_world: type[Any], seed: int) -> None:
    world = played(empty_world, seed)
    before = (world.defenses(), world.attacks())
    world.cells += world.cells
    assert (world.defenses(), world.attacks()) == before


@given(seeds)
@checked
def test_void_verdicts_change_no_figure_that_stands(empty_world: type[Any], seed: int) -> None:
    world = played(empty_world, seed)
    before = figures(world.defenses()), figures(world.attacks())
    world.cells += [replace(cell, status=Status.VOID, recorded=9) for cell in world.cells]
    assert (figures(world.defenses()), figures(world.attacks())) == before


@given(seeds)
@checked
def test_a_column_that_is_missing_equals_an_attack_that_never_entered(
    empty_world: type[Any], seed: int
) -> None:
    world = played(empty_world, seed)
    world.cells = [
        replace(cell, status=None, kills=None) if cell.attack == "a3" else cell
        for cell in world.cells
    ]
    with_gap = {r.entry: r.contender.metrics["robust_worst"] for r in world.defenses().rows}
    assert all(row.contender.provisional for row in world.defenses().rows)
    world.cells = [cell for cell in world.cells if cell.attack != "a3"]
    without = {r.entry: r.contender.metrics["robust_worst"] for r in world.defenses().rows}
    assert with_gap == without


@given(seeds)
@checked
def test_a_new_attack_never_raises_worst_case_robust_accuracy(
    empty_world: type[Any], seed: int
) -> None:
    world = played(empty_world, seed)
    after = {r.entry: r.contender.estimate for r in world.defenses().rows}
    world.cells = [cell for cell in world.cells if cell.attack != "a0"]
    before = {r.entry: r.contender.estimate for r in world.defenses().rows}
    assert all(after[name] <= before[name] for name in before)


@given(seeds)
@checked
def test_the_worst_case_is_at_most_each_attack_alone_and_clean_accuracy_at_least_it(
    empty_world: type[Any], seed: int
) -> None:
    world = played(empty_world, seed)
    for row in world.defenses().rows:
        metrics = row.contender.metrics
        assert metrics["robust_worst"] <= metrics["robust_mean"] <= row.contender.clean


@given(seeds)
@checked
def test_a_stronger_tier_is_never_more_robust_than_one_nested_in_it(
    empty_world: type[Any], seed: int
) -> None:
    world = played(empty_world, seed, clean=1.1)
    white, black = world.defenses("white"), world.defenses("black")
    for row in black.rows:
        assert white.row(row.entry).contender.estimate <= row.contender.estimate


@given(seeds)
@checked
def test_a_teams_own_attack_against_its_own_defense_earns_it_nothing(
    empty_world: type[Any], seed: int
) -> None:
    world = played(empty_world, seed)
    world.change("a0", team="d0")
    world.cells = [c for c in world.cells if (c.attack, c.defense) != ("a0", "d0")]
    before = world.attacks().row("a0").contender
    world.plays("a0", "d0", range(EXAMPLES // 2))
    after = world.attacks().row("a0").contender
    assert after.estimate == before.estimate
    assert after.metrics["unique_kills"] == before.metrics["unique_kills"]


@pytest.mark.parametrize("side", list(Side))
def test_a_board_of_nobody_is_empty(empty_world: type[Any], side: Side) -> None:
    world = empty_world()
    world.tier("white")
    board = world.defenses() if side is Side.DEFENSE else world.attacks()
    assert board.rows == ()
