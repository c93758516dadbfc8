"""Certification: Dana claims radii, Alice attacks, the referee holds the one against the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from arena import metrics
from arena.applicability import applicability
from arena.errors import FaultCode, Side, ThreatModelError
from arena.games.certification import MARGIN, is_broken
from arena.packages import Package
from arena.rounds import GameName, Goal, Norm, RoundSpec
from arena.threat_model import ThreatModel
from arena.verdict import Kills, Status, Verdict
from tests.arena import fakes
from tests.arena.fakes import (
    Fakes,
    Linear,
    differentiable,
    leave_alone,
    package,
    play,
    spec,
    toy_task,
)

Array = NDArray[Any]
EPSILONS = (0.05, 0.1, 0.2)


class Honest(Linear):
    """The exact L2 radius of argmax over the first three features: half the gap over sqrt 2."""

    def certify(self, x: Array, seeds: Array, *, norm: str, effort: int) -> tuple[Array, Array]:
        scores = np.sort(self.predict(x, seeds).astype(np.float64), axis=1)
        gap = scores[:, -1] - scores[:, -2]
        return self.predict(x, seeds).argmax(axis=1), (gap / np.sqrt(2) - 1e-6).astype(np.float32)


class Boastful(Honest):
    """Claims everything for every input."""

    def certify(self, x: Array, seeds: Array, *, norm: str, effort: int) -> tuple[Array, Array]:
        return self.predict(x, seeds).argmax(axis=1), np.full(len(x), 9.0, np.float32)


class Cast(Fakes):
    """Seats whose defense also certifies."""

    def __call__(self, **match: Any) -> Any:
        seats, opened = super().__call__(**match), self.opened

        def open_defense(*, in_turn: bool = False) -> Any:
            seat: Any = fakes.FakeSeats.open_defense(seats)
            seat.certify = lambda x, seeds, *, norm, effort: seat._guarded(
                lambda: seat.player.certify(x.copy(), seeds, norm=norm, effort=effort)
            )
            assert opened[-1] is seat
            return seat

        seats.open_defense = open_defense
        return seats


def dana(**manifest: Any) -> Package:
    return differentiable(certifies=["l2"], **manifest)


def challenge(cast: Cast, defense: Package | None = None, **rules: Any) -> Verdict:
    round_ = spec(game=GameName.CERTIFICATION, norm=Norm.L2, **{"epsilons": EPSILONS, **rules})
    return play(cast, round_, defense=defense or dana())


def nearest(c: Any) -> Array:
    """The optimum against the toy's rule: the leader down and the runner-up up, alike."""
    order = np.argsort(c.x[:, :3], axis=1)
    step = np.zeros_like(c.x)
    rows = np.arange(len(c.x))
    step[rows, order[:, 2]], step[rows, order[:, 1]] = -1, 1
    return c.clip(c.x + 0.999 * (c.epsilon / np.sqrt(2)) * step)


def test_an_exact_certificate_meets_the_best_attack() -> None:
    """What is not certified at ε is broken at ε, but for the thousandth that the attack spares."""
    verdict = challenge(Cast(nearest, Honest))
    assert verdict.status is Status.SCORED
    assert verdict.metrics["claims"] == 30
    assert verdict.metrics["claims_refuted"] == 0
    assert verdict.metrics["certificate_broken"] == 0
    for point in verdict.curve:
        assert 0 <= (point["certified_gap"] or 0) <= 1 / 30
    assert 0 < (verdict.metrics["certified_accuracy"] or 0) < 1


def test_certified_accuracy_is_the_mean_of_right_and_radius_at_least_r() -> None:
    verdict = challenge(Cast(leave_alone, Honest))
    assert verdict.kills is not None
    assert verdict.kills.radii is not None
    for point in verdict.curve:
        wanted = (verdict.kills.radii >= point["epsilon"]).mean()
        assert point["certified_accuracy"] == pytest.approx(wanted)
        assert point["robust_accuracy"] == 1.0
    assert verdict.outcome is not None
    radii = verdict.outcome.columns["certified_radius"]
    assert radii[: len(verdict.kills.radii)] == pytest.approx(verdict.kills.radii)


