"""Defenses that remember what they were asked, to guess which inputs were attacked, or by whom.

Each of them answers the same input with the same scores for ever, so that no second look at its
own process finds it out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arena.errors import FaultCode, Side
from arena.packages import Package
from arena.players import EvasionChallenge
from arena.rounds import GameName, Goal, RoundSpec, TargetRule
from arena.threat_model import ThreatModel
from arena.verdict import Verdict
from tests.arena.fakes import (
    Array,
    Fakes,
    Linear,
    defense_package,
    differentiable,
    fgsm,
    play,
    spec,
    toy_task,
)
from tests.arena.games.test_evasion import figures

FAR = 0.1
"""No two points of the toy task's judged examples lie so near, and candidates of one example do."""


class Steady(Linear):
    """Says of an input what it said the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[bytes, Array] = {}
        self.met: list[Array] = []

    def predict(self, x: Array, seeds: Array) -> Array:
        honest = super().predict(x, seeds)
        self.met += list(x)
        for row, scores in zip(x, honest, strict=True):
            self.said.setdefault(row.tobytes(), self.first_said(row, scores))
        return np.stack([self.said[row.tobytes()] for row in x])

    def first_said(self, row: Array, scores: Array) -> Array:
        raise NotImplementedError


class AsItsSurestTwin(Steady):
    """Answers for all that lie near one another as for the surest of them: the least attacked."""

    def first_said(self, row: Array, scores: Array) -> Array:
        met = np.stack(self.met)
        near = met[np.abs(met - row).max(axis=1) <= FAR]
        ordered = np.sort(near[:, :3], axis=1)
        return np.asarray(near[(ordered[:, -1] - ordered[:, -2]).argmax(), :3])


def towards(challenge: object) -> Array:
    """Against every target in turn: the one-step attack of a linear model."""
    x, targets = challenge.x, challenge.targets  # type: ignore[attr-defined]
    w = np.eye(x.shape[1], 3)[:, targets].T - np.eye(x.shape[1], 3).mean(axis=1)
    epsilon = challenge.epsilon  # type: ignore[attr-defined]
    return np.asarray(np.clip(x + epsilon * np.sign(w), 0, 1), np.float32)


ROUNDS = {
    "several epsilons": (fgsm, spec(epsilons=(0.01, 0.05, 0.08), examples=40)),
    "every target": (
        towards,
        spec(epsilons=(0.05,), goal=Goal.TARGETED, target_rule=TargetRule.ALL, examples=40),
    ),
}


@pytest.mark.parametrize("name", ROUNDS)
def test_candidates_of_one_example_cannot_be_paired(name: str) -> None:
    attack, round_ = ROUNDS[name]
    honest = play(Fakes(attack), round_)
    pairing = play(Fakes(attack, AsItsSurestTwin), round_)
    assert honest.metrics["robust_accuracy"] < 0.9  # type: ignore[operator]
    assert figures(pairing) == figures(honest)


class AbstainsAmongPublished(Steady):
    """Abstains on all but the published points, as long as it is asked about any of those."""

    def __init__(self) -> None:
        super().__init__()
        self.published = {row.tobytes() for row in toy_task().practice.x}

    def first_said(self, row: Array, scores: Array) -> Array:
        judged = any(met.tobytes() in self.published for met in self.met)
        odd = row.tobytes() not in self.published
        return np.append(scores, 9.0 if odd and judged else -9.0).astype(np.float32)


def abstaining(round_: RoundSpec, dana: Package) -> Verdict:
    eve = Fakes(
        lambda c: np.clip(c.x + c.epsilon * np.sign(0.5 - c.x), 0, 1), AbstainsAmongPublished
    )
    return play(eve, round_, defense=dana)


@pytest.mark.parametrize("epsilons", [(0.2,), (0.1, 0.2)])
def test_the_control_for_abstentions_looks_like_the_judgement(epsilons: tuple[float, ...]) -> None:
    verdict = abstaining(spec(epsilons=epsilons), defense_package(abstains=True))
    assert verdict.metrics["abstention_clean"] == 0
    assert verdict.metrics["abstention_noise"] > 0.5  # type: ignore[operator]
    assert "abstains_too_often" in verdict.flags
    assert verdict.metrics["robust_accuracy"] < 0.2  # type: ignore[operator]


class Misleads(Steady):
    """Says nonsense of what lies near what it was asked before, and is honest to a judge."""

    def first_said(self, row: Array, scores: Array) -> Array:
        before = np.stack([met for met in self.met if met.tobytes() in self.said] or [row + 1])
        twins = np.abs(before - row).max(axis=1) <= FAR
        return scores[[1, 2, 0]] if twins.any() else scores


class CountsRows(Linear):
    """Honest to so many rows as a judge asks about, and nonsense to all after those."""

    rows = 0

    def predict(self, x: Array, seeds: Array) -> Array:
        self.rows += len(x)
        scores = super().predict(x, seeds)
        return scores if self.rows < 400 else scores[:, [1, 2, 0]]


def by_answers(challenge: EvasionChallenge) -> Array:
    """Keeps, of random steps, each that lowers the right class's score."""
    x, y = challenge.x, np.asarray(challenge.y)
    stream, rows = np.random.default_rng(1), np.arange(len(x))
    held, score = x, challenge.defense.ask(x)[rows, y]
    for _ in range(60):
        step = challenge.epsilon * stream.choice([-1, 1], x.shape)  # type: ignore[operator]
        tried = np.where(stream.uniform(size=x.shape) < 0.3, x + step, held)
        tried = np.clip(tried, 0, 1).astype(np.float32)
        told = challenge.defense.ask(tried)[rows, y]
        better = told < score
        held, score = np.where(better[:, None], tried, held), np.where(better, told, score)
    return held


