"""Targeted poisoning: Mallory wants a few chosen points answered as what they are not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arena.errors import FaultCode, Side, ThreatModelError
from arena.metrics import wilson
from arena.rounds import GameName, Norm, PoisonMode, RoundSpec
from arena.threat_model import ThreatModel
from arena.verdict import Status, Verdict
from tests.arena.games.poisoned import Array, Cast, M, Means, play, toy

GAME = GameName.TARGETED_POISONING


class Nearest:
    """A learner: the label of the nearest training point. One point is enough to fool it."""

    def fit(self, x: Array, y: Array, seed: int) -> None:
        self.x, self.y = x, y

    def predict(self, x: Array) -> Array:
        near = ((x[:, None] - self.x[None]) ** 2).sum(axis=2).argmin(axis=1)
        return np.eye(2)[self.y[near]]


def copies(brief: Any, arrays: Any, service: Any) -> Any:
    """The chosen point itself under the wanted class."""
    count = brief["count"]
    x = np.repeat(arrays["target_x"], count, axis=0)
    rows = np.arange(count) if brief["mode"] == "replace" else None
    return x, np.full(count, brief["target"], np.int64), rows


def nothing(brief: Any, arrays: Any, service: Any) -> Any:
    return np.zeros((0, 4), np.float32), np.zeros(0, np.int64), None


def played(move: Any, learner: Any = Nearest, **rules: Any) -> tuple[Verdict, Cast]:
    cast = Cast(move, learner)
    model = rules.pop("threat_model", ThreatModel.transfer())
    values = {"threat_model": model, "shares": (0.1,), "targets": 4, **rules}
    return play(cast, game=GAME, **values), cast


@pytest.mark.parametrize("mode", ["add", "replace"])
def test_chosen_points_are_won_and_the_others_stay_right(mode: str) -> None:
    verdict, _ = played(copies, poison_mode=PoisonMode(mode))
    assert verdict.status is Status.SCORED
    assert verdict.metrics["attack_success_rate"] == 1.0
    assert verdict.metrics["robust_accuracy"] == 0.0
    assert verdict.metrics["natural_success_rate"] == 0.0
    assert verdict.metrics["clean_accuracy"] == 1.0
    assert abs(verdict.metrics["clean_drop"] or 0) <= 0.02


def test_all_of_four_points_is_told_with_the_interval_of_four() -> None:
    """Every resample of all or nothing is the same: no interval of nought is told."""
    told = played(copies)[0].metrics
    assert told["attack_success_rate"] == 1.0
    assert (told["attack_success_rate_low"], told["attack_success_rate_high"]) == wilson(4, 4)
    assert (told["robust_accuracy_low"], told["robust_accuracy_high"]) == wilson(0, 4)


def test_without_poison_nothing_is_won() -> None:
    verdict, _ = played(nothing)
    assert verdict.metrics["attack_success_rate"] == 0.0
    assert verdict.metrics["clean_drop"] == 0.0


def test_a_learner_that_averages_holds() -> None:
    verdict, _ = played(copies, Means)
    assert verdict.metrics["attack_success_rate"] == 0.0


def test_each_chosen_point_has_a_poison_and_trainings_of_its_own() -> None:
    _, cast = played(copies)
    assert len(cast.in_company) == 1 + 4
    seeds = [[fit[2] for fit in learner.fits] for learner in cast.in_company]
    assert all(each == seeds[0] for each in seeds)
    assert [len(learner.fits[0][0]) for learner in cast.in_company] == [M, *[M + 6] * 4]


def test_the_poisoner_meets_one_chosen_point_at_a_time_and_no_other_held_out_one() -> None:
    verdict, cast = played(copies)
    held_out = {row.tobytes() for row in toy().practice.x}
    met = []
    for brief, arrays in cast.poisoners[0].seen:
        assert set(arrays) == {"x", "y", "target_x"}
        assert brief["target"] != brief["label"]
        assert not held_out & {row.tobytes() for row in arrays["x"]}
        met.append(arrays["target_x"][0].tobytes())
    assert len(set(met)) == 4
    assert set(met) <= held_out
    assert verdict.kills is not None
    chosen = toy().practice.x[verdict.kills.examples]
    assert [row.tobytes() for row in chosen] == met


def test_chosen_points_are_the_rounds_and_the_label_may_be_withheld() -> None:
    _, one = played(nothing)
    blind, other = played(nothing, threat_model=ThreatModel.from_json(
        {**ThreatModel.transfer().to_json(), "true_label": False}
    ), seed=9)  # fmt: skip
    first, second = (cast.poisoners[0].seen for cast in (one, other))
    for (brief, arrays), (other_brief, other_arrays) in zip(first, second, strict=True):
        assert np.array_equal(arrays["target_x"], other_arrays["target_x"])
        assert brief["target"] == other_brief["target"]
        assert other_brief["label"] is None
    assert blind.status is Status.SCORED


def within(size: float, *, label: int = 0, count: int = 1, base: int | None = None) -> Any:
    """Points of S of the class ``label``, moved in the second feature, under label 0."""

    def move(brief: Any, arrays: Any, service: Any) -> Any:
        rows = np.flatnonzero(arrays["y"] == label)[:count]
        x = arrays["x"][rows].copy()
        x[:, 1] += size
        replaced = rows if base is None else np.full(count, base)
        return x, np.zeros(count, np.int64), replaced if brief["mode"] == "replace" else None

    return move


OTHER_BASE = int(np.flatnonzero(toy().train.y == 0)[-1])


@pytest.mark.parametrize(
    ("move", "mode", "held"),
    [
        (within(0.09, count=3), "add", True),
        (within(0.09, count=3), "replace", True),
        (within(0.28, count=3), "replace", False),
        (within(0.0, label=1), "add", False),
        (within(0.0, label=1), "replace", False),
        (within(0.0, base=OTHER_BASE), "replace", False),
    ],
)
def test_clean_label_poison_stays_near_points_of_its_own_label(
    move: Callable[..., Any], mode: str, *, held: bool
) -> None:
    verdict, _ = played(move, poison_mode=PoisonMode(mode), epsilons=(0.1,), norm=Norm.LINF)
    if held:
        assert verdict.status is Status.SCORED
        return
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.ATTACK, FaultCode.POISON_BUDGET)
    assert verdict.metrics["attack_success_rate"] == 0.0


def test_clean_label_poison_leaves_fixed_features_alone() -> None:
    task = toy(mutable=np.array([True, False, True, True]))
    verdict, _ = played(within(0.05), task=task, epsilons=(0.1,))
    assert verdict.fault is not None
    assert verdict.fault.code is FaultCode.POISON_BUDGET


def test_several_shares_make_a_curve_with_a_row_per_point_seed_and_example() -> None:
    verdict, _ = played(copies, shares=(0.05, 0.1))
    assert [point["share"] for point in verdict.curve] == [0.05, 0.1]
    assert verdict.outcome is not None
    assert len(verdict.outcome) == 2 * 4 * 5 * 40
    assert len(verdict.outcome.images["chosen"]) == 4
    assert played(copies, shares=(0.05, 0.1))[0].metrics == verdict.metrics


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"shares": ()}, "poisoned share"),
        ({"epsilons": (0.1, 0.2)}, "one epsilon"),
        ({"targets": 0}, "chosen points"),
        ({"targets": 40}, "targets < examples"),
        ({"seeds": 2}, "paired seeds"),
    ],
)
def test_a_round_that_contradicts_itself_is_refused(rules: dict[str, Any], words: str) -> None:
    plain = RoundSpec(GAME, "toy", ThreatModel.transfer(), shares=(0.1,), examples=40)
    with pytest.raises(ThreatModelError, match=words):
        RoundSpec.from_json({**plain.to_json(), **rules})


def test_the_rules_explain_every_metric_and_column() -> None:
    page = (Path(__file__).parents[3] / "docs" / "rules.md").read_text("utf-8")
    explained = set(re.findall(r"`(\w+)`", page))
    verdict, _ = played(copies)
    assert verdict.outcome is not None
    names = {re.sub(r"_(low|high)$", "", name) for name in verdict.metrics}
    assert names | set(verdict.outcome.columns) <= explained
