"""Whole evasion matches with fake seats, held against what theory says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arena.errors import FaultCode, PlayerError, Side
from arena.games.base import choose_examples
from arena.players import EvasionChallenge
from arena.rounds import Goal, Norm, RoundSpec, TargetRule
from arena.threat_model import Feedback, OracleOutput, OutputKind, Probes, Randomness, ThreatModel
from arena.verdict import Status, Verdict
from tests.arena.fakes import (
    SECRET,
    Array,
    Fakes,
    Linear,
    defense_package,
    differentiable,
    fgsm,
    leave_alone,
    play,
    spec,
    toy_task,
)


def margins(round_: RoundSpec, *, task: Any = None) -> Array:
    """Distance in logits between the right class and the best other, of the judged examples."""
    task = task or toy_task()
    examples = choose_examples(
        task.practice, count=round_.examples, secret=SECRET, digest=task.digest
    )
    logits = examples.x[:, :3].astype(np.float64)
    right = logits[np.arange(len(logits)), examples.y]
    logits[np.arange(len(logits)), examples.y] = -np.inf
    return np.asarray(right - logits.max(axis=1))


def figures(verdict: Verdict) -> dict[str, Any]:
    """Everything of a verdict but its clocks."""
    data = verdict.to_json()
    data["provenance"] = {
        k: v for k, v in data["provenance"].items() if k not in ("seconds", "elapsed")
    }
    return data


# ── theory ─────────────────────────────────────────────────────────────────────────────────


def test_fgsm_against_a_linear_model_breaks_what_the_closed_form_says() -> None:
    """Under L∞ the smallest epsilon that flips classes i and j is their margin over 2."""
    round_ = spec(epsilons=(0.02, 0.05, 0.1))
    verdict = play(Fakes(fgsm), round_)
    margin = margins(round_)
    for epsilon, broken in zip(round_.epsilons, verdict.kills.broken, strict=True):  # type: ignore[union-attr]
        sure = np.abs(margin / 2 - epsilon) > 1e-4
        # One step raises every wrong class, so the flip happens exactly when 2 eps > margin.
        assert (broken == (margin / 2 < epsilon))[sure].all()
    assert verdict.status is Status.SCORED
    assert verdict.metrics["clean_accuracy"] == 1.0


def test_robust_accuracy_is_what_is_right_and_not_broken() -> None:
    verdict = play(Fakes(fgsm))
    kills = verdict.kills
    assert kills is not None
    assert verdict.metrics["robust_accuracy"] == np.mean(kills.clean_right & ~kills.broken[-1])
    assert verdict.metrics["attack_success_rate"] == np.mean(kills.broken[-1][kills.clean_right])


def test_the_same_match_gives_the_same_verdict() -> None:
    one, other = (play(Fakes(fgsm), seed=7) for _ in range(2))
    assert figures(one) == figures(other)
    assert figures(one) != figures(play(Fakes(fgsm), seed=8))


def test_the_examples_are_the_same_for_every_attack_and_their_order_is_not() -> None:
    alice, mallory = Fakes(fgsm), Fakes(leave_alone)
    first = play(alice, seed=1)
    second = play(mallory, seed=2)
    assert first.kills is not None
    assert second.kills is not None
    assert (first.kills.examples == second.kills.examples).all()
    assert not np.array_equal(alice.handed[0][1]["x"], mallory.handed[0][1]["x"])


def test_a_curve_has_a_point_for_each_epsilon_and_falls() -> None:
    verdict = play(Fakes(fgsm), spec(epsilons=(0.02, 0.1, 0.2)))
    robust = [point["robust_accuracy"] for point in verdict.curve]
    assert [point["epsilon"] for point in verdict.curve] == [0.02, 0.1, 0.2]
    assert robust == sorted(robust, key=lambda share: -(share or 0))
    assert verdict.metrics["robust_accuracy"] == robust[-1]
    assert verdict.metrics["curve_area"] is not None


def test_a_targeted_attack_must_reach_its_target() -> None:
    def towards(challenge: EvasionChallenge) -> Array:
        assert challenge.targets is not None
        assert challenge.epsilon is not None
        x = challenge.x.copy()
        x[:, :3] -= challenge.epsilon
        x[np.arange(len(x)), challenge.targets] += 2 * challenge.epsilon
        return challenge.clip(x)

    round_ = spec(epsilons=(0.3,), goal=Goal.TARGETED)
    reached = play(Fakes(towards), round_)
    assert reached.metrics["attack_success_rate"] is not None
    assert reached.metrics["attack_success_rate"] > 0.5
    columns = reached.outcome.columns  # type: ignore[union-attr]
    assert (columns["attacked_prediction"] == columns["target"])[columns["broken"]].all()
    assert (columns["target"] != columns["y"]).all()


def test_under_the_rule_all_every_wrong_class_is_a_target() -> None:
    round_ = spec(epsilons=(0.1,), goal=Goal.TARGETED, target_rule=TargetRule.ALL)
    verdict = play(Fakes(fgsm), round_)
    m = verdict.metrics
    assert len(verdict.outcome) == 2 * 30  # type: ignore[arg-type]
    assert len(verdict.kills.examples) == 30  # type: ignore[union-attr]
    worst, average, best = (
        m["attack_success_rate_worst"],
        m["attack_success_rate"],
        m["attack_success_rate_best"],
    )
    assert worst is not None
    assert average is not None
    assert best is not None
    assert worst <= average <= best


# ── candidates ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda x: x + 0.1001, "over_budget"),
        (lambda x: x * np.nan, "not_finite"),
        (lambda x: np.where(x > 2, x, 1.0 + 1e-5), "out_of_range"),
    ],
)
def test_a_candidate_that_breaks_a_rule_is_rejected_not_clipped(spoil: Any, reason: str) -> None:
    verdict = play(Fakes(lambda challenge: spoil(challenge.x).astype(np.float32)))
    columns = verdict.outcome.columns  # type: ignore[union-attr]
    assert verdict.metrics["rejected"] == 30
    assert verdict.metrics["attack_success_rate"] == 0
    assert set(columns["rejected"]) == {reason}
    assert (columns["linf"] == 0).all()
    assert (columns["attacked_prediction"] == columns["clean_prediction"]).all()


def test_an_attack_of_the_wrong_shape_forfeits_and_the_defense_is_untouched() -> None:
    verdict = play(Fakes(lambda challenge: challenge.x[:5]))
    assert verdict.status is Status.FORFEIT
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.ATTACK, FaultCode.WRONG_SHAPE)
    assert verdict.metrics["robust_accuracy"] == 1.0
    assert verdict.metrics["clean_accuracy"] == 1.0


def test_an_attack_that_submits_half_and_then_hangs_is_judged_by_that_half() -> None:
    def mallory(challenge: EvasionChallenge) -> Array:
        half = np.arange(len(challenge) // 2)
        challenge.submit(fgsm(challenge)[half], half)
        raise PlayerError(Side.ATTACK, FaultCode.WALL_TIME, "Time is up.")

    everything, half = play(Fakes(fgsm)), play(Fakes(mallory))
    assert half.status is Status.FORFEIT
    assert half.fault is not None
    assert half.fault.code is FaultCode.WALL_TIME
    whole, part = everything.kills.broken[0], half.kills.broken[0]  # type: ignore[union-attr]
    assert 0 < part.sum() < whole.sum()
    assert (whole | ~part).all()


def test_a_crash_at_one_epsilon_keeps_what_came_before() -> None:
    def alice(challenge: EvasionChallenge) -> Array:
        if challenge.epsilon == 0.1:
            raise ValueError("oops")
        return fgsm(challenge)

    verdict = play(Fakes(alice), spec(epsilons=(0.05, 0.1, 0.2)))
    assert verdict.status is Status.FORFEIT
    broken = verdict.kills.broken.sum(axis=1)  # type: ignore[union-attr]
    assert broken[0] > 0
    assert broken[1] == broken[2] == 0


# ── hostile defenses ───────────────────────────────────────────────────────────────────────


class BatchOfOne(Linear):
    """Answers wrong only when it sees a batch of one."""

    def predict(self, x: Array, seeds: Array) -> Array:
        scores = super().predict(x, seeds)
        return np.asarray(scores if len(x) > 1 else -scores)


class NearestRowPairing(Linear):
    """Answers a row like the nearest other row of its process, hoping that it is the clean twin."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = np.zeros((0, 6), np.float32)

    def predict(self, x: Array, seeds: Array) -> Array:
        self.seen = np.concatenate([self.seen, x])
        far = ((x[:, None] - self.seen[None]) ** 2).sum(axis=2)
        far[far == 0] = np.inf
        return super().predict(self.seen[far.argmin(axis=1)], seeds)


