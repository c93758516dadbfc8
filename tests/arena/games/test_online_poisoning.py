"""Online poisoning: S comes in batches, and a share of each is Mallory's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arena.errors import FaultCode, Side, ThreatModelError, Withheld
from arena.rounds import GameName, PoisonMode, RoundSpec
from arena.threat_model import ThreatModel, TrainingData, TrainingDataKind
from arena.verdict import Status, Verdict
from tests.arena.games.poisoned import Array, Cast, M, Means, play, toy

GAME, BATCHES, SEEDS = GameName.ONLINE_POISONING, 6, 5


def flip(brief: Any, arrays: Any, service: Any) -> Any:
    """Far points of each class under the other's label."""
    count = brief["count"]
    y = np.arange(count) % 2
    x = np.full((count, 4), 0.5, np.float32)
    x[:, 0] = 1 - y
    rows = np.arange(count) if brief["mode"] == "replace" else None
    return x, y.astype(np.int64), rows


def nothing(brief: Any, arrays: Any, service: Any) -> Any:
    return np.zeros((0, 4), np.float32), np.zeros(0, np.int64), None


def played(move: Any, learner: Any = Means, **rules: Any) -> tuple[Verdict, Cast]:
    cast = Cast(move, learner)
    model = rules.pop("threat_model", ThreatModel())
    values = {"threat_model": model, "shares": (0.3,), "batches": BATCHES, **rules}
    return play(cast, game=GAME, **values), cast


@pytest.mark.parametrize("mode", ["add", "replace"])
def test_poison_raises_the_error_over_time_and_nothing_leaves_it(mode: str) -> None:
    share = {"add": 0.9, "replace": 0.7}[mode]
    harmless, _ = played(nothing, poison_mode=PoisonMode(mode))
    harmful, _ = played(flip, poison_mode=PoisonMode(mode), shares=(share,))
    assert harmless.status is harmful.status is Status.SCORED
    assert harmless.metrics["delta_error_over_time"] == 0.0
    assert (harmful.metrics["delta_error_over_time"] or 0) > 0.3
    assert harmful.metrics["delta_error"] == pytest.approx(
        (harmful.metrics["poisoned_error"] or 0) - (harmful.metrics["clean_error"] or 0)
    )


def test_the_curve_is_over_time_and_its_mean_is_the_headline() -> None:
    verdict, _ = played(flip, shares=(0.9,))
    assert [point["seen"] for point in verdict.curve] == [10, 20, 30, 40, 50, 60]
    heights = [point["poisoned_error"] for point in verdict.curve]
    assert verdict.metrics["poisoned_error_over_time"] == pytest.approx(np.mean(heights))  # type: ignore[arg-type]
    assert verdict.metrics["poisoned_error"] == heights[-1]


def test_the_poisoner_sees_each_batch_before_the_learner_and_none_before_its_time() -> None:
    _, cast = played(flip)
    assert len(cast.poisoners) == SEEDS
    everything = {row.tobytes() for row in toy().train.x}
    for poisoner in cast.poisoners:
        assert [brief["batch"] for brief, _ in poisoner.seen] == list(range(BATCHES))
        rows = [row.tobytes() for _, arrays in poisoner.seen for row in arrays["x"]]
        assert len(rows) == M
        assert set(rows) == everything
        assert not any("training_x" in arrays for _, arrays in poisoner.seen)
    orders = {p.seen[0][1]["x"].tobytes() for p in cast.poisoners}
    assert len(orders) == SEEDS, "every stream has an order of its own"


def test_training_data_is_what_the_threat_model_gives() -> None:
    given = ThreatModel(training_data=TrainingData(TrainingDataKind.FULL_SET))
    for model, told in ((ThreatModel(), False), (given, True)):
        _, cast = played(nothing, threat_model=model)
        assert ("training_x" in cast.poisoners[0].seen[0][1]) is told


def test_he_owns_a_share_of_what_has_come_and_never_more() -> None:
    _, cast = played(flip, shares=(0.05,))
    counts = [brief["count"] for brief, _ in cast.poisoners[0].seen]
    assert np.cumsum(counts).tolist() == [0, 1, 1, 2, 2, 3]


def test_clean_and_poisoned_streams_come_in_the_same_order_to_fresh_learners() -> None:
    _, cast = played(flip)
    assert len(cast.in_company) == 2 * SEEDS, "without probes no learner is asked before judgement"
    everything = {row.tobytes() for row in toy().train.x}
    clean, poisoned = cast.in_company[:SEEDS], cast.in_company[SEEDS:]
    for one, other in zip(clean, poisoned, strict=True):
        assert {fit[2] for fit in one.fits} == {fit[2] for fit in other.fits}
        for (x, _, _), (more, _, _) in zip(one.fits, other.fits, strict=True):
            kept = {row.tobytes() for row in more} & everything
            assert {row.tobytes() for row in x} == kept
            assert len(more) == len(x) + 3


