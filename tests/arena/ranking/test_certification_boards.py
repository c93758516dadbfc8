"""Certification rounds rank by what is certified, and every known kill is held against it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arena.errors import Side
from arena.ranking import certification, nests
from arena.ranking.cells import cell_figures
from arena.ranking.certification import MARGIN, held_to_every_kill, refutations
from arena.ranking.nesting import distance_bound
from arena.rounds import GameName, Norm
from arena.verdict import Status

N = 20


@pytest.fixture
def certified(world: Any) -> Any:
    """A certification round at 0.1 and 0.2 in L2, and an evasion round beside it."""
    world.tier(
        "proof",
        preset="black",
        game=GameName.CERTIFICATION,
        epsilons=(0.1, 0.2),
        norm=Norm.L2,
        floor=0.0,
    )
    world.tier("white", norm=Norm.L2, epsilons=(0.1,), floor=0.0)
    world.defense("linear")
    return world


def proves(
    world: Any, make_kills: Any, attack: str, defense: str, radii: list[float], **more: Any
) -> None:
    kills = make_kills([[], []], examples=range(len(radii)), epsilons=(0.1, 0.2))
    share = float(np.mean(np.array(radii) >= 0.2))
    world.cell(
        attack,
        defense,
        tier="proof",
        status=Status.SCORED,
        kills=replace(kills, radii=np.array(radii, np.float32)),
        metrics={
            "certified_accuracy": share,
            "clean_accuracy": 1.0,
            "attack_success_rate": 0.0,
            "claim_alpha": 0.0,
            **more,
        },
        curve=({"epsilon": 0.2, "certified_accuracy": share},),
    )


def test_the_larger_certified_share_ranks_first_by_a_test_over_examples(
    certified: Any, make_kills: Any
) -> None:
    proves(certified, make_kills, "alice", "dana", [0.3] * 18 + [0.0] * 2)
    proves(certified, make_kills, "alice", "linear", [0.3] * 2 + [0.1] * 18)
    board = certified.defenses("proof")
    assert [(row.entry, row.rank) for row in board.rows] == [("dana", 1), ("linear", 2)]
    assert board.row("dana").contender.estimate == pytest.approx(0.9)
    assert board.row("dana").contender.interval is not None


def test_a_defense_stands_with_its_worst_match(certified: Any, make_kills: Any) -> None:
    certified.attack("bob")
    proves(certified, make_kills, "alice", "dana", [0.3] * N)
    proves(certified, make_kills, "bob", "dana", [0.0] * N, certificate_broken=1.0)
    row = certified.defenses("proof").row("dana").contender
    assert (row.estimate, row.metrics["strongest_attack"]) == (0.0, "bob")


def test_a_kill_of_another_round_within_a_certain_radius_breaks_the_certificate(
    certified: Any, make_kills: Any
) -> None:
    """White-box knowledge counts against a black-box board here: a proof knows no secrets."""
    proves(certified, make_kills, "alice", "dana", [0.3] * N)
    proves(certified, make_kills, "alice", "linear", [0.3] * N)
    certified.plays("alice", "dana", [4], examples=range(N))
    board = certified.defenses("proof")
    assert board.row("dana").contender.estimate == 0.0
    assert board.row("linear").contender.estimate == 1.0


def test_a_kill_outside_the_radius_or_of_a_claim_with_a_chance_breaks_nothing(
    certified: Any, make_kills: Any
) -> None:
    proves(certified, make_kills, "alice", "dana", [0.3] * 4 + [0.1] + [0.3] * 15)
    proves(certified, make_kills, "alice", "linear", [0.3] * N, claim_alpha=0.001)
    for defense in ("dana", "linear"):
        certified.plays("alice", defense, [4], examples=range(N))
    board = certified.defenses("proof")
    assert board.row("dana").contender.estimate == pytest.approx(19 / 20)
    assert board.row("linear").contender.estimate == 1.0


def test_a_kill_in_another_norm_says_nothing(certified: Any, make_kills: Any) -> None:
    certified.tier("other", preset="white", norm=Norm.LINF, epsilons=(0.1,), floor=0.0)
    proves(certified, make_kills, "alice", "dana", [0.3] * N)
    certified.plays("alice", "dana", [4], tier="other", examples=range(N))
    assert certified.defenses("proof").row("dana").contender.estimate == 1.0
    specs = {name: tier.spec for name, tier in certified.tiers.items()}
    assert nests(specs["white"], specs["proof"])
    assert not nests(specs["other"], specs["proof"])


def test_a_defense_that_forfeits_has_certified_nothing(certified: Any, make_kills: Any) -> None:
    certified.attack("bob")
    proves(certified, make_kills, "alice", "dana", [0.3] * N)
    certified.cell("bob", "dana", tier="proof", status=Status.FORFEIT, blame=Side.DEFENSE)
    assert certified.defenses("proof").row("dana").contender.estimate == 0.0


def test_attacks_rank_by_what_they_broke(certified: Any, make_kills: Any) -> None:
    certified.attack("bob")
    for name, broken in (("alice", range(15)), ("bob", [0])):
        certified.plays(name, "dana", [[], broken], tier="proof", examples=range(N))
    rows = certified.attacks("proof").rows
    assert [(row.entry, row.rank) for row in rows] == [("alice", 1), ("bob", 2)]


def test_a_cell_shows_what_is_certified(certified: Any, make_kills: Any) -> None:
    proves(certified, make_kills, "alice", "dana", [0.3] * 5 + [0.0] * 15)
    shown = cell_figures(certified.cells[-1], certified.tiers["proof"])
    assert (shown["certified"], shown["robust"]) == (0.25, 1.0)


def test_a_broken_certificate_names_the_match_that_refutes_most(
    certified: Any, make_kills: Any
) -> None:
    certified.attack("bob")
    proves(certified, make_kills, "alice", "dana", [0.3] * N)
    proves(certified, make_kills, "alice", "linear", [0.3] * N)
    assert not refutations(certified.records, certified.tiers["proof"])
    broken = {"claims_refuted": 2.0, "certificate_broken": 1.0}
    proves(certified, make_kills, "bob", "linear", [0.0] * N, **broken)
    certified.plays("alice", "dana", [4, 5, 6], examples=range(N))
    found = refutations(certified.records, certified.tiers["proof"])
    assert (found["dana"].by.key, found["dana"].examples) == (("white", "alice", "dana"), 3)
    assert (found["linear"].by.key, found["linear"].examples) == (("proof", "bob", "linear"), 2)


def test_each_verdict_is_read_once_for_the_board_and_its_flags(
    certified: Any, make_kills: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two claims and three kills of one defense are five verdicts: no pair of them is looked at."""
    read = []
    monkeypatch.setattr(
        certification, "distance_bound", lambda kills: read.append(kills) or distance_bound(kills)
    )
    certified.attack("bob", "carol")
    for name in ("alice", "bob"):
        proves(certified, make_kills, name, "dana", [0.3] * N)
    for name in ("alice", "bob", "carol"):
        certified.plays(name, "dana", [4], examples=range(N))
    records, tier = certified.records, certified.tiers["proof"]
    assert refutations(records, tier)
    assert held_to_every_kill(records, tier) is not records
    assert len(read) == 5