class Changing(Linear):
    """Answers with fresh noise although it declares none."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = np.random.default_rng(3)

    def predict(self, x: Array, seeds: Array) -> Array:
        return np.asarray(super().predict(x, seeds) + self.stream.normal(0, 0.3, (len(x), 3)))


def test_a_defense_that_looks_at_its_batch_forfeits() -> None:
    verdict = play(Fakes(leave_alone, BatchOfOne))
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.DEFENSE, FaultCode.ROWS_DEPEND)
    assert verdict.metrics["robust_accuracy"] == 0.0
    assert verdict.metrics["attack_success_rate"] is None


def test_a_defense_that_pairs_rows_finds_no_twin_and_gains_nothing() -> None:
    fakes = Fakes(fgsm, NearestRowPairing)
    verdict = play(fakes)
    honest = play(Fakes(fgsm))
    assert verdict.metrics["robust_accuracy"] <= honest.metrics["robust_accuracy"]  # type: ignore[operator]


def test_no_judging_process_sees_two_inputs_of_an_example() -> None:
    fakes = Fakes(fgsm)
    verdict = play(fakes, spec(epsilons=(0.05, 0.1)))
    images = verdict.outcome.images  # type: ignore[union-attr]
    sent = [seat for seat in fakes.opened if seat.asked]
    judges = [{x.tobytes() for batch in seat.asked for x in batch} for seat in sent]
    clean = [x.tobytes() for x in images["clean"]]
    assert len(judges) == 3
    for rows in judges:
        for case, x in enumerate(clean):
            twins = {x, *(images["attacked"][level][case].tobytes() for level in range(2))}
            assert len(twins & rows) <= 1
    assert all(sum(x in rows for rows in judges) == 1 for x in clean)


def test_a_defense_that_changes_its_answers_forfeits_and_is_flagged() -> None:
    verdict = play(Fakes(leave_alone, Changing))
    assert verdict.fault is not None
    assert verdict.fault.code is FaultCode.NOT_DETERMINISTIC
    assert "changed_output_for_same_seed" in verdict.flags


def test_nan_is_the_defenses_fault_and_counts_as_wrong() -> None:
    class Nan(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            return np.asarray(super().predict(x, seeds) * np.nan)

    verdict = play(Fakes(leave_alone, Nan))
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.DEFENSE, FaultCode.NOT_FINITE)
    assert verdict.metrics["clean_accuracy"] == 0.0


def test_a_defense_that_crashes_while_it_is_probed_forfeits_without_figures_for_alice() -> None:
    class Brittle(Linear):
        def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
            raise RuntimeError("boom")

    verdict = play(Fakes(fgsm, Brittle))
    assert verdict.fault is not None
    assert verdict.fault.side is Side.DEFENSE
    assert verdict.metrics["robust_accuracy"] == 0.0
    assert verdict.metrics["attack_success_rate"] is None


def test_a_single_poisoned_input_costs_its_batch_and_not_the_match() -> None:
    trap = margins(spec())  # only to know how many there are

    class Trapped(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            if (x[:, 5] == 0.625).any():
                raise RuntimeError("trapped")
            return super().predict(x, seeds)

    def alice(challenge: EvasionChallenge) -> Array:
        x = challenge.x.copy()
        x[0, 5] = 0.625
        return x

    verdict = play(Fakes(alice, Trapped), spec(epsilons=(0.9,)))
    assert verdict.fault is not None
    assert verdict.fault.side is Side.DEFENSE
    clean = verdict.metrics["clean_accuracy"]
    assert clean is not None
    assert 0 < clean < 1
    assert len(trap) == 30


# ── abstention ─────────────────────────────────────────────────────────────────────────────


class Abstaining(Linear):
    """Abstains where its margin is below ``doubt``."""

    doubt = 0.12

    def predict(self, x: Array, seeds: Array) -> Array:
        scores = super().predict(x, seeds)
        top = np.sort(scores, axis=1)
        unsure = (top[:, -1] - top[:, -2]) < self.doubt
        doubts = np.where(unsure, 9.0, -9.0)
        return np.concatenate([scores, doubts[:, None]], axis=1).astype(np.float32)


class AlwaysAbstaining(Abstaining):
    doubt = 99.0


def test_abstaining_always_is_always_wrong() -> None:
    verdict = play(Fakes(leave_alone, AlwaysAbstaining), defense=defense_package(abstains=True))
    assert verdict.metrics["clean_accuracy"] == 0.0
    assert verdict.metrics["robust_accuracy"] == 0.0
    assert "abstains_too_often" in verdict.flags
    assert verdict.metrics["abstention_clean"] == 1.0


def test_abstaining_on_an_attack_is_safe_within_the_share() -> None:
    nudge = spec(ThreatModel.black(), epsilons=(0.05,))

    def to_the_edge(challenge: EvasionChallenge) -> Array:
        assert challenge.y is not None
        x = challenge.x.copy()
        x[:, :3] += 0.05
        x[np.arange(len(x)), challenge.y] -= 0.1
        return challenge.clip(x)

    def match(share: float) -> Verdict:
        task = toy_task(abstention_share=share)
        dana = defense_package(abstains=True)
        return play(Fakes(to_the_edge, Abstaining), nudge, defense=dana, task=task)

    generous, strict = match(0.9), match(0.0)
    assert not generous.flags
    assert "abstains_too_often" in strict.flags
    assert generous.metrics["robust_accuracy"] > strict.metrics["robust_accuracy"]  # type: ignore[operator]
    assert generous.metrics["clean_accuracy"] == strict.metrics["clean_accuracy"]


# ── randomness ─────────────────────────────────────────────────────────────────────────────


class Coin(Linear):
    """Right or wrong by the parity of the row's seed."""

    def predict(self, x: Array, seeds: Array) -> Array:
        sign = np.where(seeds % 2 == 0, 1.0, -1.0)
        return np.asarray(super().predict(x, seeds) * sign[:, None], np.float32)


