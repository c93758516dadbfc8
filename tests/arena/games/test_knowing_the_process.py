"""Defenses that remember what they were asked, to guess which inputs were attacked, or by whom.

Each of them answers the same input with the same scores for ever, so that no second look at its
own process finds it out.
"""

from __future__ import annotations

import numpy as np
import pytest

from arena.packages import Package
from arena.rounds import Goal, RoundSpec, TargetRule
from arena.verdict import Verdict
from tests.arena.fakes import Array, Fakes, Linear, defense_package, fgsm, play, spec, toy_task
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