def test_contradictions_are_those_that_a_look_at_every_pair_finds(
    certified: Any, make_kills: Any
) -> None:
    rng = np.random.default_rng(5)
    attacks = [f"a{i}" for i in range(6)]
    certified.attack(*attacks)
    for attack in attacks:
        proves(certified, make_kills, attack, "dana", rng.choice([0.05, 0.3], N).tolist())
        if rng.random() < 0.7:
            missed = rng.choice(N, rng.integers(2), replace=False).tolist()
            examples = rng.permutation(N)[3:].tolist()
            certified.plays(attack, "dana", [i for i in missed if i in examples], examples=examples)
    records, tier = certified.records, certified.tiers["proof"]
    cells = [cell for cell in records.cells.values() if cell.kills is not None]

    def within(claim: Any, other: Any) -> set[int]:
        if claim.kills.radii is None or claim.key == other.key:
            return set()
        claimed = dict(zip(claim.kills.examples.tolist(), claim.kills.radii, strict=True))
        killed = zip(other.kills.examples.tolist(), distance_bound(other.kills), strict=True)
        return {i for i, bound in killed if bound <= claimed[i] - MARGIN}

    held = held_to_every_kill(records, tier)
    broken = {key for key, cell in held.cells.items() if cell.metrics.get("certificate_broken")}
    assert broken == {claim.key for claim in cells if any(within(claim, o) for o in cells)}
    assert 0 < len(broken) < len(attacks)
    most = max((len(set().union(*(within(c, o) for c in cells))), o.key) for o in cells)
    found = refutations(records, tier)["dana"]
    assert (found.examples, found.by.key) == most
