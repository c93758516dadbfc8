"""Extraction: Mallory steals Dana's model from its answers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from arena import metrics
from arena.errors import FaultCode, PlayerError, QueryBudgetExceeded, Side, ThreatModelError
from arena.games.extraction import UNIFORM_POINTS, stops_of
from arena.manifest import Manifest
from arena.packages import Package
from arena.players import Surrogate
from arena.rounds import GameName, Goal, RoundSpec, threat_model_for
from arena.seats import Revealed
from arena.threat_model import (
    OracleOutput,
    OutputKind,
    Probes,
    TaskKnowledge,
    ThreatModel,
    TrainingData,
    TrainingDataKind,
)
from arena.verdict import Status, Verdict
from tests.arena.fakes import (
    DefenseSeatFake,
    Fakes,
    Linear,
    View,
    defense_package,
    package,
    play,
    toy_task,
)

Array = NDArray[Any]
Move = Callable[[Mapping[str, Any], Mapping[str, Array], View], bytes]
Q = 40


def zipped(copy: Surrogate) -> bytes:
    return Package.of(dict(copy.files)).to_zip()


def linear(w: Any) -> bytes:
    return zipped(Surrogate.linear(np.asarray(w, np.float32), np.zeros(np.shape(w)[1])))


def exact(brief: Any, arrays: Any, view: View) -> bytes:
    """Dana's own matrix, as if by magic."""
    return linear(np.eye(6, 3))


def constant(brief: Any, arrays: Any, view: View) -> bytes:
    w = np.zeros((6, 3))
    w[:, 1] = 1
    return linear(w)


