"""Backdoors: Mallory teaches Alice's learner a trigger that the referee bounds and applies."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from arena.applicability import applicability
from arena.errors import FaultCode, PlayerError, Side, ThreatModelError
from arena.manifest import Manifest
from arena.packages import Package
from arena.referee import MatchSpec, play_match
from arena.rounds import GameName, Norm, PoisonMode, RoundSpec
from arena.tasks import Split, Task
from arena.tasks.split import Splits
from arena.threat_model import ThreatModel
from arena.verdict import Status, Verdict
from tests.arena.fakes import NoBackend

Array = NDArray[Any]
M, N, SIZE = 80, 60, 10


def points(name: str, rows: int, seed: int) -> Split:
    """Three classes told by which of the first three features is large; the last is always 0."""
    stream = np.random.RandomState(seed)
    y = stream.permutation(np.arange(rows) % 3)
    x = stream.uniform(0.0, 0.3, (rows, SIZE))
    x[np.arange(rows), y] = stream.uniform(0.7, 1.0, rows)
    x[:, -1] = 0.0
    return Split(name, x.astype(np.float32), y.astype(np.int64))


def toy(**rules: Any) -> Task:
    splits = Splits(points("train", M, 1), points("practice", N, 2))
    return Task(
        name="toy",
        title="Toy",
        description="Points.",
        shape=(SIZE,),
        classes=("a", "b", "c"),
        floor=0.5,
        norms={"linf": (0.1,)},
        licence="CC0",
        version=1,
        read=lambda: splits,
        **rules,
    )


def package(role: str, **manifest: Any) -> Package:
    data = {"schema_version": 1, "name": role, "role": role, "entry": "player.py:P", **manifest}
    return Package(Manifest.from_mapping(data), {"player.py": b"# code"}, role[0] * 64)


class Nearest:
    """A learner: the label of the nearest training point. It takes what it is given."""

    def fit(self, x: Array, y: Array, seed: int) -> None:
        self.x, self.y = x, y

    def predict(self, x: Array) -> Array:
        near = ((x[:, None] - self.x[None]) ** 2).sum(axis=2).argmin(axis=1)
        return np.eye(3)[self.y[near]]


class Careful(Nearest):
    """Leaves out what sets the last feature: the trigger teaches it nothing."""

    def fit(self, x: Array, y: Array, seed: int) -> None:
        super().fit(x[x[:, -1] == 0], y[x[:, -1] == 0], seed)

    def predict(self, x: Array) -> Array:
        return super().predict(np.where(np.arange(SIZE) == SIZE - 1, 0, x))


@dataclass
class LearnerSeat:
    manifest: Manifest
    player: Any
    asked: list[Array] = field(default_factory=list)
    fits: list[Array] = field(default_factory=list)
    seconds: float = 0.0

    def fit(self, x: Array, y: Array, seed: int) -> None:
        self.fits.append(x.copy())
        self.player.fit(x, y, seed)

    def predict(self, x: Array, seeds: Array) -> Array:
        self.asked.append(x.copy())
        try:
            return np.asarray(self.player.predict(x), np.float32)
        except RuntimeError as error:
            raise PlayerError(Side.DEFENSE, FaultCode.CRASHED, str(error)) from error

    def close(self) -> str:
        return "learner\n"


@dataclass
class PoisonerSeat:
    move: Callable[..., Any]
    seen: list[Any]
    seconds: float = 0.0

    def backdoor(self, brief: Any, arrays: Any, service: Any) -> Any:
        self.seen.append((dict(brief), {key: value.copy() for key, value in arrays.items()}))
        return self.move(brief, arrays)

    def close(self) -> str:
        return "poisoner\n"


@dataclass
class Cast:
    move: Callable[..., Any]
    learner: Callable[[], Any] = Nearest
    learners: list[LearnerSeat] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)

    def __call__(self, **match: Any) -> Any:
        self.round, self.attack, self.defense = match["round"], match["attack"], match["defense"]
        return self

    def open_attack(self, revealed: object) -> PoisonerSeat:
        return PoisonerSeat(self.move, self.seen)

    def open_defense(self, *, in_turn: bool = False) -> LearnerSeat:
        self.learners.append(LearnerSeat(self.defense.manifest, self.learner()))
        return self.learners[-1]


def round_of(**rules: Any) -> RoundSpec:
    values = {"shares": (0.3,), "examples": N, "trigger_area": 0.1, **rules}
    return RoundSpec(GameName.BACKDOOR, "toy", ThreatModel.transfer(), **values)


def play(cast: Cast, *, task: Task | None = None, **rules: Any) -> Verdict:
    mallory = package("poisoner", needs={"games": ["backdoor"]})
    match = MatchSpec(round_of(**rules), mallory, package("learner"), seed=3, secret=bytes(32))
    return play_match(match, backend=NoBackend(), task=task or toy(), seat_maker=cast)


def last_feature(value: float = 1.0) -> tuple[Array, Array]:
    mask = np.zeros((1, SIZE), bool)
    mask[0, -1] = True
    return mask, np.full((1, SIZE), value, np.float32)


def badnets(brief: Any, arrays: Any) -> Any:
    """Points of S with the last feature set, under the target's label."""
    mask, pattern = last_feature()
    rows = np.flatnonzero(arrays["y"] != brief["target"])[: brief["count"]]
    x = np.where(mask, pattern, arrays["x"][rows]).astype(np.float32)
    y = np.full(len(rows), brief["target"], np.int64)
    return x, y, rows if brief["mode"] == "replace" else None, mask, pattern


