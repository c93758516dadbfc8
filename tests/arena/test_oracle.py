"""The oracle's meter and filter. Alice asks, Mallory cheats, Dana answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.answers import softmax
from arena.errors import (
    FaultCode,
    NotDifferentiable,
    PlayerError,
    QueryBudgetExceeded,
    Side,
    Withheld,
)
from arena.oracle import SAMPLED, Meter, Oracle, Sample
from arena.threat_model import Feedback, OracleOutput, OutputKind, Probes, ThreatModel
from tests.arena.fakes import (
    SIDE,
    Array,
    DefenseSeatFake,
    Linear,
    defense_package,
    differentiable,
)

N = 4


def seat(player: Any = None, **manifest: Any) -> DefenseSeatFake:
    package = differentiable() if not manifest else defense_package(**manifest)
    return DefenseSeatFake(package.manifest, player or Linear())


def oracle(
    model: ThreatModel | None = None, dana: DefenseSeatFake | None = None, **rules: Any
) -> Oracle:
    return Oracle(
        dana or seat(),
        threat_model=model or asking(3),
        shape=(SIDE,),
        classes=3,
        examples=N,
        seeds=lambda examples, asked: np.zeros(len(examples), np.uint64),
        **rules,
    )


def asking(queries: int | None = None, kind: str = "label", **rules: Any) -> ThreatModel:
    output = OracleOutput(OutputKind(kind), rules.pop("k", None), rules.pop("decimals", None))
    probes = Probes(per_example=queries, total=rules.pop("total", None))
    return ThreatModel(probes=probes, output=output, **rules)


X = np.random.default_rng(1).uniform(0, 1, (N, SIDE)).astype(np.float32)
EACH = np.arange(N)


# ── the meter ──────────────────────────────────────────────────────────────────────────────


def test_a_refusal_says_what_was_asked_and_what_is_left_and_costs_nothing() -> None:
    service = oracle(asking(total=3))
    service.ask(X[:2], EACH[:2])
    with pytest.raises(QueryBudgetExceeded, match=r"Asked 3 queries with 1 left\."):
        service.ask(X[:3], EACH[:3])
    assert service.probes_left()[0] == 1
    service.ask(X[:1], EACH[:1])
    with pytest.raises(QueryBudgetExceeded, match=r"Asked 1 query with 0 left\."):
        service.ask(X[:1], EACH[:1])


def test_probes_are_counted_per_example_within_one_request_too() -> None:
    service = oracle(asking(2))
    with pytest.raises(QueryBudgetExceeded, match="with 2 left"):
        service.ask(X[[0, 0, 0]], np.array([1, 1, 1]))
    assert service.probes_left()[1].tolist() == [2, 2, 2, 2]
    service.ask(X[[0, 0]], np.array([1, 1]))
    assert service.probes_left()[1].tolist() == [2, 0, 2, 2]


def test_a_crash_of_the_defense_still_costs() -> None:
    class Brittle(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            raise RuntimeError("boom")

    service = oracle(asking(3), seat(Brittle()))
    with pytest.raises(PlayerError) as error:
        service.ask(X, EACH)
    assert error.value.side is Side.DEFENSE
    assert service.meter.spent.tolist() == [1, 1, 1, 1]


def test_whoever_asks_in_small_pieces_has_no_more_of_the_defense_s_time() -> None:
    dana = seat()
    service = oracle(ThreatModel.white(), dana, seconds=1.0)
    service.logits(X)
    dana.seconds = 1.0
    with pytest.raises(QueryBudgetExceeded, match="used up"):
        service.logits(X)
    with pytest.raises(QueryBudgetExceeded, match="used up"):
        service.gradient(X, EACH % 3)
    with pytest.raises(QueryBudgetExceeded, match="used up"):
        service.ask(X[:1], EACH[:1])
    assert service.meter.spent.sum() == 0


@given(st.lists(st.lists(st.integers(0, N - 1), max_size=6), max_size=20))
def test_no_sequence_of_requests_gets_more_than_the_budget(requests: list[list[int]]) -> None:
    meter = Meter(Probes(total=9, per_example=3), N)
    answered = np.zeros(N, int)
    for request in requests:
        before = meter.spent.copy()
        try:
            ordinals = meter.charge(np.array(request, np.int64))
        except QueryBudgetExceeded:
            assert (meter.spent == before).all()
            continue
        for example, ordinal in zip(request, ordinals, strict=True):
            answered[example] += 1
            assert ordinal == answered[example]
    assert answered.sum() <= 9
    assert answered.max() <= 3
    assert (answered == meter.spent).all()


# ── replies ────────────────────────────────────────────────────────────────────────────────


def test_a_reply_holds_what_the_output_switch_says_and_no_more() -> None:
    logits = X @ np.eye(SIDE, 3, dtype=np.float32)
    exp = np.exp(logits.astype(np.float64))
    probabilities = exp / exp.sum(axis=1, keepdims=True)

    def reply(kind: str, **rules: Any) -> Array:
        return oracle(asking(3, kind, **rules)).ask(X, EACH)

    assert reply("label").tolist() == logits.argmax(axis=1).tolist()
    assert reply("top_k", k=2).tolist() == np.argsort(-logits, axis=1)[:, :2].tolist()
    assert reply("rounded", decimals=1) == pytest.approx(probabilities.round(1))
    assert reply("probabilities") == pytest.approx(probabilities, abs=1e-6)
    assert reply("logits") == pytest.approx(logits)
    assert reply("label").shape == (N,)


def test_an_abstention_is_minus_one_or_the_last_column() -> None:
    class Shy(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            return np.concatenate([super().predict(x, seeds), np.full((len(x), 1), 9.0)], axis=1)

    dana = seat(Shy(), abstains=True)
    assert oracle(asking(3), dana).ask(X, EACH).tolist() == [-1] * N
    best = oracle(asking(3, "top_k", k=2), dana).ask(X, EACH)
    assert (best[:, 0] == -1).all()
    assert oracle(asking(3, "probabilities"), dana).ask(X, EACH).shape == (N, 4)


def test_without_probes_nothing_is_answered() -> None:
    service = oracle(ThreatModel.transfer())
    for question in (service.ask, service.check):
        with pytest.raises(Withheld):
            question(X, EACH)


def test_feedback_is_charged_and_withheld_where_the_round_gives_none() -> None:
    with pytest.raises(Withheld):
        oracle(asking(3)).check(X, EACH)
    service = oracle(
        asking(3, feedback=Feedback.SUCCESS), success=lambda x, examples, labels: labels == 0
    )
    bits = service.check(X, EACH)
    assert bits.dtype == bool
    assert bits.tolist() == (X[:, :3].argmax(axis=1) == 0).tolist()
    assert service.meter.spent.tolist() == [1] * N


# ── the white-box handle ───────────────────────────────────────────────────────────────────


def test_gradients_are_free_in_white_rounds_and_withheld_elsewhere() -> None:
    white = oracle(ThreatModel.white())
    logits, slope = white.gradient(X, np.zeros(N, np.int64))
    assert logits == pytest.approx(X[:, :3])
    assert slope.shape == X.shape
    assert white.logits(X) == pytest.approx(X[:, :3])
    assert white.meter.spent.sum() == 0
    for model in (ThreatModel.grey(), ThreatModel.black()):
        with pytest.raises(Withheld):
            oracle(model).gradient(X, np.zeros(N, np.int64))
        with pytest.raises(Withheld):
            oracle(model).logits(X)


def test_a_defense_without_gradients_raises_not_differentiable() -> None:
    with pytest.raises(NotDifferentiable):
        oracle(ThreatModel.white(), seat(differentiable=False)).gradient(X, EACH % 3)


def test_log_probabilities_of_the_white_box_handle_are_not_held_to_be_probabilities() -> None:
    """A seat serves log p where the defense declares probabilities."""
    service = oracle(ThreatModel.white(), seat(output="probabilities"))
    assert service.logits(X).shape == (N, 3)


def test_iterations_are_gradients_and_success_is_noted() -> None:
    y = X[:, :3].argmax(axis=1)
    service = oracle(ThreatModel.white(), success=lambda x, examples, labels: labels != y[examples])
    service.gradient(X, y)
    service.gradient(1 - X, y)
    record = service.record
    assert record.iterations.tolist() == [2] * N
    assert set(record.iterations_to_success) == {2.0}
    service.gradient(X[:2], y[:2])
    assert record.iterations == pytest.approx([2.5] * N)


def test_the_first_success_is_noted_by_its_ordinal() -> None:
    service = oracle(asking(9), success=lambda x, examples, labels: x[:, 0] > 0.99)
    hit = X[[0]].copy()
    hit[:, 0] = 1.0
    miss = hit * 0.5
    two = np.array([2])
    service.ask(miss, two)
    service.ask(np.concatenate([miss, hit, hit]), np.array([2, 2, 2]))
    service.ask(hit, np.array([0]))
    assert service.record.queries_to_success.tolist() == [1, -1, 3, -1]


# ── never trust an array ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("x", "examples", "code"),
    [
        (X * np.nan, EACH, FaultCode.NOT_FINITE),
        (X + 1, EACH, FaultCode.OUT_OF_RANGE),
        (-X - 0.1, EACH, FaultCode.OUT_OF_RANGE),
        (X[:, :2], EACH, FaultCode.WRONG_SHAPE),
        (X[0], EACH[:1], FaultCode.WRONG_SHAPE),
        (X.astype(object), EACH, FaultCode.WRONG_SHAPE),
        (X, EACH[:2], FaultCode.WRONG_SHAPE),
        (X, EACH.astype(float), FaultCode.WRONG_SHAPE),
        (X, EACH - 1, FaultCode.OUT_OF_RANGE),
        (X, EACH + 1, FaultCode.OUT_OF_RANGE),
    ],
)
def test_a_malformed_request_is_the_attacks_fault_and_never_reaches_dana(
    x: Array, examples: Array, code: FaultCode
) -> None:
    dana = seat()
    with pytest.raises(PlayerError) as error:
        oracle(asking(3), dana).ask(x, examples)
    assert (error.value.side, error.value.code) == (Side.ATTACK, code)
    assert dana.calls == []


@pytest.mark.parametrize(
    "weights",
    [
        np.array([0, 1, 2, 3]),
        np.array([-1, 0, 0, 0]),
        np.zeros((N, 2), np.float32),
        np.full((N, 3), np.nan),
    ],
)
def test_malformed_weights_never_reach_dana(weights: Array) -> None:
    with pytest.raises(PlayerError) as error:
        oracle(ThreatModel.white()).gradient(X, weights)
    assert error.value.side is Side.ATTACK


def test_big_requests_reach_dana_in_small_batches() -> None:
    dana = seat()
    x = np.repeat(X, 200, axis=0)
    oracle(asking(1000), dana).ask(x, np.repeat(EACH, 200))
    assert sum(dana.calls) == 800
    assert max(dana.calls) == 256


def test_the_last_submitted_candidate_counts() -> None:
    service = oracle(ThreatModel.transfer())
    service.submit(X, EACH)
    service.submit(X[:1] * 0, np.array([2]))
    kept = service.record.candidates
    assert sorted(kept) == [0, 1, 2, 3]
    assert (kept[2] == 0).all()
    assert (kept[1] == X[1]).all()


def test_every_answer_is_as_likely_to_be_kept_as_any_other() -> None:
    """The last third of 3 * SAMPLED answers is a third of what is kept; so is the first."""
    x = np.arange(3 * SAMPLED, dtype=np.float32)[:, None]
    thirds = np.zeros(3)
    for seed in range(40):
        sample = Sample(np.random.RandomState(seed))
        for start in range(0, len(x), 7):
            some = x[start : start + 7]
            sample.offer(some, np.zeros(len(some), np.uint64), some, softmax)
        kept = [int(heard.x[0]) for heard in sample.heard()]
        assert len(set(kept)) == SAMPLED
        thirds += np.bincount(np.array(kept) // SAMPLED, minlength=3)
    shares = thirds / thirds.sum()
    assert np.abs(shares - 1 / 3).max() < 0.02  # six standard deviations