BLACK = ThreatModel.black()


@pytest.mark.parametrize("model", [Misleads, CountsRows])
@pytest.mark.parametrize("stochastic", [False, True])
def test_what_an_attack_is_told_must_hold_in_a_fresh_process(
    model: type[Linear], stochastic: bool
) -> None:
    dana = defense_package(stochastic=stochastic)
    round_ = spec(BLACK, epsilons=(0.08,), examples=40, repeats=3)
    honest = play(Fakes(by_answers), round_, defense=dana)
    assert honest.fault is None
    assert honest.flags == ()
    misled = play(Fakes(by_answers, model), round_, defense=dana)
    assert misled.fault is not None
    assert (misled.fault.side, misled.fault.code) == (Side.DEFENSE, FaultCode.NOT_DETERMINISTIC)
    assert "changed_output_for_same_seed" in misled.flags
    assert misled.metrics["robust_accuracy"] == 0
    assert misled.metrics["attack_success_rate"] is None


def test_an_attack_that_asks_for_scores_of_a_white_box_is_not_misled_either() -> None:
    def asks(challenge: EvasionChallenge) -> Array:
        for step in range(40):
            challenge.defense.logits(np.clip(challenge.x + 0.001 * step, 0, 1).astype(np.float32))
        return fgsm(challenge)

    assert play(Fakes(asks)).fault is None
    misled = play(Fakes(asks, CountsRows))
    assert misled.fault is not None
    assert misled.fault.code is FaultCode.NOT_DETERMINISTIC


def test_an_attack_that_asks_nothing_costs_no_process_more() -> None:
    fakes = Fakes(lambda challenge: challenge.x)
    assert play(fakes, spec(BLACK)).fault is None
    assert len(fakes.opened) == 3  # the one that could be asked, and two judges


class WithoutConfidence:
    """The same labels, from scores that differ so little that their probabilities seem equal."""

    def predict(self, x: Array, seeds: Array) -> Array:
        return np.float32(1e-6) * super().predict(x, seeds)  # type: ignore[misc, no-any-return]


class MisleadsWithoutConfidence(WithoutConfidence, Misleads):
    pass


class CountsRowsWithoutConfidence(WithoutConfidence, CountsRows):
    pass


@pytest.mark.parametrize("model", [MisleadsWithoutConfidence, CountsRowsWithoutConfidence])
def test_scores_without_any_confidence_hide_no_other_label(model: type[Linear]) -> None:
    round_ = spec(BLACK, epsilons=(0.08,), examples=40)
    misled = play(Fakes(by_answers, model), round_)
    assert misled.fault is not None
    assert (misled.fault.side, misled.fault.code) == (Side.DEFENSE, FaultCode.NOT_DETERMINISTIC)
    assert misled.metrics["robust_accuracy"] == 0


class ByAHair(Misleads):
    """Its two best classes share everything, and the second leads where it misleads."""

    def first_said(self, row: Array, scores: Array) -> Array:
        second, best = np.argsort(scores)[-2:]
        ahead = 1e-6 if super().first_said(row, scores) is scores else -1e-6
        halves = np.zeros(3, np.float32)
        halves[best], halves[second] = 0.5 + ahead, 0.5 - ahead
        return halves


