"""Availability poisoning: Alice's learner against Mallory's points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arena.errors import FaultCode, InGameError, QueryBudgetExceeded, Side, ThreatModelError
from arena.games.poisoning import figures
from arena.rounds import GameName, PoisonMode, RoundSpec
from arena.threat_model import FirstMover, ThreatModel
from arena.verdict import Status
from tests.arena.games.poisoned import Array, Cast, M, Means, package, play, toy


def flip(brief: Any, arrays: Any, service: Any) -> Any:
    """Corner points under the wrong label."""
    count = brief["count"]
    x = np.full((count, 4), 0.5, np.float32)
    x[:, 0] = np.arange(count) % 2
    y = (1 - np.arange(count) % 2).astype(np.int64)
    rows = np.arange(count) if brief["mode"] == "replace" else None
    return x, y, rows


def nothing(brief: Any, arrays: Any, service: Any) -> Any:
    return np.zeros((0, 4), np.float32), np.zeros(0, np.int64), None


def test_poison_raises_the_error_and_nothing_leaves_it() -> None:
    harmless, harmful = play(Cast(nothing)), play(Cast(flip), shares=(0.9,))
    assert harmless.status is harmful.status is Status.SCORED
    assert harmless.metrics["delta_error"] == 0.0
    assert harmless.metrics["clean_error"] == 0.0
    assert harmful.metrics["delta_error"] > 0.3
    assert harmful.metrics["delta_error"] == pytest.approx(
        harmful.metrics["poisoned_error"] - harmful.metrics["clean_error"]
    )


def test_clean_and_poisoned_training_meet_the_same_seeds_in_processes_of_their_own() -> None:
    cast = Cast(flip)
    play(cast, threat_model=ThreatModel.transfer(), shares=(0.1, 0.2))
    assert len(cast.in_company) == 3
    seeds = [[fit[2] for fit in learner.fits] for learner in cast.in_company]
    assert seeds[0] == seeds[1] == seeds[2]
    assert len(set(seeds[0])) == 5
    sizes = [{len(fit[0]) for fit in learner.fits} for learner in cast.in_company]
    assert sizes == [{M}, {M + 6}, {M + 12}]


def test_replaced_points_leave_the_rest_of_the_training_set_as_it_was() -> None:
    cast = Cast(flip)
    play(cast, threat_model=ThreatModel.transfer(), poison_mode=PoisonMode.REPLACE)
    clean, poisoned = (learner.fits[0][0] for learner in cast.in_company)
    assert len(clean) == len(poisoned) == M
    before = {row.tobytes() for row in clean}
    changed = sum(row.tobytes() not in before for row in poisoned)
    assert changed == 12


def test_class_names_are_permuted_for_the_learner_and_undone_for_everyone_else() -> None:
    """Over several matches both namings occur, and the clean error stays nought."""
    train = toy().train
    namings = set()
    for seed in range(8):
        cast = Cast(nothing)
        verdict = play(cast, seed=seed)
        x, y, _ = cast.learners[-1].fits[0]
        where = {row.tobytes(): label for row, label in zip(train.x, train.y, strict=True)}
        namings.add(tuple(where[x[i].tobytes()] == y[i] for i in range(3)))
        assert verdict.metrics["clean_error"] == 0.0
    assert namings == {(True, True, True), (False, False, False)}


def test_a_learner_that_ignores_its_training_set_gains_nothing() -> None:
    class ByHeart:
        """Knows the true rule by heart; half of the matches name the classes the other way."""

        def fit(self, x: Array, y: Array, seed: int) -> None:
            """Ignores S."""

        def predict(self, x: Array) -> Array:
            return np.stack([1 - x[:, 0], x[:, 0]], axis=1)

    errors = {play(Cast(nothing, ByHeart), seed=s).metrics["clean_error"] for s in range(8)}
    assert errors == {0.0, 1.0}


def test_the_poisoner_sees_the_training_set_and_no_held_out_point() -> None:
    cast = Cast(flip)
    play(cast)
    brief, arrays = cast.poisoners[0].seen[0]
    assert set(arrays) == {"x", "y"}
    assert np.array_equal(arrays["x"], toy().train.x)
    assert brief["count"] == 12
    held_out = {row.tobytes() for row in toy().practice.x}
    assert not held_out & {row.tobytes() for row in arrays["x"]}


def test_white_shows_the_learners_code_and_black_does_not() -> None:
    white, black = Cast(nothing), Cast(nothing)
    play(white, threat_model=ThreatModel.white())
    play(black)
    assert white.revealed[0].package
    assert not black.revealed[0].package


def test_probes_are_answered_by_the_model_of_clean_data_and_metered() -> None:
    answers: list[Array] = []

    def probe(brief: Any, arrays: Any, service: Any) -> Any:
        answers.append(service.ask(arrays["x"], np.arange(M)))
        with pytest.raises(QueryBudgetExceeded):
            service.ask(arrays["x"], np.arange(M))
        return nothing(brief, arrays, service)

    verdict = play(Cast(probe), threat_model=ThreatModel.black(queries=1))
    assert verdict.status is Status.SCORED
    assert np.array_equal(answers[0].argmax(axis=1), toy().train.y)
    assert verdict.provenance["queries"] == [M]


def test_a_round_without_probes_answers_nothing() -> None:
    def probe(brief: Any, arrays: Any, service: Any) -> Any:
        with pytest.raises(InGameError):
            service.ask(arrays["x"], np.arange(M))
        return nothing(brief, arrays, service)

    assert play(Cast(probe), threat_model=ThreatModel.transfer()).status is Status.SCORED


def handing(x: Any, y: Any, rows: Any = None) -> Callable[..., Any]:
    return lambda brief, arrays, service: (
        np.asarray(x, np.float32).reshape(-1, 4),
        np.asarray(y, np.int64),
        None if rows is None else np.asarray(rows, np.int64),
    )


@pytest.mark.parametrize(
    ("move", "mode", "code"),
    [
        (handing(np.zeros((13, 4)), np.zeros(13)), "add", FaultCode.POISON_BUDGET),
        (handing(np.zeros((2, 4)), np.zeros(1)), "add", FaultCode.POISON_BUDGET),
        (handing(np.full((1, 4), np.nan), [0]), "add", FaultCode.NOT_FINITE),
        (handing(np.full((1, 4), 1.5), [0]), "add", FaultCode.OUT_OF_RANGE),
        (handing(np.zeros((1, 4)), [2]), "add", FaultCode.OUT_OF_RANGE),
        (handing(np.zeros((1, 4)), [-1]), "add", FaultCode.OUT_OF_RANGE),
        (handing(np.zeros((1, 4)), [0], [3]), "add", FaultCode.POISON_BUDGET),
        (handing(np.zeros((1, 4)), [0]), "replace", FaultCode.POISON_BUDGET),
        (handing(np.zeros((2, 4)), [0, 0], [3, 3]), "replace", FaultCode.POISON_BUDGET),
        (handing(np.zeros((1, 4)), [0], [M]), "replace", FaultCode.OUT_OF_RANGE),
        (handing(np.zeros((1, 4)), [0], [-1]), "replace", FaultCode.OUT_OF_RANGE),
    ],
)
def test_poison_out_of_bounds_is_the_attacks_fault_and_leaves_the_learner_clean(
    move: Callable[..., Any], mode: str, code: FaultCode
) -> None:
    verdict = play(Cast(move), poison_mode=PoisonMode(mode))
    assert verdict.status is Status.FORFEIT
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.ATTACK, code)
    assert verdict.metrics["poisoned_error"] == verdict.metrics["clean_error"] == 0.0


def test_a_learner_that_crashes_on_poison_is_wrong_there_and_forfeits() -> None:
    class Brittle(Means):
        def fit(self, x: Array, y: Array, seed: int) -> None:
            if len(x) > M:
                raise RuntimeError("too many points")
            super().fit(x, y, seed)

    verdict = play(Cast(flip, Brittle))
    assert verdict.status is Status.FORFEIT
    assert verdict.fault is not None
    assert verdict.fault.side is Side.DEFENSE
    assert verdict.metrics["clean_error"] == 0.0
    assert verdict.metrics["poisoned_error"] == 1.0


def test_a_learner_whose_rows_depend_on_one_another_forfeits() -> None:
    class Transductive(Means):
        def predict(self, x: Array) -> Array:
            return super().predict(x) + len(x)

    verdict = play(Cast(nothing, Transductive))
    assert verdict.fault is not None
    assert verdict.fault.code is FaultCode.ROWS_DEPEND


def test_the_outcome_has_a_row_per_share_seed_and_example() -> None:
    verdict = play(Cast(flip), shares=(0.1, 0.2))
    assert verdict.outcome is not None
    assert len(verdict.outcome) == 2 * 5 * 40
    assert [point["share"] for point in verdict.curve] == [0.1, 0.2]


def test_the_same_match_gives_the_same_verdict() -> None:
    first, second = play(Cast(flip)), play(Cast(flip))
    assert first.metrics == second.metrics
    assert first.provenance["poison"] == second.provenance["poison"]


def test_the_interval_of_the_difference_covers_it_and_shrinks_with_more_examples() -> None:
    stream = np.random.RandomState(0)

    def width(n: int) -> float:
        clean = np.zeros((5, n), bool)
        poisoned = stream.uniform(size=(5, n)) < 0.3
        found = figures(clean, poisoned, stream=np.random.RandomState(1))
        low, high = found["delta_error_low"], found["delta_error_high"]
        assert low is not None
        assert high is not None
        assert low <= (found["delta_error"] or 0) <= high
        return high - low

    assert width(2000) < width(100)


# ── the attacker moves first ───────────────────────────────────────────────────────────────

BLIND = ThreatModel(first_mover=FirstMover.ATTACKER)


class Choosing(Means):
    """Keeps what it is told before it is trained."""

    told: dict[str, Any] | None = None

    def choose(self, x: Array, y: Array, *, share: float, mode: str) -> None:
        self.told = {"share": share, "mode": mode, "points": len(x)}


def test_a_learner_that_moves_second_is_told_the_share_before_clean_and_poisoned_training() -> None:
    cast = Cast(flip, Choosing)
    verdict = play(cast, threat_model=BLIND)
    assert verdict.status is Status.SCORED
    told = [learner.player.told for learner in cast.learners]
    assert told == [{"share": 0.2, "mode": "add", "points": m} for m in (M, M + 12, M + 12)]
    for learner in cast.in_company:
        assert [bool(t) for t in learner.told] == [True, False, False, False, False]


def test_a_learner_that_moves_first_is_told_nothing() -> None:
    cast = Cast(flip, Choosing)
    play(cast, threat_model=ThreatModel())
    assert all(told is None for learner in cast.learners for told in learner.told)


def test_an_attacker_who_moves_first_sees_no_learner_and_publishes_one_set_for_all() -> None:
    casts = [Cast(flip) for _ in range(2)]
    for cast, family in zip(casts, ("one", "other"), strict=True):
        play(cast, threat_model=BLIND, learner=package("learner", family=family), seed=len(family))
    seeds = [cast.poisoners[0].seen[0][0]["seed"] for cast in casts]
    assert seeds[0] == seeds[1], "it does not hang on whom he meets"
    shown = casts[0].revealed[0]
    assert not shown.package
    assert not shown.related
    assert shown.family is None
    assert len(casts[0].in_company) == 2, "no learner is trained before he has moved"


@pytest.mark.parametrize(
    "model",
    [ThreatModel.white(), ThreatModel.black(), ThreatModel.grey(), ThreatModel.transfer()],
    ids=["white", "black", "grey", "transfer"],
)
def test_a_round_that_shows_him_a_learner_is_refused(model: ThreatModel) -> None:
    with pytest.raises(ThreatModelError, match="no learner to look at"):
        RoundSpec(
            GameName.POISONING, "toy", replace(model, first_mover=FirstMover.ATTACKER),
            shares=(0.1,),
        )  # fmt: skip


def test_an_attacker_who_moves_first_publishes_one_share() -> None:
    with pytest.raises(ThreatModelError, match="choose one share"):
        RoundSpec(GameName.POISONING, "toy", BLIND, shares=(0.1, 0.2))
    with pytest.raises(ThreatModelError, match="the defender commits first"):
        RoundSpec(GameName.BACKDOOR, "toy", BLIND, shares=(0.1,))


def test_grey_shows_the_family_white_the_code_and_black_neither() -> None:
    learner = package("learner", family="class means")
    for preset, code, family in (
        ("white", True, "class means"),
        ("grey", False, "class means"),
        ("black", False, None),
    ):
        cast = Cast(nothing)
        play(cast, learner=learner, threat_model=ThreatModel.preset(preset))
        shown = cast.revealed[0]
        assert (bool(shown.package), shown.family) == (code, family)