def test_a_stochastic_defense_is_judged_by_majority_with_seeds_that_attacks_share() -> None:
    dana = defense_package(stochastic=True)
    black = spec(ThreatModel.black(), repeats=9)
    one = play(Fakes(leave_alone, Coin), black, defense=dana, seed=1)
    other = play(Fakes(leave_alone, Coin), black, defense=dana, seed=2)
    columns = one.outcome.columns  # type: ignore[union-attr]
    assert 0 < one.metrics["clean_accuracy"] < 1  # type: ignore[operator]
    assert (columns["wrong"] == other.outcome.columns["wrong"]).all()  # type: ignore[union-attr]
    assert set(columns["repeats"]) == {9}
    assert ((columns["wrong"] >= 5) == ~columns["clean_right"]).all()
    assert one.metrics["robust_accuracy_any"] < one.metrics["robust_accuracy"]  # type: ignore[operator]


def test_with_revealed_seeds_a_stochastic_defense_is_an_open_book() -> None:
    white = ThreatModel.white()
    values = {k: getattr(white, k) for k in white.__slots__}
    model = ThreatModel(**{**values, "randomness": Randomness.SEED})
    fakes = Fakes(leave_alone, Coin)
    play(fakes, spec(model, repeats=3), defense=differentiable(stochastic=True))
    told = fakes.handed[0][2].randomness
    assert told is not None
    assert "seeds" in told
    secret = Fakes(leave_alone, Coin)
    play(secret, spec(ThreatModel.black()), defense=defense_package(stochastic=True))
    assert secret.handed[0][2].randomness is None