def test_probes_are_answered_by_a_learner_of_this_stream_that_is_never_judged() -> None:
    replies: list[Array] = []

    def probe(brief: Any, arrays: Any, service: Any) -> Any:
        if brief["batch"] == 0:
            with pytest.raises(Withheld):
                service.ask(arrays["x"], np.arange(len(arrays["x"])))
        else:
            replies.append(service.ask(arrays["x"], np.arange(len(arrays["x"]))))
        return flip(brief, arrays, service)

    verdict, cast = played(probe, threat_model=ThreatModel.black(), shares=(0.2,))
    assert verdict.status is Status.SCORED
    assert verdict.provenance["queries"] == [M - M // BATCHES] * SEEDS
    assert len(replies) == SEEDS * (BATCHES - 1)
    held_out = {row.tobytes() for row in toy().practice.x}
    probed = [s for s in cast.learners if not held_out & _asked(s)]
    assert len(probed) == SEEDS
    both = [s for s in cast.learners if _asked(s) & held_out and _asked(s) - held_out]
    assert len(both) == 1, "the one that is asked again what a probed one said"
    assert len(probed[0].fits[0][0]) == 12, "the learner that he probes has met his poison"


def _asked(seat: Any) -> set[bytes]:
    return {row.tobytes() for batch in seat.asked for row in batch}


def test_white_shows_the_code_grey_the_family_and_black_neither() -> None:
    from tests.arena.games.poisoned import package

    learner = package("learner", family="class means")
    for preset, code, family in (
        ("white", True, "class means"),
        ("grey", False, "class means"),
        ("black", False, None),
    ):
        cast = Cast(nothing)
        play(
            cast,
            game=GAME,
            learner=learner,
            batches=BATCHES,
            threat_model=ThreatModel.preset(preset),
        )
        shown = cast.revealed[0]
        assert (bool(shown.package), shown.family) == (code, family)


@pytest.mark.parametrize(
    ("move", "mode", "code"),
    [
        (lambda b, a, s: (a["x"], a["y"], None), "add", FaultCode.POISON_BUDGET),
        (lambda b, a, s: (a["x"][:1] + 2, a["y"][:1], None), "add", FaultCode.OUT_OF_RANGE),
        (
            lambda b, a, s: (a["x"][:1], a["y"][:1], np.array([10])),
            "replace",
            FaultCode.OUT_OF_RANGE,
        ),
    ],
)
def test_poison_out_of_bounds_is_the_attacks_fault_and_ends_his_streams(
    move: Any, mode: str, code: FaultCode
) -> None:
    verdict, cast = played(move, poison_mode=PoisonMode(mode))
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.ATTACK, code)
    assert verdict.metrics["delta_error_over_time"] == 0.0
    assert len(cast.poisoners) == 1


def test_a_learner_that_fails_is_wrong_from_there_on() -> None:
    class Brittle(Means):
        def fit(self, x: Array, y: Array, seed: int) -> None:
            if len(x) > M:
                raise RuntimeError("too many points")
            super().fit(x, y, seed)

    verdict, _ = played(nothing)
    assert verdict.metrics["poisoned_error"] == 0.0
    verdict, _ = played(flip, Brittle, shares=(0.3,))
    assert verdict.fault is not None
    assert verdict.fault.side is Side.DEFENSE
    assert verdict.metrics["poisoned_error"] == 1.0
    assert verdict.curve[0]["poisoned_error"] != 1.0


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"shares": (0.1, 0.2)}, "over time"),
        ({"shares": ()}, "poisoned share"),
        ({"batches": 1}, "2 to 200 batches"),
    ],
)
def test_a_round_that_contradicts_itself_is_refused(rules: dict[str, Any], words: str) -> None:
    plain = RoundSpec(GAME, "toy", ThreatModel.transfer(), shares=(0.1,))
    with pytest.raises(ThreatModelError, match=words):
        RoundSpec.from_json({**plain.to_json(), **rules})


def test_the_rules_explain_every_metric_and_column() -> None:
    page = (Path(__file__).parents[3] / "docs" / "rules.md").read_text("utf-8")
    explained = set(re.findall(r"`(\w+)`", page))
    verdict, _ = played(flip)
    assert verdict.outcome is not None
    assert len(verdict.outcome) == SEEDS * BATCHES * 40
    names = {re.sub(r"_(low|high)$", "", name) for name in verdict.metrics}
    assert names | set(verdict.outcome.columns) | {"seen"} <= explained