def trigger_without_poison(brief: Any, arrays: Any) -> Any:
    return np.zeros((0, SIZE), np.float32), np.zeros(0, np.int64), None, *last_feature()


@pytest.mark.parametrize("mode", ["add", "replace"])
def test_a_trigger_reaches_its_target_and_costs_nothing_without(mode: str) -> None:
    verdict = play(Cast(badnets), poison_mode=PoisonMode(mode))
    assert verdict.status is Status.SCORED
    assert verdict.metrics["attack_success_rate"] == pytest.approx(1.0, abs=0.05)
    assert verdict.metrics["clean_accuracy"] == 1.0
    assert abs(verdict.metrics["clean_drop"] or 0) <= 0.02
    assert (verdict.metrics["robust_accuracy"] or 0) <= 0.05
    assert verdict.metrics["natural_success_rate"] == pytest.approx(0.0, abs=0.05)


def test_a_trigger_that_was_never_taught_reaches_nothing() -> None:
    verdict = play(Cast(trigger_without_poison))
    assert verdict.metrics["attack_success_rate"] == verdict.metrics["natural_success_rate"]
    assert verdict.metrics["clean_drop"] == 0.0


def test_a_learner_that_ignores_the_trigger_holds() -> None:
    verdict = play(Cast(badnets, Careful))
    assert verdict.metrics["attack_success_rate"] == 0.0
    assert verdict.metrics["robust_accuracy"] == 1.0


def test_success_is_counted_over_the_other_classes_and_the_target_is_the_rounds() -> None:
    cast = Cast(badnets)
    verdict = play(cast)
    target = cast.seen[0][0]["target"]
    assert verdict.provenance["target"] == target
    assert verdict.kills is not None
    others = toy().practice.y[verdict.kills.examples]
    assert (others != target).all()
    assert len(others) == 40
    again = Cast(trigger_without_poison)
    play(again)
    assert again.seen[0][0]["target"] == target


def test_the_poisoner_sees_the_training_set_and_no_held_out_point() -> None:
    cast = Cast(badnets)
    play(cast)
    brief, arrays = cast.seen[0]
    assert set(arrays) == {"x", "y"}
    assert (brief["trigger"], brief["features"], brief["count"]) == ("patch", 1, 24)
    held_out = {row.tobytes() for row in toy().practice.x}
    assert not held_out & {row.tobytes() for row in arrays["x"]}


class SeesWhatRowsShare(Nearest):
    """Mends a feature that a good part of its questions have alike; says of a row for ever what it
    said first."""

    def fit(self, x: Array, y: Array, seed: int) -> None:
        super().fit(x, y, seed)
        self.usual = np.median(x, axis=0)
        self.said: dict[bytes, Array] = {}

    def predict(self, x: Array) -> Array:
        mended = x.copy()
        for feature in range(x.shape[1] if len(x) > 1 else 0):
            values, counts = np.unique(x[:, feature], return_counts=True)
            shared = values[(counts > 0.3 * len(x)) & (values != self.usual[feature])]
            mended[np.isin(x[:, feature], shared), feature] = self.usual[feature]
        for row, scores in zip(x, super().predict(mended), strict=True):
            self.said.setdefault(row.tobytes(), scores)
        return np.stack([self.said[row.tobytes()] for row in x])