# ── probes ─────────────────────────────────────────────────────────────────────────────────


def test_mallory_cannot_ask_more_than_the_budget_by_any_way() -> None:
    refused: list[str] = []

    def mallory(challenge: EvasionChallenge) -> Array:
        view, x = challenge.defense, challenge.x
        for rows in (np.r_[np.zeros(4, int)], np.r_[np.zeros(3, int), np.arange(10)]):
            try:
                view.ask(x[rows], rows)
            except Exception as error:
                refused.append(str(error))
        view.ask(x)
        view.ask(x)
        view.check(x)
        try:
            view.ask(x[:1], np.array([0]))
        except Exception as error:
            refused.append(str(error))
        return x

    model = ThreatModel(
        probes=Probes(per_example=3), output=OracleOutput(), feedback=Feedback.SUCCESS
    )
    verdict = play(Fakes(mallory), spec(model), defense=defense_package())
    assert len(refused) == 3, refused
    assert refused[0].startswith("Asked 4 queries with 3 left.")
    assert refused[2].startswith("Asked 1 query with 0 left.")
    assert verdict.status is Status.SCORED
    assert (verdict.outcome.columns["queries"] == 3).all()  # type: ignore[union-attr]


def test_queries_to_the_first_success_are_counted_within_the_budget_only() -> None:
    def alice(challenge: EvasionChallenge) -> Array:
        assert challenge.epsilon is not None
        assert challenge.y is not None
        step = np.zeros_like(challenge.x)
        step[:, :3] = challenge.epsilon
        step[np.arange(len(step)), challenge.y] = -challenge.epsilon
        challenge.defense.ask(challenge.x)
        challenge.defense.ask(challenge.clip(challenge.x + 5 * step))
        x = challenge.clip(challenge.x + step)
        challenge.defense.ask(x)
        return x

    model = ThreatModel(probes=Probes(per_example=9), output=OracleOutput(OutputKind.LABEL))
    verdict = play(Fakes(alice), spec(model), defense=defense_package())
    columns = verdict.outcome.columns  # type: ignore[union-attr]
    assert (columns["queries_to_success"][columns["broken"]] == 3).all()
    assert (columns["queries_to_success"][~columns["broken"]] == -1).all()
    assert columns["broken"].any()
    assert not columns["broken"].all()