def test_one_counterexample_breaks_a_certificate_that_leaves_nothing_to_chance() -> None:
    verdict = challenge(Cast(nearest, Boastful))
    assert verdict.metrics["certified_accuracy"] == 0.0
    assert verdict.metrics["certificate_broken"] == 1.0
    assert "certificate_broken" in verdict.flags
    assert verdict.status is Status.SCORED
    shown = verdict.provenance["refuted"]
    assert len(shown) == min(20, int(verdict.metrics["claims_refuted"] or 0)) > 0
    assert all(found["distance"] <= found["radius"] - MARGIN for found in shown)


def test_a_boast_that_nobody_refutes_stands() -> None:
    assert challenge(Cast(leave_alone, Boastful)).metrics["certified_accuracy"] == 1.0


def test_a_claim_of_another_label_than_the_answer_refutes_itself() -> None:
    class Confused(Honest):
        def certify(self, x: Array, seeds: Array, *, norm: str, effort: int) -> Any:
            labels, radii = super().certify(x, seeds, norm=norm, effort=effort)
            return (labels + 1) % 3, radii

    verdict = challenge(Cast(leave_alone, Confused))
    assert verdict.metrics["claims_refuted"] == verdict.metrics["claims"]
    assert verdict.metrics["certificate_broken"] == 1.0


def test_nothing_claimed_is_nothing_certified_and_nothing_refuted() -> None:
    class Modest(Honest):
        def certify(self, x: Array, seeds: Array, *, norm: str, effort: int) -> Any:
            return np.full(len(x), -1), np.zeros(len(x), np.float32)

    verdict = challenge(Cast(nearest, Modest))
    assert verdict.metrics["claims"] == 0
    assert verdict.metrics["certified_accuracy"] == 0.0
    assert verdict.metrics["certificate_broken"] == 0.0


class Sampled(Boastful):
    """Of most inputs it says by nearly every other seed what it says of the nearest clean one, and
    so it does when it is looked at again: there its vote is close."""

    stubborn = 0.0
    """Inputs whose fourth feature is less give another answer for good."""

    def predict(self, x: Array, seeds: Array) -> Array:
        clean = toy_task().practice.x
        nearest = ((x[:, None] - clean[None]) ** 2).sum(axis=2).argmin(axis=1)
        close = (seeds.astype(np.uint64) % np.uint64(16) < 8) & (x[:, 3] >= self.stubborn)
        return super().predict(np.where(close[:, None], clean[nearest], x), seeds)

    def certify(self, x: Array, seeds: Array, *, norm: str, effort: int) -> Any:
        kept = np.where((x[:, 3] >= self.stubborn) & (effort > 1), 0, 8).astype(np.uint64)
        return super().certify(x, kept, norm=norm, effort=effort)


def sampling(**manifest: Any) -> Package:
    return dana(stochastic=True, **manifest)


def test_a_claim_with_a_chance_is_looked_at_again_before_it_counts_as_refuted() -> None:
    sure = challenge(Cast(nearest, Boastful), sampling(alpha=0.001))
    assert sure.metrics["certificate_broken"] == 1.0
    close = challenge(Cast(nearest, Sampled), sampling(alpha=0.001), epsilons=(0.05, 0.1))
    assert close.metrics["robust_accuracy"] < 0.9  # type: ignore[operator]
    assert close.metrics["claims_refuted"] == 0
    assert close.metrics["certified_accuracy"] == 1.0


@pytest.mark.parametrize("says", ["nothing", "what was claimed"])
@pytest.mark.parametrize("stochastic", [False, True])
def test_a_claim_is_not_taken_back_by_saying_something_else_when_looked_at(
    says: str, stochastic: bool
) -> None:
    """``effort`` tells that a counterexample was found."""

    class TakesBack(Boastful):
        def certify(self, x: Array, seeds: Array, *, norm: str, effort: int) -> Any:
            labels, radii = super().certify(x, seeds, norm=norm, effort=effort)
            if effort == 1 and len(x) > 1:
                self.clean, self.said = x, labels
            elif effort > 1 and says == "nothing":
                labels = np.full(len(x), -1)
            elif effort > 1:
                near = ((x[:, None] - self.clean[None]) ** 2).sum(axis=2).argmin(axis=1)
                labels = self.said[near]
            return labels, radii

    verdict = challenge(Cast(nearest, TakesBack), dana(alpha=0.001, stochastic=stochastic))
    assert verdict.metrics["certificate_broken"] == 1.0
    assert verdict.metrics["certified_accuracy"] == 0.0