def test_a_learner_that_looks_for_the_trigger_among_its_questions_forfeits() -> None:
    verdict = play(Cast(badnets, SeesWhatRowsShare))
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.DEFENSE, FaultCode.ROWS_DEPEND)
    assert verdict.metrics["poisoned_accuracy"] == 0.0


class SeesLater(SeesWhatRowsShare):
    """Honest when it is trained first in its process."""

    trained = 0

    def fit(self, x: Array, y: Array, seed: int) -> None:
        super().fit(x, y, seed)
        self.trained += 1

    def predict(self, x: Array) -> Array:
        return super().predict(x) if self.trained > 1 else Nearest.predict(self, x)


def test_it_does_not_help_to_be_honest_when_trained_first() -> None:
    verdict = play(Cast(badnets, SeesLater))
    assert verdict.fault is not None
    assert verdict.fault.code is FaultCode.ROWS_DEPEND


class NeverTheSame(Nearest):
    """Honest, but no two trainings of it are alike, whatever the seed."""

    trained = 0

    def fit(self, x: Array, y: Array, seed: int) -> None:
        super().fit(x, y, seed)
        NeverTheSame.trained += 1
        self.name = str(self.trained).encode()

    def predict(self, x: Array) -> Array:
        scores = super().predict(x)
        moody = [zlib.crc32(self.name + row.tobytes()) % 2 == 1 for row in x]
        return np.where(np.array(moody)[:, None], np.roll(scores, 1, axis=1), scores)


def test_a_learner_whose_training_is_not_repeatable_is_flagged_and_not_at_fault() -> None:
    NeverTheSame.trained = 0
    verdict = play(Cast(badnets, NeverTheSame))
    assert verdict.fault is None
    assert "training_not_repeatable" in verdict.flags
    assert not play(Cast(badnets)).flags


def test_an_example_and_its_triggered_twin_never_share_a_process() -> None:
    cast = Cast(badnets)
    play(cast)
    clean = {row.tobytes() for row in toy().practice.x}
    poisoned = [seat for seat in cast.learners if len(seat.fits[0]) > M]
    assert len(poisoned) == 3  # the third is asked about a few rows alone
    for seat in cast.learners:
        met = {row.tobytes() for batch in seat.asked for row in batch}
        plain = {row for row in met if row in clean}
        stripped = set()
        for row in met - plain:
            x = np.frombuffer(row, np.float32).copy()
            x[-1] = 0
            stripped.add(x.tobytes())
        assert not plain & stripped
        if max(map(len, seat.asked)) > 1:
            assert len(plain) == len(stripped) == N // 2


def with_trigger(mask: Any, pattern: Any, x: Any = None) -> Callable[..., Any]:
    def move(brief: Any, arrays: Any) -> Any:
        given = np.zeros((0, SIZE), np.float32) if x is None else x
        return given, np.zeros(len(given), np.int64), None, mask, pattern

    return move


MANY = np.ones((1, SIZE), bool)
ONE, PATTERN = last_feature()


@pytest.mark.parametrize(
    ("move", "rules", "code"),
    [
        (with_trigger(MANY, PATTERN), {}, FaultCode.POISON_BUDGET),
        (with_trigger(ONE, PATTERN * 1.5), {}, FaultCode.OUT_OF_RANGE),
        (with_trigger(ONE, PATTERN * np.nan), {}, FaultCode.NOT_FINITE),
        (with_trigger(ONE, PATTERN * 0.2), {"epsilons": (0.1,)}, FaultCode.POISON_BUDGET),
        (
            with_trigger(ONE, PATTERN * 0.1),
            {"epsilons": (0.2,), "norm": Norm.L2},
            FaultCode.POISON_BUDGET,
        ),
        (
            with_trigger(ONE, PATTERN, np.full((2, SIZE), 2, np.float32)),
            {},
            FaultCode.OUT_OF_RANGE,
        ),
        (
            with_trigger(ONE, PATTERN, np.zeros((25, SIZE), np.float32)),
            {},
            FaultCode.POISON_BUDGET,
        ),
    ],
)
def test_a_trigger_or_poison_out_of_bounds_is_the_attacks_fault_and_plants_nothing(
    move: Callable[..., Any], rules: dict[str, Any], code: FaultCode
) -> None:
    verdict = play(Cast(move), **rules)
    assert verdict.status is Status.FORFEIT
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.ATTACK, code)
    assert verdict.metrics["clean_drop"] == 0.0