class Copy:
    """A linear copy as its package says."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        stored = np.load(io.BytesIO(files["weights.npz"]))
        self.w, self.b = stored["w"], stored["b"]

    def predict(self, x: Array, seeds: Array) -> Array:
        return np.asarray(x @ self.w + self.b, np.float32)


@dataclass
class ThiefSeat:
    manifest: Manifest
    move: Move
    cast: Cast
    revealed: Revealed
    seconds: float = 0.0

    def steal(self, brief: Mapping[str, Any], arrays: Mapping[str, Array], service: Any) -> bytes:
        self.cast.handed.append((dict(brief), dict(arrays)))
        return self.move(brief, arrays, View(service, 1))

    def close(self) -> str:
        return "thief\n"


@dataclass
class Cast(Fakes):
    """Mallory's move against Dana's model; a copy is loaded from its own files."""

    move: Move = exact
    load: Callable[[Mapping[str, bytes]], Any] = Copy
    thieves: list[ThiefSeat] = field(default_factory=list)

    def __call__(self, **match: Any) -> Any:
        seats = super().__call__(**match)
        seats.open_attack = self._thief
        if match["defense"].manifest.name.startswith("Stolen"):
            seats.open_defense = lambda: DefenseSeatFake(
                match["defense"].manifest, self.load(match["defense"].files)
            )
        return seats

    def _thief(self, revealed: Revealed) -> ThiefSeat:
        self.thieves.append(ThiefSeat(package("thief").manifest, self.move, self, revealed))
        return self.thieves[-1]


def cast(move: Move = exact, defense: Callable[[], Any] = Linear, **rules: Any) -> Cast:
    return Cast(attack=lambda challenge: challenge.x, defense=defense, move=move, **rules)


def spec(output: OracleOutput | None = None, queries: int = Q, **rules: Any) -> RoundSpec:
    model = replace(ThreatModel.black(), probes=Probes(total=queries))
    if output is not None:
        model = replace(model, output=output)
    return RoundSpec(GameName.EXTRACTION, "toy", model, **{"examples": 60, **rules})


def rob(fakes: Cast, round_: RoundSpec | None = None, **match: Any) -> Verdict:
    dana = match.pop("defense", None) or defense_package()
    return play(fakes, round_ or spec(), attack=package("thief"), defense=dana, **match)


def test_copies_are_asked_for_at_powers_of_two_and_at_the_end() -> None:
    assert stops_of(1) == (1,)
    assert stops_of(8) == (2, 4, 8)
    assert stops_of(650) == (8, 16, 32, 64, 128, 256, 512, 650)
    assert stops_of(2**20)[0] == 2**13


def test_a_perfect_copy_agrees_everywhere() -> None:
    verdict = rob(cast(exact))
    assert verdict.status is Status.SCORED
    assert verdict.metrics["fidelity"] == 1.0
    assert verdict.metrics["uniform_fidelity"] == 1.0
    assert verdict.metrics["uniform_kappa"] == 1.0
    assert verdict.metrics["surrogate_accuracy"] == verdict.metrics["clean_accuracy"] == 1.0
    assert verdict.metrics["queries_to_99"] == stops_of(Q)[0]
    assert verdict.metrics["fidelity_area"] == 1.0


def test_a_constant_copy_agrees_as_often_as_the_class_comes_and_has_no_kappa_to_show() -> None:
    verdict = rob(cast(constant))
    assert verdict.metrics["fidelity"] == pytest.approx(20 / 60)
    assert verdict.metrics["uniform_kappa"] == pytest.approx(0.0, abs=1e-12)
    best, share = (verdict.metrics[name] for name in ("uniform_constant", "uniform_fidelity"))
    assert best is not None
    assert share is not None
    assert best >= share == pytest.approx(1 / 3, abs=3 * (2 / 9 / UNIFORM_POINTS) ** 0.5)
    assert verdict.metrics["queries_to_99"] is None


def test_kappa_is_cohens() -> None:
    """The worked example of Cohen 1960: p_o = .7, p_e = .5."""
    one = np.array([0] * 25 + [1] * 25)
    other = np.array([0] * 20 + [1] * 5 + [0] * 10 + [1] * 15)
    assert metrics.cohens_kappa(one, other) == pytest.approx(0.4)


def test_each_stop_grants_what_is_left_to_it_and_no_probe_more() -> None:
    spent: list[tuple[float, float]] = []

    def greedy(brief: Any, arrays: Any, view: View) -> bytes:
        before = view.probes_left
        with pytest.raises(QueryBudgetExceeded):
            view.ask(np.zeros((int(before) + 1, 6), np.float32), np.zeros(int(before) + 1, int))
        view.ask(np.zeros((int(before), 6), np.float32), np.zeros(int(before), int))
        spent.append((before, view.probes_left))
        return exact(brief, arrays, view)

    verdict = rob(cast(greedy), spec(queries=8))
    assert spent == [(2, 0), (2, 0), (4, 0)]
    assert verdict.provenance["asked"] == [2, 4, 8]
    assert verdict.metrics["queries"] == 8


def test_the_thief_gets_no_judged_example_and_no_uniform_point() -> None:
    data = TrainingData(TrainingDataKind.SAMPLES, samples=20)
    model = replace(ThreatModel.black(), probes=Probes(total=Q), training_data=data)
    fakes = cast(exact)
    rob(fakes, RoundSpec(GameName.EXTRACTION, "toy", model, examples=40))
    assert {len(arrays["training_x"]) for _, arrays in fakes.handed} == {20}
    given = {row.tobytes() for _, arrays in fakes.handed for row in arrays["training_x"]}
    original = fakes.opened[-2]
    judged = {row.tobytes() for batch in original.asked for row in batch}
    assert len(judged) == 40
    assert not given & judged
    assert all(set(arrays) == {"training_x", "training_y"} for _, arrays in fakes.handed)
    assert all(not seat.revealed.package for seat in fakes.thieves)


def test_a_copy_is_told_apart_from_its_accuracy() -> None:
    """Dana errs on a third of the examples; a faithful copy errs on the same ones."""

    class Sloppy(Linear):
        def __init__(self) -> None:
            super().__init__(np.eye(6, 3) * np.array([1, 1, 0]))

    verdict = rob(cast(lambda *a: linear(np.eye(6, 3) * np.array([1, 1, 0])), Sloppy))
    assert verdict.metrics["fidelity"] == 1.0
    assert verdict.metrics["surrogate_accuracy"] == verdict.metrics["clean_accuracy"]
    assert (verdict.metrics["clean_accuracy"] or 1) < 0.8


class Liar(Linear):
    """Answers a process that was asked more than a little with another class."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0

    def predict(self, x: Array, seeds: Array) -> Array:
        self.rows += len(x)
        scores = super().predict(x, seeds)
        return np.roll(scores, 1, axis=1) if 10 < self.rows < 200 else scores


def ask_all(brief: Any, arrays: Any, view: View) -> bytes:
    count = int(view.probes_left)
    view.ask(np.full((count, 6), 0.5, np.float32), np.zeros(count, int))
    return exact(brief, arrays, view)


def test_a_defense_that_lies_to_the_thief_is_seen_through_his_eyes() -> None:
    """It is judged elsewhere; but what he saw is held against the clean floor."""
    verdict = rob(cast(ask_all, Liar))
    assert verdict.metrics["oracle_accuracy"] == 0.0
    honest = rob(cast(ask_all))
    assert honest.metrics["oracle_accuracy"] == honest.metrics["clean_accuracy"] == 1.0


