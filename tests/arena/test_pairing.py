"""Who plays whom: only what is missing, and only those who can meet."""

from __future__ import annotations

from typing import Any

from arena.manifest import Manifest, Needs, Role
from arena.pairing import Entrant, OpenRound, missing_cells
from arena.rounds import GameName, RoundSpec
from arena.threat_model import ThreatModel

WHITE = OpenRound(
    "white",
    RoundSpec(GameName.EVASION, "digits", ThreatModel.white(), epsilons=(0.1,)),
)
BLACK = OpenRound(
    "black",
    RoundSpec(GameName.EVASION, "digits", ThreatModel.black(), epsilons=(0.1,)),
)
POISON = OpenRound(
    "poison", RoundSpec(GameName.POISONING, "digits", ThreatModel.black(), shares=(0.1,))
)


def entrant(id_: str, role: Role, **values: Any) -> Entrant:
    known = {key: values.pop(key) for key in ("team", "active", "kept") if key in values}
    manifest = Manifest(name=id_, role=role, **values)
    return Entrant(id_, known.pop("team", id_), manifest, **known)


ALICE = entrant("alice", Role.ATTACK)
DANA = entrant("dana", Role.DEFENSE)


def test_every_attack_meets_every_defense_in_every_round() -> None:
    eve = entrant("eve", Role.DEFENSE)
    assert missing_cells([ALICE, DANA, eve], [WHITE, BLACK], []) == [
        ("white", "alice", "dana"),
        ("white", "alice", "eve"),
        ("black", "alice", "dana"),
        ("black", "alice", "eve"),
    ]


def test_what_has_a_match_is_not_planned_again() -> None:
    first = missing_cells([ALICE, DANA], [WHITE, BLACK], [])
    assert missing_cells([ALICE, DANA], [WHITE, BLACK], first[:1]) == first[1:]
    assert missing_cells([ALICE, DANA], [WHITE, BLACK], first) == []


def test_a_new_entry_plays_only_its_row_or_column() -> None:
    eve, bob = entrant("eve", Role.DEFENSE), entrant("bob", Role.ATTACK)
    old = missing_cells([ALICE, DANA], [WHITE], [])
    column = missing_cells([ALICE, DANA, eve], [WHITE], old)
    assert column == [("white", "alice", "eve")]
    row = missing_cells([ALICE, bob, DANA, eve], [WHITE], [], only={"bob"})
    assert row == [("white", "bob", "dana"), ("white", "bob", "eve")]


def test_a_team_meets_its_own_defense_too() -> None:
    own = entrant("own", Role.ATTACK, team="dana")
    assert missing_cells([own, DANA], [WHITE], []) == [("white", "own", "dana")]


def test_a_superseded_entry_meets_nobody_unless_it_is_an_attack_kept_for_its_kills() -> None:
    old = entrant("old", Role.ATTACK, active=False)
    kept = entrant("kept", Role.ATTACK, active=False, kept=True)
    gone = entrant("gone", Role.DEFENSE, active=False, kept=True)
    assert missing_cells([old, kept, DANA, gone], [WHITE], []) == [("white", "kept", "dana")]


def test_players_whose_abilities_cannot_meet_get_no_match() -> None:
    """Kim's nearest neighbours give no gradients; Alice's attack needs them."""
    kim = entrant("kim", Role.DEFENSE)
    dana = entrant("dana", Role.DEFENSE, framework="torch", differentiable=True)
    pgd = entrant("pgd", Role.ATTACK, needs=Needs(gradients=True))
    assert missing_cells([pgd, kim, dana], [WHITE, BLACK], []) == [("white", "pgd", "dana")]


def test_poisoners_meet_learners_and_nobody_else() -> None:
    bob, lea = entrant("bob", Role.POISONER), entrant("lea", Role.LEARNER)
    assert missing_cells([ALICE, DANA, bob, lea], [WHITE, POISON], []) == [
        ("white", "alice", "dana"),
        ("poison", "bob", "lea"),
    ]


def test_an_entry_of_another_task_is_left_out() -> None:
    other = entrant("other", Role.DEFENSE, tasks=("mnist5k",))
    assert missing_cells([ALICE, DANA, other], [WHITE], []) == [("white", "alice", "dana")]


def test_who_can_meet_is_asked_of_the_caller() -> None:
    cells = missing_cells([ALICE, DANA], [WHITE], [], obstacle=lambda a, d, r: "Oscar says no.")
    assert cells == []