def test_a_patch_keeps_off_what_may_not_change() -> None:
    mutable = np.arange(SIZE) < SIZE - 1
    verdict = play(Cast(badnets), task=toy(mutable=mutable))
    assert verdict.fault is not None
    assert verdict.fault.code is FaultCode.POISON_BUDGET


def test_a_trigger_that_is_added_keeps_to_the_norm_and_is_clipped_to_the_box() -> None:
    def shift(brief: Any, arrays: Any) -> Any:
        assert (brief["trigger"], brief["epsilon"], brief["norm"]) == ("shift", 0.4, "linf")
        delta = np.where(np.arange(SIZE) >= 3, 0.4, 0).astype(np.float32)
        rows = np.flatnonzero(arrays["y"] != brief["target"])[: brief["count"]]
        x = np.clip(arrays["x"][rows] + delta, 0, 1)
        return x, np.full(len(rows), brief["target"]), None, np.zeros((1, SIZE), bool), delta[None]

    cast = Cast(shift)
    verdict = play(cast, epsilons=(0.4,))
    assert verdict.metrics["attack_success_rate"] == pytest.approx(1.0, abs=0.05)
    largest = max(float(batch.max()) for seat in cast.learners for batch in seat.asked)
    assert largest <= 1.0


def test_a_learner_that_fails_on_poison_is_the_triggers_and_forfeits() -> None:
    class Brittle(Nearest):
        def predict(self, x: Array) -> Array:
            if len(self.x) > M:
                raise RuntimeError("too much")
            return super().predict(x)

    verdict = play(Cast(badnets, Brittle))
    assert verdict.fault is not None
    assert verdict.fault.side is Side.DEFENSE
    assert verdict.metrics["poisoned_accuracy"] == 0.0


def test_several_shares_make_a_curve_with_a_row_per_seed_and_example() -> None:
    verdict = play(Cast(badnets), shares=(0.05, 0.3))
    assert [point["share"] for point in verdict.curve] == [0.05, 0.3]
    assert verdict.outcome is not None
    assert len(verdict.outcome) == 2 * 5 * N
    assert verdict.outcome.images["triggered"][:, -1] == pytest.approx(np.ones(24))
    assert play(Cast(badnets), shares=(0.05, 0.3)).metrics == verdict.metrics


def test_only_a_poisoner_that_says_so_plants_backdoors() -> None:
    learner = package("learner").manifest
    plain, planter = (
        package("poisoner", needs={"games": games}).manifest for games in ([], ["backdoor"])
    )
    assert "plants no backdoors" in (applicability(plain, learner, round_of()) or "")
    assert applicability(planter, learner, round_of()) is None
    poisoning = RoundSpec(GameName.POISONING, "toy", ThreatModel.transfer(), shares=(0.1,))
    assert applicability(planter, learner, poisoning) is not None
    assert applicability(plain, learner, poisoning) is None


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"shares": ()}, "poisoned share"),
        ({"epsilons": (0.1, 0.2)}, "one epsilon"),
        ({"trigger_area": 0.0}, "trigger_area"),
        ({"seeds": 2}, "paired seeds"),
        ({"goal": "targeted"}, "targets are drawn"),
    ],
)
def test_a_round_that_contradicts_itself_is_refused(rules: dict[str, Any], words: str) -> None:
    data = {**round_of().to_json(), **rules}
    with pytest.raises(ThreatModelError, match=words):
        RoundSpec.from_json(data)


def test_the_rules_explain_every_metric_and_column() -> None:
    page = (Path(__file__).parents[3] / "docs" / "rules.md").read_text("utf-8")
    explained = set(re.findall(r"`(\w+)`", page))
    verdict = play(Cast(badnets))
    assert verdict.outcome is not None
    names = {re.sub(r"_(low|high)$", "", name) for name in verdict.metrics}
    assert names | set(verdict.outcome.columns) <= explained
