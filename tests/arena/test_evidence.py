"""What accuses a defense of masked gradients, and what does not. Bits are written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, fisher_exact

from arena import house
from arena.evidence import (
    NOTES,
    Attacker,
    Code,
    Probed,
    Symptom,
    Trial,
    fisher,
    symptoms,
)
from arena.manifest import Framework, Manifest, Role
from arena.rounds import GameName, Goal, Norm, RoundSpec, SplitName
from arena.threat_model import ThreatModel
from arena.verdict import Kills

N = 60
DANA = Manifest(
    name="Dana's net", role=Role.DEFENSE, framework=Framework.TORCH, differentiable=True
)


def spec(preset: str = "white", **values: Any) -> RoundSpec:
    fields = {
        "game": GameName.TRANSFER if preset == "transfer" else GameName.EVASION,
        "task": "mnist5k",
        "threat_model": ThreatModel.preset(preset),
        "epsilons": (0.2, 0.3),
    }
    return RoundSpec(**(fields | values))


def of_house(name: str) -> Attacker:
    return Attacker(name, house.registry.manifest(name), house=True)


def of_guest(name: str, *, family: str = "", **needs: Any) -> Attacker:
    declared = {"schema_version": 1, "name": name, "role": "attack", "entry": "player.py:Player"}
    return Attacker(name, Manifest.from_mapping({**declared, "family": family, "needs": needs}))


def plays(
    attacker: Attacker | str,
    *broken: Iterable[int],
    preset: str = "white",
    round_: str = "",
    examples: Sequence[int] = range(N),
    metrics: dict[str, float | None] | None = None,
    **values: Any,
) -> Trial:
    """``broken``: the fallen examples at each epsilon; given once, at all of them."""
    who = of_house(attacker) if isinstance(attacker, str) else attacker
    rules = spec(preset, **values)
    index = np.array(examples, np.int64)
    rows = list(broken) if len(broken) > 1 else list(broken) * max(1, len(rules.epsilons))
    bits = np.array([np.isin(index, list(row)) for row in rows])
    kills = Kills(index, np.ones(len(index), bool), bits, rules.epsilons)
    return Trial(round_ or preset, rules, who, kills, metrics or {})


def codes(*trials: Trial, defense: Manifest = DANA) -> list[str]:
    return [symptom.code for symptom in symptoms(defense, trials, classes=10)]


def the_symptom(*trials: Trial) -> Symptom:
    (found,) = symptoms(DANA, trials, classes=10)
    return found


# ── honest defenses ────────────────────────────────────────────────────────────────────────


def test_a_plain_net_that_falls_to_everything_shows_nothing() -> None:
    everything = range(N)
    assert not codes(
        plays("fgsm", range(50), everything),
        plays("pgd", range(58), everything),
        plays("random-noise", range(8)),
        plays("square", range(55), preset="black"),
        plays("ensemble-transfer", range(40), preset="transfer"),
    )


def test_adversarial_training_shows_nothing_below_and_above_its_own_epsilon() -> None:
    levels = (0.05, 0.1, 0.3, 0.4)
    assert not codes(
        plays("pgd", [1], [1, 2], range(1, 10), range(52), epsilons=levels),
        plays("fgsm", [1], [1], range(1, 6), range(14), epsilons=levels),
        plays("random-noise", [], [], [1], [1, 2], epsilons=levels),
        plays("square", range(3, 8), range(50), preset="black", epsilons=(0.3, 0.4)),
    )


def test_adversarial_training_falls_at_a_huge_epsilon_and_shows_nothing() -> None:
    assert not codes(plays("pgd", range(8), range(54), epsilons=(0.3, 0.5)))


def test_a_handful_more_found_by_the_black_box_proves_nothing() -> None:
    assert not codes(plays("pgd", [0]), plays("square", range(9), preset="black"))


def test_no_match_is_no_evidence() -> None:
    assert not codes()


# ── black box and transfer ─────────────────────────────────────────────────────────────────


def test_a_black_box_that_beats_gradients_accuses() -> None:
    found = the_symptom(plays("pgd", range(5)), plays("square", [3], range(3, 40), preset="black"))
    assert found.code is Code.BLACK_BOX
    assert found.figures["epsilon"] == 0.3
    assert (found.figures["wins"], found.figures["losses"]) == (35, 3)
    assert found.sentence == (
        "Square sees no gradients and beats all attacks that do (L∞ ε = 0.3): 35 examples fell to "
        "it alone and 3 to the other side alone, of 60 (p < 0.0001)."
    )


def test_a_guest_accuses_where_the_round_withheld_gradients() -> None:
    alice = of_guest("Alice's search", gradients=False)
    assert codes(plays("pgd", [0]), plays(alice, range(40), preset="transfer")) == [Code.BLACK_BOX]


def test_mallory_cannot_accuse_from_a_round_that_gives_gradients() -> None:
    mallory = of_guest("No gradients, honestly", gradients=False)
    assert not codes(plays("pgd", [0]), plays(mallory, range(40)))


def test_a_guests_poor_gradients_are_no_reference() -> None:
    mallory = of_guest("Does nothing", family="iterative gradient", gradients=True)
    assert not codes(plays(mallory, []), plays("square", range(40), preset="black"))


def test_a_guests_good_gradients_clear_a_defense_that_the_house_cannot_break() -> None:
    alice = of_guest("Alice's descent", gradients=True)
    square = plays("square", range(40), preset="black")
    assert codes(plays("pgd", [0]), square)
    assert not codes(plays("pgd", [0]), plays(alice, range(45)), square)


def test_every_reference_round_has_to_be_beaten() -> None:
    square = plays("square", range(40), preset="black")
    weak, strong = plays("pgd", [0]), plays("pgd", range(45), round_="white again")
    assert codes(weak, square) == [Code.BLACK_BOX]
    assert not codes(weak, strong, square)


@pytest.mark.parametrize(
    "values",
    [
        {"norm": Norm.L2},
        {"epsilons": (0.1, 0.25)},
        {"goal": Goal.TARGETED},
        {"task": "fashion5k"},
        {"split": SplitName.FINAL},
    ],
)
def test_only_the_same_contest_is_compared(values: dict[str, Any]) -> None:
    assert not codes(plays("pgd", [0]), plays("square", range(40), preset="black", **values))


def test_few_pixels_accuse_nobody() -> None:
    few: dict[str, Any] = {"norm": Norm.L0, "epsilons": (10.0, 20.0)}
    assert not codes(plays("jsma", [], **few), plays("random-noise", range(40), **few))


def test_minimum_norm_rounds_are_a_reference_at_every_epsilon() -> None:
    l2: dict[str, Any] = {"norm": Norm.L2, "epsilons": (1.5,)}
    square = plays("square", range(40), preset="black", **l2)

    def cw(size: float) -> Trial:
        index, every = np.arange(N), np.ones(N, bool)
        kills = Kills(index, every, every[None, :], (), np.full(N, size, np.float32))
        rules = spec(game=GameName.MINIMUM_NORM, norm=Norm.L2, epsilons=())
        return Trial("smallest", rules, of_house("cw-l2"), kills)

    assert codes(cw(4.0), square) == [Code.BLACK_BOX]
    assert not codes(cw(1.2), square)


# ── rounds that draw examples of their own ─────────────────────────────────────────────────


def test_rounds_with_other_examples_are_compared_by_their_shares() -> None:
    others = range(1000, 1000 + N)
    found = the_symptom(
        plays("pgd", range(5)),
        plays("square", range(1000, 1040), preset="black", examples=others),
    )
    assert not found.figures["paired"]
    assert "it broke 40 of 60 examples, the other side 5 of 60 of its own" in found.sentence


def test_final_images_of_two_rounds_are_never_paired() -> None:
    final: dict[str, Any] = {"split": SplitName.FINAL}
    found = the_symptom(
        plays("pgd", range(5), **final), plays("square", range(40), preset="black", **final)
    )
    assert not found.figures["paired"]


@pytest.mark.parametrize("cell", [(40, 60, 5, 60), (3, 10, 3, 10), (7, 7, 0, 30), (1, 50, 9, 50)])
def test_fishers_test_agrees_with_scipys(cell: tuple[int, int, int, int]) -> None:
    a, n, b, m = cell
    one_sided = fisher_exact([[a, n - a], [b, m - b]], alternative="greater").pvalue
    assert fisher(a, n, b, m) == pytest.approx(min(1.0, 2 * one_sided))


def test_honest_chance_accuses_at_most_at_the_level_of_the_test() -> None:
    rng = np.random.default_rng(5)

    def draw() -> Iterable[int]:
        return np.flatnonzero(rng.random(N) < 0.5)

    accused = sum(
        bool(codes(plays("pgd", draw()), plays("square", draw(), preset="black")))
        for _ in range(300)
    )
    assert accused <= 9


# ── the other symptoms ─────────────────────────────────────────────────────────────────────


def test_one_step_that_beats_the_iterated_attack_accuses() -> None:
    assert codes(plays("pgd", range(10)), plays("fgsm", range(8, 40))) == [Code.ONE_STEP]


def test_mallory_cannot_call_her_own_attack_one_step() -> None:
    mallory = of_guest("Just one step", family="one-step gradient", gradients=True)
    assert not codes(plays("pgd", range(10)), plays(mallory, range(40)))


def test_noise_that_finds_what_gradients_miss_accuses() -> None:
    assert codes(plays("pgd", range(3)), plays("random-noise", range(20))) == [Code.NOISE]


def test_noise_in_a_transfer_round_is_called_noise() -> None:
    assert codes(plays("pgd", []), plays("random-noise", range(20), preset="transfer")) == [
        Code.NOISE
    ]


def test_a_curve_that_rises_accuses_and_a_flat_one_does_not() -> None:
    assert codes(plays("pgd", range(30), range(5))) == [Code.RISING]
    assert not codes(plays("pgd", range(5), range(5)))
    assert not codes(plays("pgd", range(9), []))


def test_a_huge_epsilon_short_of_chance_accuses() -> None:
    found = the_symptom(plays("pgd", range(10), range(20), epsilons=(0.3, 0.5)))
    assert found.code is Code.HUGE
    assert (found.figures["standing"], found.figures["examples"]) == (40, 60)


@pytest.mark.parametrize(
    "values", [{"epsilons": (0.3, 0.45)}, {"norm": Norm.L2, "epsilons": (0.5, 3.0)}]
)
def test_an_epsilon_that_leaves_room_to_be_robust_accuses_nobody(values: dict[str, Any]) -> None:
    assert not codes(plays("pgd", range(10), range(20), **values))


def test_a_defense_that_abstains_on_grey_is_not_accused() -> None:
    fields = {"name": "Dana", "role": Role.DEFENSE, "differentiable": True, "abstains": True}
    abstaining = Manifest(framework=Framework.TORCH, **fields)  # type: ignore[arg-type]
    assert not codes(plays("pgd", [], epsilons=(0.5,)), defense=abstaining)


def test_gradients_of_zero_accuse_as_the_house_met_them() -> None:
    assert codes(plays("pgd", [], metrics={"zero_gradients": 0.97})) == [Code.ZERO]
    assert not codes(plays("pgd", [], metrics={"zero_gradients": 0.1}))
    mallory = of_guest("Asks for nothing", gradients=True)
    assert not codes(plays(mallory, [], metrics={"zero_gradients": 1.0}))


@pytest.mark.parametrize(("up", "slopes"), [(0, 10), (0, 64), (32, 64), (37, 64)])
def test_gradients_that_lead_elsewhere_are_told(up: int, slopes: int) -> None:
    metrics = {"slopes": float(slopes), "slopes_uphill": float(up)}
    (found,) = symptoms(DANA, [plays("pgd", range(N), metrics=metrics)], classes=10)
    assert found.code is Code.DOWNHILL
    assert found.figures["p"] == pytest.approx(binom.cdf(up, slopes, 0.75))
    assert f"Of {slopes} gradients" in found.sentence
    assert f"{up} led uphill" in found.sentence


@pytest.mark.parametrize(("up", "slopes"), [(64, 64), (40, 64), (48, 64), (0, 9), (0, 0)])
def test_gradients_that_mostly_lead_uphill_or_are_few_accuse_nobody(up: int, slopes: int) -> None:
    metrics = {"slopes": float(slopes), "slopes_uphill": float(up)}
    assert not codes(plays("pgd", range(N), metrics=metrics))


def test_nobody_is_accused_by_gradients_that_a_guest_was_served() -> None:
    mallory = of_guest("mallory", gradients=True)
    metrics: dict[str, float | None] = {"slopes": 64.0, "slopes_uphill": 0.0}
    assert not codes(plays(mallory, range(N), metrics=metrics))


def test_many_matches_need_more_evidence_of_gradients() -> None:
    metrics: dict[str, float | None] = {"slopes": 64.0, "slopes_uphill": 37.0}
    trials = [plays("pgd", range(N), round_=f"r{i}", metrics=metrics) for i in range(20)]
    assert not codes(*trials)


def test_qualification_tells_of_zero_gradients_before_the_house_has_played() -> None:
    def told(share: float) -> list[str]:
        figures = {"clean_accuracy": 0.97, "examples": 500, "zero_gradients": share}
        probed = Probed.of("mnist5k", figures)
        return [s.code for s in symptoms(DANA, [], classes=10, probed=probed)]

    assert told(1.0) == [Code.ZERO]
    assert not told(0.2)
    assert Probed.of("mnist5k", {"sentence": "It is a learner."}) is None


def halves(attack: str | Attacker, standing: int, late: int, **values: Any) -> Trial:
    found = {"standing_halfway": float(standing), "late_successes": float(late)}
    return plays(attack, range(N - standing + late), metrics=found, **values)


def test_an_attack_that_goes_on_breaking_in_its_second_half_accuses() -> None:
    found = the_symptom(halves("pgd", 50, 20))
    assert found.code is Code.DOUBLED
    assert (found.figures["late"], found.figures["standing"]) == (20, 50)
    assert found.figures["p"] == pytest.approx(binom.sf(19, 50, 0.05))
    assert found.sentence.startswith(
        "PGD broke 20 of the 50 examples that stood after half of its iterations in the other half"
    )


def test_an_attack_that_has_converged_accuses_nobody() -> None:
    assert not codes(halves("pgd", 50, 2))
    assert not codes(halves("pgd", 9, 9))  # too few to prove anything
    assert not codes(plays("pgd", range(N), metrics={"standing_halfway": None}))


def test_only_the_house_s_iterated_attacks_show_that_iterations_lack() -> None:
    mallory = of_guest("Waits", family="iterative gradient", gradients=True)
    assert not codes(halves(mallory, 50, 40))
    assert not codes(halves("fgsm", 50, 40), plays("pgd", range(55)))


def judged(right: int, examples: int = 200, split: SplitName = SplitName.FINAL) -> Trial:
    trial = plays("pgd", range(examples), examples=range(examples), split=split)
    trial.kills.clean_right[right:] = False
    trial.kills.broken[:, right:] = False
    return trial


def on_both(right: int, *, practice: float = 0.99, task: str = "mnist5k", **values: Any) -> Any:
    probed = Probed.of(task, {"clean_accuracy": practice, "examples": 500})
    return [s.code for s in symptoms(DANA, [judged(right, **values)], classes=10, probed=probed)]


def test_a_defense_that_knows_the_published_images_by_heart_is_accused() -> None:
    assert on_both(170) == [Code.SPLITS]
    probed = Probed.of("mnist5k", {"clean_accuracy": 0.99, "examples": 500})
    (found,) = symptoms(DANA, [judged(170)], classes=10, probed=probed)
    assert (found.figures["practice_right"], found.figures["final_right"]) == (495, 170)
    assert "99.0 % of 500 published images" in found.sentence
    assert "85.0 % of 200 that the referee keeps" in found.sentence


def test_a_defense_that_loses_what_honest_models_lose_is_not() -> None:
    assert not on_both(194)  # 97 %: two points
    assert not on_both(186)  # 93 %, less than ten examples beyond what is granted
    assert not on_both(170, split=SplitName.PRACTICE)
    assert not on_both(170, task="digits")  # it was qualified on another task


def test_chance_accuses_hardly_ever_of_knowing_images() -> None:
    """An honest 95 % net that loses the two points, 400 times over."""
    stream = np.random.default_rng(3)
    accused = [
        on_both(int(stream.binomial(200, 0.93)), practice=stream.binomial(500, 0.95) / 500)
        for _ in range(400)
    ]
    assert sum(map(bool, accused)) <= 4


# ── defenses without gradients, and form ───────────────────────────────────────────────────


def test_a_defense_without_gradients_carries_a_note_and_no_accusation() -> None:
    tree = Manifest(name="Tree", role=Role.DEFENSE, framework=Framework.SKLEARN)
    (note,) = symptoms(tree, [plays("square", range(50), preset="black")], classes=10)
    assert note.code in NOTES
    assert note.sentence == (
        "Gives no gradients: met by score-based, decision-based and transfer attacks only."
    )


def test_the_order_of_matches_changes_nothing() -> None:
    trials = [
        plays("pgd", range(3)),
        plays("fgsm", range(16)),
        plays("random-noise", range(14, 58)),
        plays("square", range(40), preset="black"),
    ]
    there = [symptom.to_json() for symptom in symptoms(DANA, trials, classes=10)]
    back = [symptom.to_json() for symptom in symptoms(DANA, trials[::-1], classes=10)]
    assert there == back
    assert [entry["code"] for entry in there] == [Code.ONE_STEP, Code.BLACK_BOX, Code.NOISE]


def test_every_gradient_attack_of_the_house_says_what_it_goes_by() -> None:
    for name in house.names(Role.ATTACK):
        manifest = house.registry.manifest(name)
        if manifest.needs.gradients:
            assert manifest.family in ("one-step gradient", "iterative gradient"), name
