"""Attacks that ask nothing: crafted once, the same for every defense that shows the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arena.crafting import crafted
from arena.games.blind import shared_facts
from arena.games.crafted import Crafted
from arena.packages import Package
from arena.referee import MatchSpec, lay_table
from arena.rounds import GameName, RoundSpec
from arena.threat_model import (
    Architecture,
    DefenseStructure,
    LearningAlgorithm,
    Parameters,
    Randomness,
    ThreatModel,
)
from arena.verdict import Status, Verdict
from tests.arena.fakes import (
    SECRET,
    Array,
    Fakes,
    Linear,
    NoBackend,
    defense_package,
    fgsm,
    leave_alone,
    package,
    play,
    spec,
    toy_task,
)
from tests.arena.games.test_transfer import against_the_true_rule

ROUND = spec(ThreatModel.transfer(), game=GameName.TRANSFER, epsilons=(0.05, 0.2))
DANA = defense_package(name="Dana's")
EVE = defense_package(name="Eve's")
STRANGER = defense_package(name="A stranger's", family="other")
RELATED = defense_package(name="related")
OTHERS = replace(RELATED, files={**RELATED.files, "weights.npz": b"other weights"})


class Weak(Linear):
    """Another line than the true rule: falls for more."""

    def __init__(self) -> None:
        super().__init__(np.eye(6, 3, dtype=np.float32) + 0.4 * np.eye(6, 3, -1, np.float32))


def fakes(attack: Any = against_the_true_rule) -> Fakes:
    return Fakes(attack, Weak, house={"related": Linear})


def craft_for(defense: Package, round_: RoundSpec = ROUND, **given: Any) -> Crafted:
    match = MatchSpec(
        round=round_,
        attack=given.get("attack", package("attack")),
        defense=defense,
        seed=given.get("seed", 7),
        secret=SECRET,
        related=given.get("related", (RELATED,)),
    )
    table = lay_table(
        match,
        backend=NoBackend(),
        task=toy_task(),
        progress=lambda step: None,
        maker=given.get("maker", fakes()),
    )
    return crafted(table)


def played(maker: Fakes, defense: Package = DANA, **given: Any) -> Verdict:
    return play(maker, ROUND, defense=defense, related=(RELATED,), **given)


def told(verdict: Verdict) -> Any:
    """All of a verdict but its clocks."""
    provenance = {k: v for k, v in verdict.provenance.items() if k not in ("seconds", "elapsed")}
    return {**verdict.to_json(), "provenance": provenance}


def test_the_verdict_does_not_hang_on_whether_the_crafting_was_kept(tmp_path: Path) -> None:
    craft_for(EVE).write(tmp_path / "crafted.npz")
    maker = fakes()
    with_it = played(maker, crafted=Crafted.read(tmp_path / "crafted.npz"))
    assert maker.handed == []  # the attack was not asked again
    without = played(fakes())
    assert told(with_it) == told(without)
    assert 0 < without.metrics["attack_success_rate"] < 1  # type: ignore[operator]
    assert with_it.outcome is not None
    assert without.outcome is not None
    for name, column in without.outcome.columns.items():
        np.testing.assert_array_equal(with_it.outcome.columns[name], column, err_msg=name)
    for name, images in without.outcome.images.items():
        np.testing.assert_array_equal(with_it.outcome.images[name], images, err_msg=name)


def test_what_the_related_model_says_is_kept_as_well() -> None:
    kept = craft_for(EVE)
    assert kept.source is not None
    maker = fakes()
    verdict = played(maker, crafted=kept)
    assert verdict.metrics["transfer_rate"] == played(fakes()).metrics["transfer_rate"]
    assert len(maker.opened) == 6  # three judges at two ε, and as many for the noise


@pytest.mark.parametrize("seed", [1, 2])
def test_defenses_that_show_the_same_meet_the_same_order_and_seeds(seed: int) -> None:
    one, other, stranger = fakes(), fakes(), fakes()
    played(one, DANA)
    played(other, EVE, seed=seed)
    play(stranger, ROUND, defense=STRANGER, related=(OTHERS,))
    for (brief, arrays, _), (same, as_well, _) in zip(one.handed, other.handed, strict=True):
        assert brief["seed"] == same["seed"]
        np.testing.assert_array_equal(arrays["x"], as_well["x"])
    assert one.handed[0][0]["seed"] != stranger.handed[0][0]["seed"]
    assert one.handed[0][0]["seed"] != one.handed[1][0]["seed"]


def test_a_crafting_for_something_else_is_left_alone() -> None:
    others = {
        "another attack": craft_for(DANA, attack=package("attack", name="Mallory's")),
        "other related models": craft_for(DANA, related=(OTHERS,)),
        "another round": craft_for(DANA, replace(ROUND, epsilons=(0.1, 0.2))),
        "fewer epsilons": craft_for(DANA, replace(ROUND, epsilons=(0.05,))),
        "too few examples": replace(craft_for(DANA), candidates=craft_for(DANA).candidates[:, :9]),
        "a failure": Crafted(""),
    }
    for what, kept in others.items():
        maker = fakes()
        assert told(played(maker, crafted=kept)) == told(played(fakes())), what
        assert len(maker.handed) == 2, what


def test_every_candidate_is_checked_as_if_it_had_just_been_handed_in() -> None:
    kept = craft_for(DANA)
    forged = kept.candidates.copy()
    forged[:, 0], forged[:, 1], forged[:, 2] = np.nan, 3.0, 1.0 - forged[:, 2]
    verdict = played(fakes(), crafted=replace(kept, candidates=forged))
    assert verdict.outcome is not None
    rejected = verdict.outcome.columns["rejected"].reshape(2, -1)[:, :3]
    assert rejected.tolist() == [["not_finite", "out_of_range", "over_budget"]] * 2


def test_where_something_can_be_asked_nothing_is_kept() -> None:
    round_ = spec(epsilons=(0.1,))
    maker = fakes(fgsm)
    verdict = play(maker, round_, crafted=craft_for(DANA, replace(ROUND, epsilons=(0.1,))))
    assert verdict.status is Status.SCORED
    assert len(maker.handed) == 1


def test_an_attack_that_fails_is_asked_again_in_every_match() -> None:
    def clumsy(_challenge: object) -> Array:
        raise ValueError("oh")

    assert craft_for(DANA, maker=fakes(clumsy)).name == ""
    verdict = played(fakes(leave_alone), crafted=craft_for(DANA, maker=fakes(clumsy)))
    assert verdict.status is Status.SCORED


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 half of one"])
def test_a_file_that_is_none_is_nothing_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "crafted.npz").write_bytes(content)
    assert Crafted.read(tmp_path / "crafted.npz") is None
    np.savez(tmp_path / "crafted.npz", name=np.array({"a": 1}, dtype=object))
    assert Crafted.read(tmp_path / "crafted.npz") is None  # it would have to be unpickled


def facts(defense: Package = DANA, **switches: Any) -> Any:
    model = replace(ThreatModel.transfer(), **switches)
    related = [f"related to {defense.manifest.family}"]
    return shared_facts(replace(ROUND, threat_model=model), defense.manifest, related=related)


def test_facts_are_what_the_round_shows_of_a_defense() -> None:
    assert facts(DANA) == facts(EVE) != facts(STRANGER)
    nothing = {"parameters": Parameters.HIDDEN}
    assert facts(DANA, **nothing) == facts(STRANGER, **nothing)
    told = {**nothing, "learning_algorithm": LearningAlgorithm.FAMILY}
    assert facts(DANA, **told) != facts(STRANGER, **told)
    described = {**nothing, "structure": DefenseStructure.DESCRIBED}
    other = defense_package(description="Something else.")
    assert facts(DANA, **described) != facts(other, **described)
    noisy = defense_package(stochastic=True)
    drawn = {**nothing, "randomness": Randomness.DISTRIBUTION}
    assert facts(DANA, **drawn) != facts(noisy, **drawn)
    assert facts(DANA, **nothing) == facts(noisy, **nothing)


def test_nothing_is_shared_where_a_defense_shows_what_is_its_own() -> None:
    assert facts(structure=DefenseStructure.SOURCE) is None
    assert facts(architecture=Architecture.GIVEN) is None
    assert facts(defense_package(stochastic=True), randomness=Randomness.SEED) is None
    for model in (ThreatModel.white(), ThreatModel.grey(), ThreatModel.black()):
        assert shared_facts(spec(model), DANA.manifest, related=()) is None
