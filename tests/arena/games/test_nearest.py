"""A round with several ε asks an attack that looks for the smallest perturbation once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from arena import house
from arena.players import EvasionChallenge
from arena.rounds import Norm
from arena.threat_model import Probes, ThreatModel
from arena.verdict import Verdict
from tests.arena.fakes import Array, Fakes, Linear, package, play, spec
from tests.arena.games.test_minimum_norm import towards_the_boundary

LEVELS = (0.05, 0.1, 0.3, 0.6)
ROUND = spec(norm=Norm.L2, epsilons=LEVELS)
NEAREST = package("attack", needs={"nearest": True, "norms": ["l2"]})


def nearest(challenge: EvasionChallenge) -> Array:
    """The closed form for a linear model, cut off where a round gives an ε; it asks on the way."""
    assert challenge.y is not None
    for share in (2.0, 1.5, 1.0):  # nearer and nearer
        moved = towards_the_boundary(challenge, share)
        challenge.defense.gradient(moved, challenge.y)
    if challenge.epsilon is not None:
        far = np.linalg.norm(moved - challenge.x, axis=1) > challenge.epsilon
        moved[far] = challenge.x[far]
    return moved


class Counting(Linear):
    """Notes the rows of every gradient that it is asked for."""

    def __init__(self, rows: list[int]) -> None:
        super().__init__()
        self.rows = rows

    def gradient(self, x: Array, weights: Array, seeds: Array) -> tuple[Array, Array]:
        self.rows.append(len(x))
        return super().gradient(x, weights, seeds)


def robust(verdict: Verdict) -> list[object]:
    return [point["robust_accuracy"] for point in verdict.curve]


def test_it_is_asked_once_without_an_epsilon_and_once_for_each_where_it_does_not_say_so() -> None:
    once, each = Fakes(nearest), Fakes(nearest)
    play(once, ROUND, attack=NEAREST)
    play(each, ROUND)
    assert [brief["epsilon"] for brief, _, _ in once.handed] == [None]
    assert [brief["epsilon"] for brief, _, _ in each.handed] == list(LEVELS)


def test_the_curve_is_that_of_a_run_for_each_epsilon_at_a_quarter_of_the_gradients() -> None:
    asked: list[list[int]] = [[], []]
    once, each = (Fakes(nearest, lambda rows=rows: Counting(rows)) for rows in asked)
    one, several = play(once, ROUND, attack=NEAREST), play(each, ROUND)
    assert robust(one) == robust(several)
    assert len(set(robust(one))) > 2  # a curve, and no line
    assert one.kills is not None
    assert several.kills is not None
    assert (one.kills.broken == several.kills.broken).all()
    assert len(asked[1]) == len(LEVELS) * len(asked[0]) > 0
    assert sum(asked[1]) == len(LEVELS) * sum(asked[0])


def test_what_lies_too_far_is_clean_and_not_rejected() -> None:
    verdict = play(Fakes(nearest), ROUND, attack=NEAREST)
    assert [point["rejected"] for point in verdict.curve] == [0] * len(LEVELS)
    assert verdict.outcome is not None
    columns = verdict.outcome.columns
    assert (columns["l2"] <= columns["epsilon"] + 1e-6).all()
    assert ((columns["l2"] == 0) == ~columns["broken"]).all()


def test_what_breaks_another_rule_is_rejected_at_every_epsilon() -> None:
    def broken(challenge: EvasionChallenge) -> Array:
        return np.full_like(challenge.x, 2.0)

    verdict = play(Fakes(broken), ROUND, attack=NEAREST)
    assert [point["rejected"] for point in verdict.curve] == [30] * len(LEVELS)


def test_the_first_success_within_each_epsilon_is_told() -> None:
    one, several = play(Fakes(nearest), ROUND, attack=NEAREST), play(Fakes(nearest), ROUND)
    assert (_columns(one)["iterations"] == 3).all()
    told = [[point["median_iterations"] for point in verdict.curve] for verdict in (one, several)]
    assert told[0] == told[1]
    assert told[0][-1] is not None


def test_probes_are_granted_once_and_counted_for_every_epsilon() -> None:
    def asks(challenge: EvasionChallenge) -> Array:
        x = nearest(challenge)
        challenge.defense.ask(challenge.x)
        challenge.defense.ask(x)
        return x

    model = replace(ThreatModel.white(), probes=Probes(per_example=2))
    verdict = play(Fakes(asks), spec(model, norm=Norm.L2, epsilons=LEVELS), attack=NEAREST)
    assert verdict.fault is None
    columns = _columns(verdict)
    assert (columns["queries"] == 2).all()
    assert set(columns["queries_to_success"][columns["broken"]]) == {2}
    assert set(columns["queries_to_success"][~columns["broken"] & columns["clean_right"]]) == {-1}


def test_one_epsilon_is_asked_for_as_it_is() -> None:
    fakes = Fakes(nearest)
    play(fakes, spec(norm=Norm.L2, epsilons=(0.3,)), attack=NEAREST)
    assert [brief["epsilon"] for brief, _, _ in fakes.handed] == [0.3]


@pytest.mark.parametrize("name", ["cw-l2", "cw-l0", "cw-linf", "boundary"])
def test_the_house_s_minimum_norm_attacks_say_so(name: str) -> None:
    assert house.manifest(name).needs.nearest


@pytest.mark.parametrize("name", ["pgd", "fgsm", "square", "jsma"])
def test_those_that_fill_a_budget_do_not(name: str) -> None:
    assert not house.manifest(name).needs.nearest


def _columns(verdict: Verdict) -> dict[str, Array]:
    assert verdict.outcome is not None
    return dict(verdict.outcome.columns)
