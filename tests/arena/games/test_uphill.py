"""Served gradients are tried by answers alone: those of an honest defense lead uphill."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from arena.errors import FaultCode, MatchUsedUp, PlayerError, Side
from arena.players import EvasionChallenge
from arena.rounds import GameName, Norm
from arena.verdict import Status, Verdict
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


class Downhill(Linear):
    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        logits, slope = super().gradient(x, weights, seeds)
        return logits, -slope


class Anywhere(Linear):
    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        logits, slope = super().gradient(x, weights, seeds)
        noise = np.random.default_rng(7).standard_normal(slope.shape)
        return logits, noise.astype(np.float32)


class Flat(Linear):
    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        return self.predict(x, seeds), np.zeros_like(x)


class BySeed(Linear):
    """Draws its weights from the seed of each row: uphill is another way under another seed."""

    def predict(self, x: Array, seeds: Array) -> Array:
        w = np.stack([self._drawn(seed) for seed in seeds])
        return np.asarray(np.einsum("ij,ijk->ik", x, w), np.float32)

    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        found = [Linear(self._drawn(s)).gradient(x[i : i + 1], weights[i : i + 1], seeds[:1])
                 for i, s in enumerate(seeds)]  # fmt: skip
        return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])

    def _drawn(self, seed: Any) -> Array:
        stream = np.random.default_rng(int(seed))
        return stream.standard_normal(self.w.shape).astype(np.float32)


def margins(challenge: EvasionChallenge) -> Array:
    """The best wrong logit less the right one: weights that add up to nothing."""
    rows, y = np.arange(len(challenge)), np.asarray(challenge.y)
    logits = challenge.defense.logits(challenge.x)
    logits[rows, y] = -np.inf
    weights = np.eye(3, dtype=np.float32)[logits.argmax(axis=1)] - np.eye(3, dtype=np.float32)[y]
    _, slope = challenge.defense.logits_and_gradient(challenge.x, weights)
    return challenge.clip(challenge.x + challenge.epsilon * np.sign(slope))


def tried(model: Any, attack: Any = fgsm, *, house: bool = True, **rules: Any) -> Verdict:
    stochastic = rules.pop("stochastic", False)
    round_ = spec(**{"epsilons": (0.05, 0.1), "examples": 40, **rules})
    dana = differentiable(stochastic=stochastic)
    return play(Fakes(attack, model), round_, defense=dana, house_attack=house)


def share(verdict: Verdict) -> float:
    assert verdict.fault is None
    assert (verdict.metrics["slopes"] or 0) >= 20
    return (verdict.metrics["slopes_uphill"] or 0) / (verdict.metrics["slopes"] or 1)


@pytest.mark.parametrize("attack", [fgsm, margins])
@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2, Norm.L1])
def test_honest_gradients_lead_uphill_and_turned_ones_down(attack: Any, norm: Norm) -> None:
    assert share(tried(Linear, attack, norm=norm)) == 1
    assert share(tried(Downhill, attack, norm=norm)) == 0


def test_noise_for_a_gradient_leads_anywhere() -> None:
    assert 0.2 < share(tried(Anywhere)) < 0.8


def test_a_stochastic_defense_is_tried_under_the_seed_that_it_answered_with() -> None:
    assert share(tried(BySeed, stochastic=True, repeats=3)) == 1


def test_gradients_of_zero_are_not_tried() -> None:
    verdict = tried(Flat)
    assert verdict.metrics["zero_gradients"] == 1
    assert "slopes" not in verdict.metrics


def test_gradients_change_no_figure_and_blame_nobody() -> None:
    turned, unwatched = tried(Downhill), tried(Downhill, house=False)
    assert turned.fault is None
    assert turned.flags == ()
    beside = {name: turned.metrics[name] for name in ("slopes", "slopes_uphill")}
    assert turned.metrics == {**unwatched.metrics, **beside}


@pytest.mark.parametrize(
    "rules",
    [{"house": False}, {"norm": Norm.L0, "epsilons": (2.0,)}],
    ids=["of a guest", "single features"],
)
def test_where_nothing_is_tried_no_process_is_started(rules: dict[str, Any]) -> None:
    values = {"epsilons": (0.1,), "examples": 20, **rules}
    house = values.pop("house", True)
    fakes = Fakes(lambda c: [c.defense.gradient(c.x, c.y), c.x][1])
    verdict = play(fakes, spec(**values), defense=differentiable(), house_attack=house)
    assert "slopes" not in verdict.metrics
    assert len(fakes.opened) == 3


def test_a_game_that_is_no_evidence_tries_nothing() -> None:
    assert "slopes" not in tried(Linear, game=GameName.REPLAY, replays=20).metrics
    assert share(tried(Linear, game=GameName.EVASION)) == 1


def test_a_minimum_norm_round_takes_its_step_from_the_task() -> None:
    assert share(tried(Linear, margins_of_any_size, game=GameName.MINIMUM_NORM, epsilons=())) == 1


def margins_of_any_size(challenge: EvasionChallenge) -> Array:
    slope = challenge.defense.gradient(challenge.x, np.asarray(challenge.y))
    return challenge.clip(challenge.x + 0.1 * np.sign(slope))


def test_no_process_meets_two_inputs_of_an_example() -> None:
    def climbing(challenge: EvasionChallenge) -> Array:
        x = challenge.x
        for _ in range(5):
            slope = challenge.defense.gradient(x, np.asarray(challenge.y))
            x = challenge.clip(x + 0.01 * np.sign(slope))
        return x

    fakes = Fakes(climbing)
    verdict = play(fakes, spec(examples=40), defense=differentiable(), house_attack=True)
    assert verdict.metrics["slopes"] == 40
    clean = toy_task().practice.x
    for seat in fakes.opened[3:]:
        met = np.unique(np.concatenate(seat.asked), axis=0)
        owners = Counter(np.abs(clean - row).max(axis=1).argmin() for row in met)
        assert max(owners.values()) == 1
    assert len(fakes.opened) == 5


def test_without_gradients_there_is_nothing_to_try() -> None:
    fakes = Fakes(lambda challenge: challenge.x)
    verdict = play(fakes, spec(), defense=defense_package(), house_attack=True)
    assert "slopes" not in verdict.metrics


def test_a_match_that_is_judged_does_not_end_for_want_of_time_to_try_gradients() -> None:
    class Late(Fakes):
        def __call__(self, **match: Any) -> Any:
            seats = super().__call__(**match)
            opened = seats.open_defense

            def open_defense(*, in_turn: bool = False) -> Any:
                if len(self.opened) == 3:
                    raise MatchUsedUp(PlayerError(Side.ATTACK, FaultCode.WALL_TIME, "too long"))
                return opened(in_turn=in_turn)

            seats.open_defense = open_defense
            return seats

    verdict = play(Late(fgsm), spec(), defense=differentiable(), house_attack=True)
    assert verdict.status is Status.SCORED
    assert "slopes" not in verdict.metrics