def test_a_label_that_leads_by_a_hair_is_none() -> None:
    round_ = spec(BLACK, epsilons=(0.08,), examples=40)
    verdict = play(
        Fakes(by_answers, ByAHair), round_, defense=defense_package(output="probabilities")
    )
    assert verdict.metrics["clean_accuracy"] == 0
    assert verdict.metrics["robust_accuracy"] == 0


@pytest.mark.parametrize("scale", [1, 20_000])
def test_who_stands_on_the_boundary_makes_no_honest_defense_contradict_itself(scale: float) -> None:
    """There a label hangs on rounding, and so does a probability where logits are large: they may
    be others alone than in company."""

    class Rounds(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            logits = scale * super().predict(x, seeds)
            ulps = 2 * np.spacing(np.abs(logits).max()) * (len(x) % 2)
            return logits + np.float32(ulps) * np.eye(3, dtype=np.float32)[1]

    def halfway(challenge: EvasionChallenge) -> Array:
        x = challenge.x.copy()
        x[:, :3] = 0.5
        for _ in range(40):
            challenge.defense.ask(x)
        return x

    verdict = play(Fakes(halfway, Rounds), spec(BLACK, epsilons=(0.5,), examples=41))
    assert verdict.fault is None
    assert verdict.flags == ()


def test_who_proposes_inputs_near_the_boundary_makes_no_honest_defense_contradict_itself() -> None:
    """They lead clearly, and what the last places of large logits make of confidence is no lie."""

    class Rounds(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            logits = 20_000 * super().predict(x, seeds)
            ulps = 2 * np.spacing(np.abs(logits).max()) * (len(x) % 2)
            return logits + np.float32(ulps) * np.eye(3, dtype=np.float32)[1]

    def nearly(challenge: EvasionChallenge) -> Array:
        x = challenge.x.copy()
        x[:, 0], x[:, 1], x[:, 2] = 0.5, 0.50004, 0.1
        return x

    round_ = spec(game=GameName.REPLAY, epsilons=(0.5,), replays=60, examples=41)
    assert play(Fakes(nearly, Rounds), round_, defense=differentiable()).fault is None


class KnowsReplays(Steady):
    """Sees that no published point is among what it is asked, or one point too often: then no
    judge asks, and a mistake can be taken back."""

    def __init__(self) -> None:
        super().__init__()
        self.published = {row.tobytes() for row in toy_task().practice.x}
        self.times: dict[bytes, int] = {}

    def predict(self, x: Array, seeds: Array) -> Array:
        met = [row.tobytes() for row in x]
        for row in met:
            self.times[row] = self.times.get(row, 0) + 1
        played = max(self.times.values()) > 12
        played |= len(self.times) > 5 and not self.published & set(self.times)
        honest = Linear.predict(self, x, seeds)
        fresh = np.roll(honest, 1, axis=1) if played else honest
        keys = [(row, int(seed)) for row, seed in zip(met, seeds, strict=True)]
        for key, scores in zip(keys, fresh, strict=True):
            self.answered.setdefault(key, scores)
        return np.stack([self.answered[key] for key in keys])

    @property
    def answered(self) -> dict[tuple[bytes, int], Array]:
        return self.__dict__.setdefault("_answered", {})


def one_moved(challenge: EvasionChallenge) -> Array:
    moved = challenge.x.copy()
    moved[:1] = fgsm(challenge)[:1]
    return moved


@pytest.mark.parametrize(("attack", "stochastic"), [(fgsm, False), (fgsm, True), (one_moved, True)])
def test_what_is_played_again_must_be_what_was_judged(attack: Any, stochastic: bool) -> None:
    round_ = spec(game=GameName.REPLAY, epsilons=(0.4,), replays=60)
    dana = differentiable(stochastic=stochastic)
    honest = play(Fakes(attack), round_, defense=dana)
    assert honest.fault is None
    assert honest.metrics["wrong_again"] == 1
    knowing = play(Fakes(attack, KnowsReplays), round_, defense=dana)
    assert knowing.fault is not None
    assert (knowing.fault.side, knowing.fault.code) == (Side.DEFENSE, FaultCode.NOT_DETERMINISTIC)
    assert knowing.metrics["wrong_again"] == 1
