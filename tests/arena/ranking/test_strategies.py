"""What a team may try to stand higher on a board than its players deserve; each gains nothing."""

from __future__ import annotations

from typing import Any

import pytest

from arena.errors import Side
from arena.verdict import Status

FORFEITED: dict[str, Any] = {"status": Status.FORFEIT, "blame": Side.DEFENSE}


def ranks(board: Any) -> dict[str, int | None]:
    return {row.entry: row.rank for row in board.rows}


def row(board: Any, entry: str) -> Any:
    return board.row(entry).contender


# ── faults on purpose ──────────────────────────────────────────────────────────────────────


def test_a_defense_that_fails_where_it_costs_nothing_takes_nothing_from_the_attack(
    world: Any,
) -> None:
    """It raises at a row that is asked again: its answers all count, and so does what broke it."""
    world.attack("bob")
    world.defense("eve")
    for name in ("dana", "eve"):
        world.plays("bob", name, range(4))
    world.plays("alice", "eve", range(4))
    world.plays("alice", "dana", range(30), **FORFEITED)
    assert world.success("alice") == pytest.approx((30 + 4) / 80)
    assert row(world.attacks(), "alice").metrics["unique_kills"] == 26
    assert ranks(world.attacks()) == {"alice": 1, "bob": 2}
    assert world.robust("dana") == 10 / 40


def test_a_defense_that_gives_no_answer_to_a_strong_attack_alone_pays_for_it(world: Any) -> None:
    world.attack("bob", "carol")
    world.defense("eve")
    for attack in ("bob", "carol"):
        world.plays(attack, "dana", range(4))
    world.cell("alice", "dana", **FORFEITED)
    for attack in ("alice", "bob", "carol"):
        world.plays(attack, "eve", range(20))
    assert world.robust("dana") == 0
    assert ranks(world.defenses()) == {"eve": 1, "dana": 2}


def test_an_attack_that_fails_against_a_strong_defense_alone_is_not_spared_it(world: Any) -> None:
    world.attack("bob")
    world.defense("eve")
    for attack in ("alice", "bob"):
        world.plays(attack, "eve", range(30))
    world.plays("bob", "dana", range(4))
    world.cell("alice", "dana", status=Status.FORFEIT, blame=Side.ATTACK)
    assert world.success("alice") == 15 / 40
    assert world.success("bob") == 17 / 40


# ── answers that are worth nothing ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("right", [0, 19])
def test_a_defense_that_is_right_on_next_to_nothing_has_no_rank(world: Any, right: int) -> None:
    """Nothing breaks it: it abstains on everything, or is wrong on most of it."""
    world.defense("sham")
    world.plays("alice", "dana", range(39))
    world.plays("alice", "sham", [], wrong=range(right, 40))
    assert ranks(world.defenses()) == {"dana": 1, "sham": None}
    assert row(world.attacks(), "alice").metrics["teams"] == 1


def test_where_there_is_no_floor_a_mistake_is_as_bad_as_a_kill(world: Any) -> None:
    world.tier("white", floor=0.0)
    world.defense("sham")
    world.plays("alice", "dana", range(20))
    world.plays("alice", "sham", [], wrong=range(40))
    assert ranks(world.defenses()) == {"dana": 1, "sham": 2}


# ── whom one meets ─────────────────────────────────────────────────────────────────────────


def test_an_attack_that_is_spared_hard_defenses_does_not_stand_beside_a_better_one(
    world: Any,
) -> None:
    """Mallory declares that she needs gradients, which the hard defenses have not."""
    world.attack("mallory")
    world.defense("easy", "hard", "harder")
    for name in ("dana", "easy"):
        world.plays("alice", name, range(36))
        world.plays("mallory", name, range(24))
    for name in ("hard", "harder"):
        world.plays("alice", name, [0, 1])
    board = world.attacks()
    assert row(board, "mallory").estimate > row(board, "alice").estimate
    assert [(found.entry, found.rank) for found in board.rows] == [("alice", 1), ("mallory", 2)]


# ── teams that lend themselves ─────────────────────────────────────────────────────────────


def test_a_friend_s_defense_is_one_team_of_many(world: Any) -> None:
    """It falls to Mallory's mark alone: one part in four, and no rank above a better attack."""
    world.attack("mallory")
    world.defense("friend", "eve", "frank")
    for name in ("dana", "eve", "frank"):
        world.plays("alice", name, range(24))
        world.plays("mallory", name, range(10))
    world.plays("alice", "friend", [])
    world.plays("mallory", "friend", range(40))
    assert world.success("mallory") == pytest.approx((3 * 10 + 40) / 160)
    assert row(world.attacks(), "mallory").metrics["success_on_house"] is None
    assert world.robust("friend") == 0
    assert world.success("alice") == pytest.approx(3 * 24 / 160)


def test_a_friend_s_attack_that_spares_a_defense_lifts_it_over_nobody(world: Any) -> None:
    world.defense("eve")
    for name in ("dana", "eve"):
        world.plays("alice", name, range(20))
    before = {name: world.robust(name) for name in ("dana", "eve")}
    world.attack("friend")
    world.plays("friend", "dana", [])
    world.plays("friend", "eve", range(20))
    assert {name: world.robust(name) for name in ("dana", "eve")} == before
    assert set(ranks(world.defenses()).values()) == {1}


def test_versions_of_one_team_are_one_target_and_one_row(world: Any) -> None:
    world.defense("eve")
    world.plays("alice", "eve", [])
    world.plays("alice", "dana", range(20))
    world.defense("dana-2", team="dana", replaces="dana")
    world.change("dana", in_pool=False)
    world.plays("alice", "dana-2", range(20))
    assert world.success("alice") == 20 / 80
    assert set(ranks(world.defenses())) == {"eve", "dana-2"}


def test_an_attack_that_copies_another_takes_nothing_from_it(world: Any) -> None:
    world.attack("copy")
    world.defense("eve")
    for attack in ("alice", "copy"):
        world.plays(attack, "dana", range(20))
        world.plays(attack, "eve", range(10))
    assert world.success("alice") == world.success("copy")
    assert [found.entry for found in world.attacks().rows] == ["alice", "copy"]
    kills = {name: row(world.attacks(), name).metrics["unique_kills"] for name in ("alice", "copy")}
    assert kills == {"alice": 30, "copy": 0}


def test_a_crowd_of_friends_blurs_ranks_and_changes_no_figure_and_no_order(world: Any) -> None:
    """Holm over all pairs: docs/ranking.md says what an organizer can do."""
    world.attack("mallory")
    world.plays("alice", "dana", range(20))
    world.plays("mallory", "dana", range(10))
    assert ranks(world.attacks()) == {"alice": 1, "mallory": 2}
    crowd = [f"friend-{i}" for i in range(12)]
    world.attack(*crowd)
    for friend in crowd:
        world.plays(friend, "dana", range(10))
    board = world.attacks()
    assert set(ranks(board).values()) == {1}
    assert [found.entry for found in board.rows][:2] == ["alice", "mallory"]
    assert world.success("alice") == 20 / 40
    world.cells = [cell for cell in world.cells if cell.attack not in crowd]
    assert ranks(world.attacks()) == {"alice": 1, "mallory": 2}


# ── what is not played ─────────────────────────────────────────────────────────────────────


def test_a_match_that_stays_void_is_no_match_held(world: Any) -> None:
    world.attack("bob")
    world.plays("alice", "dana", range(4))
    world.cell("bob", "dana", status=Status.VOID)
    assert ranks(world.defenses()) == {"dana": None}