class LiesToThieves(Linear):
    """Knows a thief by his first request, and is honest again when his budget is used up."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0
        self.thief: bool | None = None

    def predict(self, x: Array, seeds: Array) -> Array:
        self.thief = len(x) == 2 if self.thief is None else self.thief
        scores = super().predict(x, seeds)
        lies = self.thief and self.rows < Q
        self.rows += len(x)
        return np.roll(scores, 1, axis=1) if lies else scores


def asks_uniformly(brief: Any, arrays: Any, view: View) -> bytes:
    count = int(view.probes_left)
    points = np.random.default_rng(count).uniform(size=(count, 6)).astype(np.float32)
    view.ask(points, np.zeros(count, int))
    return exact(brief, arrays, view)


def test_what_the_thief_was_told_must_hold_in_a_fresh_process() -> None:
    asks = asks_uniformly
    assert rob(cast(asks)).fault is None
    verdict = rob(cast(asks, LiesToThieves))
    assert verdict.metrics["oracle_accuracy"] == 1.0
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.DEFENSE, FaultCode.NOT_DETERMINISTIC)


def test_rounding_that_makes_classes_equal_costs_the_filtered_oracle_its_accuracy() -> None:
    coarse = OracleOutput(OutputKind.ROUNDED, decimals=0)
    verdict = rob(cast(exact), spec(coarse))
    assert verdict.metrics["clean_accuracy"] == 1.0
    assert (verdict.metrics["oracle_accuracy"] or 1) < 0.5


def not_a_zip(brief: Any, arrays: Any, view: View) -> bytes:
    return b"not a zip"


def with_manifest(**changed: Any) -> Move:
    files = dict(Surrogate.linear(np.eye(6, 3), np.zeros(3)).files)
    lines = files["manifest.toml"].decode()
    for key, value in changed.items():
        lines = f"{key} = {value}\n" + "\n".join(
            line for line in lines.splitlines() if not line.startswith(f"{key} =")
        )
    files["manifest.toml"] = lines.encode()
    return lambda *a: Package.of(files).to_zip()


@pytest.mark.parametrize(
    "bad",
    [
        not_a_zip,
        with_manifest(role='"learner"'),
        with_manifest(stochastic="true"),
        with_manifest(abstains="true"),
        with_manifest(task='"another"'),
    ],
)
def test_a_copy_that_cannot_be_judged_is_the_thiefs_fault_and_the_last_good_one_stands(
    bad: Move,
) -> None:
    def later(brief: Any, arrays: Any, view: View) -> bytes:
        return (exact if brief["queries"] < Q else bad)(brief, arrays, view)

    verdict, never = rob(cast(later)), rob(cast(bad))
    for each in (verdict, never):
        assert each.status is Status.FORFEIT
        assert each.fault is not None
        assert (each.fault.side, each.fault.code) == (Side.ATTACK, FaultCode.BAD_SURROGATE)
    assert verdict.metrics["fidelity"] == 1.0
    assert never.metrics["fidelity"] == 0.0
    assert never.metrics["clean_accuracy"] == never.metrics["oracle_accuracy"] == 1.0


def test_a_copy_that_crashes_agrees_with_nothing_and_is_the_thiefs_fault() -> None:
    class Broken(Copy):
        def predict(self, x: Array, seeds: Array) -> Array:
            raise RuntimeError("nothing here works")

    verdict = rob(cast(exact, load=Broken))
    assert verdict.fault is not None
    assert verdict.fault.side is Side.ATTACK
    assert verdict.metrics["fidelity"] == 0.0
    assert verdict.metrics["clean_accuracy"] == 1.0


def test_a_thief_that_fails_keeps_the_copy_that_he_handed_in() -> None:
    def weary(brief: Any, arrays: Any, view: View) -> bytes:
        if brief["queries"] > 8:
            raise PlayerError(Side.ATTACK, FaultCode.WALL_TIME, "out of time")
        return exact(brief, arrays, view)

    verdict = rob(cast(weary))
    assert verdict.fault is not None
    assert verdict.fault.code is FaultCode.WALL_TIME
    assert verdict.metrics["fidelity"] == 1.0


def test_a_defense_that_fails_while_it_is_probed_has_nothing_to_be_held_to() -> None:
    class Brittle(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            if (x == 0.5).all():
                raise RuntimeError("probed")
            return super().predict(x, seeds)

    verdict = rob(cast(ask_all, Brittle))
    assert verdict.fault is not None
    assert verdict.fault.side is Side.DEFENSE
    assert verdict.metrics["fidelity"] is None
    assert verdict.kills is not None
    assert not verdict.kills.clean_right.any()


def test_an_original_whose_answers_hang_on_other_rows_is_not_trusted() -> None:
    class Herd(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            return super().predict(x, seeds) * (1 + 2 * (len(x) == 1))

    verdict = rob(cast(exact, Herd))
    assert verdict.fault is not None
    assert verdict.fault.code is FaultCode.ROWS_DEPEND


def test_a_stochastic_original_is_judged_by_majority() -> None:
    class Fickle(Linear):
        """One answer in four is another class."""

        def predict(self, x: Array, seeds: Array) -> Array:
            scores = super().predict(x, seeds)
            odd = (np.asarray(seeds, np.uint64) % 4 == 0)[:, None]
            return np.asarray(np.where(odd, np.roll(scores, 1, axis=1), scores), np.float32)

    dana = defense_package(stochastic=True)
    verdict = rob(cast(exact, Fickle), spec(repeats=25), defense=dana)
    assert verdict.metrics["fidelity"] == 1.0
    assert (verdict.metrics["uniform_fidelity"] or 0) < 1.0


def test_the_outcome_has_a_row_per_stop_and_example_and_the_same_match_is_the_same() -> None:
    first, second = rob(cast(constant)), rob(cast(constant))
    assert first.outcome is not None
    assert len(first.outcome) == len(stops_of(Q)) * 60
    assert first.metrics == second.metrics
    assert [point["queries"] for point in first.curve] == list(stops_of(Q))


def test_the_rules_explain_every_metric_and_column() -> None:
    page = (Path(__file__).parents[3] / "docs" / "rules.md").read_text("utf-8")
    explained = set(re.findall(r"`(\w+)`", page))
    verdict = rob(cast(exact))
    assert verdict.outcome is not None
    figures = [verdict.metrics, *verdict.curve]
    names = {re.sub(r"_(low|high)$", "", name) for each in figures for name in each}
    assert names | set(verdict.outcome.columns) <= explained


def test_a_round_grants_probes_in_total_and_leaves_something_to_steal() -> None:
    def round_with(model: ThreatModel, **rules: Any) -> RoundSpec:
        return RoundSpec(GameName.EXTRACTION, "toy", model, **rules)

    black = replace(ThreatModel.black(), probes=Probes(total=Q))
    blind = replace(
        black,
        task_knowledge=TaskKnowledge.NONE,
        training_data=TrainingData(),
        true_label=False,
    )
    for model, words in (
        (ThreatModel.black(), "in total"),
        (ThreatModel.transfer(), "in total"),
        (replace(ThreatModel.white(), probes=Probes(total=Q)), "nothing to steal"),
        (blind, "input space"),
    ):
        with pytest.raises(ThreatModelError, match=words):
            round_with(model)
    with pytest.raises(ThreatModelError, match="untargeted"):
        round_with(black, goal=Goal.TARGETED)
    assert RoundSpec.from_json(spec().to_json()) == spec()


def test_a_preset_counts_its_probes_in_total_for_a_thief_alone() -> None:
    preset = ThreatModel.black(queries=Q)
    assert threat_model_for("extraction", preset).probes == Probes(total=Q)
    assert threat_model_for("evasion", preset) is preset


class LiesToTheJudge(LiesToThieves):
    """Honest to thieves; elsewhere it says of published points what no copy could know."""

    def __init__(self) -> None:
        super().__init__()
        self.published = {row.tobytes() for row in toy_task().practice.x}

    def predict(self, x: Array, seeds: Array) -> Array:
        self.thief = len(x) == 2 if self.thief is None else self.thief
        scores = Linear.predict(self, x, seeds)
        known = np.array([row.tobytes() in self.published for row in x])
        lies = known & (not self.thief)
        return np.where(lies[:, None], np.roll(scores, 1, axis=1), scores)


@pytest.mark.parametrize("stochastic", [False, True])
def test_the_judge_is_told_what_the_thief_saw(stochastic: bool) -> None:
    dana = defense_package(stochastic=stochastic)
    assert rob(cast(asks_uniformly), defense=dana).fault is None
    verdict = rob(cast(asks_uniformly, LiesToTheJudge), defense=dana)
    assert verdict.metrics["oracle_accuracy"] == 1.0
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.DEFENSE, FaultCode.NOT_DETERMINISTIC)


def test_a_label_that_leads_by_a_hair_is_none_to_the_thief_either() -> None:
    """Else a defense that has no answer for a judge would have nothing that could be stolen."""

    class Undecided(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            return 1 + np.float32(1e-6) * super().predict(x, seeds)

    seen = rob(cast(exact, Undecided)).metrics["oracle_accuracy"]
    assert seen is not None
    assert seen <= 0.1  # exact ties, which float32 leaves a few of