def test_an_attack_cannot_run_the_defenses_clock_out() -> None:
    def mallory(challenge: EvasionChallenge) -> Array:
        while True:
            challenge.defense.logits(challenge.x)

    class Slow(Linear):
        pass

    round_ = spec()
    tight = RoundSpec.from_json(
        {**round_.to_json(), "defense_limits": {"wall_seconds": 0.05, "cpu_seconds": 0.05}}
    )
    verdict = play(Fakes(mallory, Slow), tight)
    assert verdict.fault is not None
    assert verdict.fault.side is Side.ATTACK
    assert "used up" in verdict.fault.sentence
    assert verdict.metrics["robust_accuracy"] == 1.0


def test_l0_counts_features_and_is_exact() -> None:
    def two_features(challenge: EvasionChallenge) -> Array:
        x = challenge.x.copy()
        x[::2, :2] = 1.0
        x[1::2, :3] = 1.0
        return x

    verdict = play(Fakes(two_features), spec(norm=Norm.L0, epsilons=(2.0,)))
    columns = verdict.outcome.columns  # type: ignore[union-attr]
    assert set(columns["l0"]) == {0.0, 2.0}
    assert (columns["rejected"] == "over_budget").sum() == 15


def test_iterations_are_told_apart_when_alice_goes_on_with_the_survivors() -> None:
    def alice(challenge: EvasionChallenge) -> Array:
        assert challenge.y is not None
        assert challenge.epsilon is not None
        x, alive = challenge.x.copy(), np.arange(len(challenge))
        for step in range(1, 5):
            logits, _ = challenge.defense.logits_and_gradient(x[alive], challenge.y[alive])
            alive = alive[logits.argmax(axis=1) == challenge.y[alive]]
            towards = np.zeros((len(alive), 6), np.float32)
            towards[:, :3] = 1
            towards[np.arange(len(alive)), challenge.y[alive]] = -1
            size = challenge.epsilon * step / 4
            x[alive] = challenge.clip(challenge.x[alive] + size * towards)
        return x

    verdict = play(Fakes(alice), spec(epsilons=(0.2,)))
    columns = verdict.outcome.columns  # type: ignore[union-attr]
    assert {2.0, 3.0, 4.0} == set(columns["iterations"])
    assert (columns["iterations"][~columns["broken"]] == 4).all()
    assert verdict.metrics["median_iterations"] in (2.0, 3.0, 4.0)


# ── what evidence asks of gradients ────────────────────────────────────────────────────────


class Flat(Linear):
    """Steps hide the slope: half of its gradients, those of inputs above 0.5, are zero."""

    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        logits, slope = super().gradient(x, weights, seeds)
        return logits, slope * (x[:, :1] < 0.5)


def patient(challenge: EvasionChallenge) -> Array:
    """Ten gradients at the clean inputs, and then nothing."""
    labels = np.zeros(len(challenge), np.int64)
    for _ in range(10):
        challenge.defense.gradient(challenge.x, labels)
    return challenge.x


def test_the_share_of_zero_gradients_is_what_the_attack_was_answered() -> None:
    rules = spec(ThreatModel.white())
    flat = play(Fakes(patient, Flat), rules, defense=differentiable())
    clean = flat.outcome.images["clean"]
    assert flat.metrics["zero_gradients"] == (clean[:, 0] >= 0.5).mean()
    assert play(Fakes(patient), rules, defense=differentiable()).metrics["zero_gradients"] == 0
    idle = play(Fakes(leave_alone), rules, defense=differentiable())
    assert idle.metrics["zero_gradients"] is None
    assert idle.metrics["late_successes"] is None


def test_successes_of_the_second_half_are_counted() -> None:
    """Each asks about its own mistake at the gradient of that number; the last ones never do."""
    rules = spec(ThreatModel.white(), epsilons=(0.9,))

    def late(challenge: EvasionChallenge) -> Array:
        n, turned = len(challenge), 1 - challenge.x
        for step in range(1, 11):
            x = challenge.x.copy()
            told = [i for i in range(n) if step == (2, 9)[i % 2] and i < n - 3]
            x[told] = turned[told]
            challenge.defense.gradient(x, challenge.y)
        return challenge.x

    found = play(Fakes(late), rules, defense=differentiable()).metrics
    n = found["examples"]
    assert n is not None
    late_ones = len([i for i in range(int(n)) if i % 2 and i < n - 3])
    assert (found["standing_halfway"], found["late_successes"]) == (late_ones + 3, late_ones)
