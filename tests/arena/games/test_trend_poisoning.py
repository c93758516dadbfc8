"""Trends: Alice estimates slopes of series, Mallory changes values so that they go away."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from arena.applicability import applicability
from arena.errors import FaultCode, PlayerError, Side, ThreatModelError, Withheld
from arena.house.learners.huber_trend import HuberTrend
from arena.house.learners.ols_trend import OlsTrend
from arena.house.learners.theil_sen_trend import TheilSenTrend
from arena.house.poisoners.few_points import FewPoints
from arena.house.poisoners.level_trend import LevelTrend
from arena.packages import Package
from arena.players import TrendChallenge
from arena.referee import MatchSpec, play_match
from arena.rounds import GameName, Goal, Norm, RoundSpec, threat_model_for
from arena.tasks import Split, Task
from arena.tasks.fitting import misfit
from arena.tasks.split import Splits
from arena.tasks.task import Target
from arena.threat_model import ThreatModel
from arena.verdict import Status, Verdict
from tests.arena.fakes import SECRET, NoBackend, package, toy_task

Array = NDArray[Any]
SERIES, POINTS = 12, 30
T = np.linspace(0, 1, POINTS).astype(np.float32)


def series(stream: np.random.Generator) -> Split:
    """Values about 1/2 with slopes of either sign, and some noise; rows shuffled."""
    slopes = np.where(np.arange(SERIES) % 3, -1, 1) * stream.uniform(0.2, 0.4, SERIES)
    y = 0.5 + slopes[:, None] * (T - 0.5) + stream.normal(0, 0.02, (SERIES, POINTS))
    t, name = np.meshgrid(T, np.arange(SERIES) / SERIES)
    x = np.stack([t.ravel(), name.ravel()], axis=1).astype(np.float32)
    order = stream.permutation(len(x))
    return Split("practice", x[order], y.ravel()[order])


def toy() -> Task:
    split = series(np.random.default_rng(3))
    splits = Splits(split, split)
    return Task(
        name="series", title="Series", description="Lines.", shape=(2,), classes=(), floor=0.5,
        norms={"l2": (0.1,)}, licence="CC0", version=1, target=Target("Level", "m", 0.0, 10.0),
        read=lambda: splits,
    )  # fmt: skip


@dataclass
class LearnerSeat:
    player: Any
    seconds: float = 0.0
    fitted: list[tuple[Array, Array]] = field(default_factory=list)

    def fit(self, x: Array, y: Array, seed: int) -> None:
        self.fitted.append((x.copy(), y.copy()))
        self.player.fit(x, y, seed)

    def predict(self, x: Array, seeds: Array) -> Array:
        try:
            return np.asarray(self.player.predict(x), np.float32)
        except RuntimeError as error:
            raise PlayerError(Side.DEFENSE, FaultCode.CRASHED, str(error)) from error

    def close(self) -> str:
        return ""


@dataclass
class PoisonerSeat:
    move: Callable[[TrendChallenge], Array]
    seen: list[Any]
    seconds: float = 0.0

    def poison(self, brief: Any, arrays: Any, service: Any) -> Any:
        self.seen.append((brief, arrays, service))
        challenge = TrendChallenge(
            task=None, x=arrays["x"], y=arrays["y"], count=brief["count"], mode=brief["mode"],
            defense=service, output=brief["output"], seed=brief["seed"], norm=brief["norm"],
            epsilon=brief["epsilon"],
        )  # type: ignore[arg-type]  # fmt: skip
        try:
            return arrays["x"], self.move(challenge), None
        except RuntimeError as error:
            raise PlayerError(Side.ATTACK, FaultCode.CRASHED, str(error)) from error

    def close(self) -> str:
        return ""


@dataclass
class Cast:
    move: Callable[[TrendChallenge], Array]
    learner: Callable[[], Any]
    learners: list[LearnerSeat] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)

    def __call__(self, **match: Any) -> Any:
        self.round, self.attack, self.defense = match["round"], match["attack"], match["defense"]
        return self

    def open_attack(self, revealed: object) -> PoisonerSeat:
        return PoisonerSeat(self.move, self.seen)

    def open_defense(self, *, in_turn: bool = False) -> LearnerSeat:
        self.learners.append(LearnerSeat(self.learner()))
        return self.learners[-1]


TRENDS = {"games": ["trend_poisoning"]}


def poisoner(**manifest: Any) -> Package:
    return package("poisoner", **{"needs": TRENDS, **manifest})


def learner(**manifest: Any) -> Package:
    return package("learner", **{"needs": TRENDS, **manifest})


def round_of(**rules: Any) -> RoundSpec:
    model = threat_model_for(GameName.TREND_POISONING, ThreatModel.white())
    values = {"norm": Norm.L2, "epsilons": (0.8,), "examples": SERIES, **rules}
    return RoundSpec(GameName.TREND_POISONING, "series", model, **values)


def play(cast: Cast, seed: int = 1, **rules: Any) -> Verdict:
    match = MatchSpec(round_of(**rules), poisoner(), learner(), seed=seed, secret=SECRET)
    return play_match(match, backend=NoBackend(), task=toy(), seat_maker=cast)


def made(kind: Any) -> Callable[[], Any]:
    return lambda: kind(Path(), None)


def house(kind: Any, **options: Any) -> Callable[[TrendChallenge], Array]:
    return lambda challenge: np.asarray(kind(Path(), options).poison_trend(challenge))


def alone(challenge: TrendChallenge) -> Array:
    return challenge.y


def lines(verdict: Verdict) -> dict[str, Array]:
    assert verdict.outcome is not None
    return dict(verdict.outcome.columns)


# ── the closed form ────────────────────────────────────────────────────────────────────────


def norm_of_times() -> float:
    centred = T.astype(np.float64) - T.astype(np.float64).mean()
    return float(np.linalg.norm(centred))


def test_the_smallest_change_in_l2_is_the_slope_times_the_spread_of_time() -> None:
    verdict = play(Cast(house(LevelTrend), made(OlsTrend)))
    assert verdict.status is Status.SCORED, verdict.fault
    found = lines(verdict)
    assert verdict.metrics["trend_kept"] == 0.0
    assert verdict.metrics["slope_left"] == pytest.approx(0, abs=1e-6)
    assert np.abs(found["rise_changed"]).max() < 1e-6
    assert found["l2"] == pytest.approx(np.abs(found["ols_slope"]) * norm_of_times(), abs=1e-6)


def test_a_hair_less_than_that_leaves_a_slope() -> None:
    """A thousandth less of the budget than the least of the distances: every trend is kept."""
    distances = np.abs(lines(play(Cast(alone, made(OlsTrend))))["ols_slope"]) * norm_of_times()
    less = play(Cast(house(LevelTrend), made(OlsTrend)), epsilons=(0.999 * distances.min(),))
    assert less.metrics["trend_kept"] == 1.0
    left = lines(less)["slope_left"]
    assert left.min() == pytest.approx(0.001, abs=1e-5)
    exact = play(Cast(house(LevelTrend), made(OlsTrend)), epsilons=(distances.min() + 1e-6,))
    assert lines(exact)["removed"].sum() == 1


def test_the_smallest_change_in_linf_moves_every_point_alike() -> None:
    verdict = play(Cast(house(LevelTrend), made(OlsTrend)), norm=Norm.LINF, epsilons=(0.3,))
    found = lines(verdict)
    d = T.astype(np.float64) - T.astype(np.float64).mean()
    wanted = np.abs(found["ols_slope"]) * (d @ d) / np.abs(d).sum()
    assert verdict.metrics["trend_kept"] == 0.0
    assert found["linf"] == pytest.approx(wanted, abs=1e-6)


def test_few_points_turn_least_squares_and_no_robust_line() -> None:
    rules = {"norm": Norm.L0, "epsilons": (5.0,)}
    plain = play(Cast(house(FewPoints), made(OlsTrend)), **rules)
    assert plain.metrics["trend_kept"] < 0.3
    assert lines(plain)["l0"].max() <= 5
    for robust in (TheilSenTrend, HuberTrend):
        kept = play(Cast(house(FewPoints), made(robust)), **rules)
        assert kept.metrics["rejected"] == 0
        assert kept.metrics["clean_accuracy"] == 1.0
        assert kept.metrics["trend_kept"] == 1.0


def test_the_change_in_l1_is_what_the_farthest_points_cost() -> None:
    """A point at distance d_max buys most slope, so |b| sum d^2 / d_max is a lower bound."""
    verdict = play(Cast(house(FewPoints), made(OlsTrend)), norm=Norm.L1, epsilons=(9.0,))
    found = lines(verdict)
    d = T.astype(np.float64) - T.astype(np.float64).mean()
    least = np.abs(found["ols_slope"]) * (d @ d) / np.abs(d).max()
    assert verdict.metrics["trend_kept"] == 0.0
    assert (found["l1"] >= least - 1e-9).all()
    assert (found["l1"] <= 1.3 * least).all()


# ── what the referee checks ────────────────────────────────────────────────────────────────


def test_nothing_changed_is_nothing_removed() -> None:
    verdict = play(Cast(alone, made(OlsTrend)))
    assert verdict.metrics["clean_accuracy"] == verdict.metrics["trend_kept"] == 1.0
    assert verdict.metrics["slope_left"] == 1.0
    assert verdict.metrics["median_distance"] is None


def test_a_learner_that_ignores_its_series_tells_half_of_the_trends_by_luck() -> None:
    class Stubborn(OlsTrend):
        def fit(self, x: Array, y: Array, seed: int) -> None:
            self.middle, self.level, self.slope = 0.5, 0.5, -0.3

    told = [
        play(Cast(alone, made(Stubborn)), seed=seed).metrics["clean_accuracy"] for seed in range(6)
    ]
    assert np.mean(told) < 0.7


def test_clean_and_changed_series_are_met_in_processes_of_their_own() -> None:
    cast = Cast(house(LevelTrend), made(OlsTrend))
    play(cast, epsilons=(0.1, 0.8))
    assert [len(seat.fitted) for seat in cast.learners] == [SERIES] * 3
    sets = [
        {np.minimum(y, 1 - y).round(9).tobytes() for _, y in seat.fitted} for seat in cast.learners
    ]
    assert not sets[0] & sets[1]
    assert not sets[1] & sets[2]


@pytest.mark.parametrize(
    "broken",
    [
        lambda y: y + 9.0,
        lambda y: np.where(np.arange(len(y)) == 0, np.nan, y),
        lambda y: 1 - y,
    ],
    ids=["outside", "no number", "too far"],
)
def test_a_change_that_breaks_a_rule_is_rejected_and_its_series_stays(broken: Any) -> None:
    verdict = play(Cast(lambda c: broken(c.y), made(OlsTrend)), epsilons=(0.1,))
    assert verdict.metrics["rejected"] >= 1
    assert (lines(verdict)["l2"] <= 0.1 + 1e-6).all()
    assert verdict.metrics["trend_kept"] == 1.0


def test_one_series_out_of_budget_costs_the_others_nothing() -> None:
    def first_too_far(c: TrendChallenge) -> Array:
        y = house(LevelTrend)(c)
        rows = c.series()[0]
        y[rows] = 1.0
        return y

    verdict = play(Cast(first_too_far, made(OlsTrend)), epsilons=(0.8,))
    assert verdict.metrics["rejected"] == 1
    assert lines(verdict)["removed"].sum() == SERIES - 1


def test_a_wrong_number_of_values_is_the_poisoners_fault() -> None:
    verdict = play(Cast(lambda c: c.y[:-1], made(OlsTrend)))
    assert verdict.status is Status.FORFEIT
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.ATTACK, FaultCode.WRONG_SHAPE)
    assert verdict.metrics["trend_kept"] == 1.0


def test_a_learner_that_fails_tells_nothing_and_forfeits() -> None:
    class Mute(OlsTrend):
        def predict(self, x: Array) -> Array:
            raise RuntimeError("no line here")

    verdict = play(Cast(alone, made(Mute)))
    assert verdict.status is Status.FORFEIT
    assert verdict.fault is not None
    assert verdict.fault.side is Side.DEFENSE
    assert verdict.metrics["clean_accuracy"] == verdict.metrics["trend_kept"] == 0.0
    assert verdict.metrics["slope_left"] == 0.0


def test_there_is_nothing_to_probe() -> None:
    cast = Cast(alone, made(OlsTrend))
    play(cast)
    _, _, service = cast.seen[0]
    with pytest.raises(Withheld):
        service.ask(np.zeros((1, 2), np.float32), np.zeros(1, np.int64))
    with pytest.raises(Withheld):
        service.logits(np.zeros((1, 2), np.float32))


def test_fewer_series_are_drawn_by_the_round_alone() -> None:
    one, two = (play(Cast(alone, made(OlsTrend)), seed=seed, examples=5) for seed in (1, 2))
    assert one.metrics["examples"] == 5
    assert np.array_equal(lines(one)["example"], lines(two)["example"])


# ── who plays, on what ─────────────────────────────────────────────────────────────────────


def test_players_of_trends_say_so_and_meet_nobody_else() -> None:
    round_ = round_of()
    assert applicability(poisoner().manifest, learner().manifest, round_) is None
    plain = package("poisoner").manifest
    assert "removes no trends" in (applicability(plain, learner().manifest, round_) or "")
    other = package("learner").manifest
    assert "estimates no trends" in (applicability(poisoner().manifest, other, round_) or "")
    labels = RoundSpec(GameName.POISONING, "toy", ThreatModel.black(), shares=(0.1,))
    assert "does not play the game poisoning" in (
        applicability(plain, learner().manifest, labels) or ""
    )


def test_games_and_tasks_must_fit() -> None:
    assert misfit(toy(), GameName.TREND_POISONING) is None
    assert misfit(toy_task(), GameName.EVASION) is None
    assert "regression task" in (misfit(toy_task(), GameName.TREND_POISONING) or "")
    assert "values and no classes: it is for rounds of trend poisoning" in (
        misfit(toy(), GameName.MINIMUM_NORM) or ""
    )
    match = MatchSpec(
        RoundSpec(GameName.EVASION, "series", ThreatModel.white(), epsilons=(0.1,)),
        package("attack"), package("defense", needs={}), seed=1, secret=SECRET,
    )  # fmt: skip
    void = play_match(match, backend=NoBackend(), task=toy(), seat_maker=Cast(alone, OlsTrend))
    assert void.status is Status.VOID
    assert void.fault is not None
    assert "values and no classes" in void.fault.sentence


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"epsilons": ()}, "at least one epsilon"),
        ({"goal": Goal.TARGETED}, "untargeted"),
        ({"norm": Norm.L0, "epsilons": (2.5,)}, "whole numbers"),
    ],
)
def test_a_trend_round_that_cannot_be_played_is_refused(rules: Any, sentence: str) -> None:
    with pytest.raises(ThreatModelError, match=sentence):
        round_of(**rules)


def test_a_trend_round_grants_no_probes() -> None:
    with pytest.raises(ThreatModelError, match="grants no probes"):
        RoundSpec(GameName.TREND_POISONING, "series", ThreatModel.black(), epsilons=(0.1,))
    model = threat_model_for(GameName.TREND_POISONING, ThreatModel.grey())
    assert model.probes.none


def test_the_rules_explain_every_metric_and_column() -> None:
    page = (Path(__file__).parents[3] / "docs" / "rules.md").read_text("utf-8")
    explained = set(re.findall(r"`(\w+)`", page))
    verdict = play(Cast(house(LevelTrend), made(OlsTrend)))
    told = {re.sub(r"_(low|high)$", "", name) for name in verdict.metrics}
    assert told | set(lines(verdict)) <= explained