def test_few_refuted_claims_cost_a_probabilistic_certificate_those_alone() -> None:
    class OneInTen(Sampled):
        stubborn = 0.15

    verdict = challenge(Cast(nearest, OneInTen), sampling(alpha=0.05), examples=60)
    refuted = verdict.metrics["claims_refuted"] or 0
    assert 0 < refuted <= metrics.binomial_quantile(60, 0.05, 0.999)
    assert verdict.metrics["certificate_broken"] == 0.0
    assert "claims_refuted" in verdict.flags
    assert verdict.metrics["certified_accuracy"] == pytest.approx(1 - refuted / 60)


def test_the_quantile_is_the_binomials() -> None:
    stats = pytest.importorskip("scipy.stats")
    for trials in (1, 7, 60, 500):
        for p in (0.001, 0.01, 0.05):
            wanted = stats.binom.ppf(0.999, trials, p)
            assert metrics.binomial_quantile(trials, p, 0.999) == wanted
    assert not is_broken(0, 100, 0.0)
    assert is_broken(1, 100, 0.0)


def test_claims_must_not_depend_on_other_rows() -> None:
    class Herd(Honest):
        def certify(self, x: Array, seeds: Array, *, norm: str, effort: int) -> Any:
            labels, radii = super().certify(x, seeds, norm=norm, effort=effort)
            return labels, radii + np.float32(0.01 * len(x))

    verdict = challenge(Cast(leave_alone, Herd))
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.DEFENSE, FaultCode.ROWS_DEPEND)
    assert verdict.metrics["certified_accuracy"] == 0.0
    assert verdict.metrics["robust_accuracy"] == 1.0


def test_a_defense_that_fails_to_certify_claims_nothing_and_forfeits() -> None:
    class Mute(Honest):
        def certify(self, x: Array, seeds: Array, *, norm: str, effort: int) -> Any:
            raise RuntimeError("no certificate here")

    verdict = challenge(Cast(nearest, Mute))
    assert verdict.status is Status.FORFEIT
    assert verdict.fault is not None
    assert verdict.fault.side is Side.DEFENSE
    assert verdict.metrics["claims"] == 0


def test_claims_are_made_in_a_process_that_met_no_attack() -> None:
    class Watched(Honest):
        met: list[tuple[int, str]] = []

        def predict(self, x: Array, seeds: Array) -> Array:
            self.met.append((id(self), "predict"))
            return super().predict(x, seeds)

        def certify(self, x: Array, seeds: Array, *, norm: str, effort: int) -> Any:
            self.met.append((id(self), "certify"))
            return np.full(len(x), 0), np.zeros(len(x), np.float32)

    challenge(Cast(nearest, Watched))
    does = {
        kind: {who for who, what in Watched.met if what == kind} for kind in ("predict", "certify")
    }
    assert len(does["certify"]) == 1
    assert not does["certify"] & does["predict"]


def test_who_certifies_nothing_in_the_norm_does_not_play() -> None:
    attack, other = package("attack").manifest, differentiable(certifies=["linf"]).manifest
    round_ = RoundSpec(
        GameName.CERTIFICATION, "toy", ThreatModel.white(), norm=Norm.L2, epsilons=(0.1,)
    )
    assert applicability(attack, dana().manifest, round_) is None
    assert "certifies nothing" in (applicability(attack, other, round_) or "")
    plays = package("attack", needs={"games": ["evasion"]}).manifest
    assert applicability(plays, dana().manifest, round_) is None


def test_a_certification_round_is_untargeted_and_has_radii() -> None:
    with pytest.raises(ThreatModelError, match="at least one epsilon"):
        spec(game=GameName.CERTIFICATION, epsilons=())
    with pytest.raises(ThreatModelError, match="untargeted"):
        spec(game=GameName.CERTIFICATION, goal=Goal.TARGETED)


def test_certified_radii_are_stored_with_the_verdict() -> None:
    kills = challenge(Cast(leave_alone, Honest)).kills
    assert kills is not None
    again = Kills.from_json(kills.to_json())
    assert np.array_equal(again.radii, kills.radii)


def test_the_rules_explain_every_metric_and_flag() -> None:
    page = (Path(__file__).parents[3] / "docs" / "rules.md").read_text("utf-8")
    explained = set(re.findall(r"`(\w+)`", page))
    verdict = challenge(Cast(nearest, Boastful))
    names = {
        re.sub(r"_(low|high)$", "", n) for each in (verdict.metrics, *verdict.curve) for n in each
    }
    assert names | set(verdict.flags) <= explained
