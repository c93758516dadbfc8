"""The referee blames the right side, and himself where it is his fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arena.errors import FaultCode, PlayerError, RefereeError, SandboxUnavailable, Side
from arena.games.base import Examples, Step
from arena.referee import MatchSpec, judged_examples, play_match
from arena.rounds import SplitName
from arena.threat_model import ThreatModel
from arena.verdict import Outcome, Status, Verdict
from tests.arena.fakes import (
    SECRET,
    Array,
    Fakes,
    FakeSeats,
    Linear,
    NoBackend,
    defense_package,
    differentiable,
    fgsm,
    leave_alone,
    package,
    play,
    spec,
    toy_task,
)


class Broken(Fakes):
    """Seats that fail with ``error`` when a side is opened."""

    error: Exception
    side: Side

    def __call__(self, **match: Any) -> FakeSeats:
        seats = super().__call__(**match)

        def fail(*_: object, **__: object) -> Any:
            raise self.error

        name = "open_attack" if self.side is Side.ATTACK else "open_defense"
        setattr(seats, name, fail)
        return seats


def broken(error: Exception, side: Side = Side.ATTACK) -> Fakes:
    fakes = Broken(fgsm)
    fakes.error, fakes.side = error, side
    return fakes


@pytest.mark.parametrize(
    "error", [RefereeError("disk full"), SandboxUnavailable("no walls"), KeyError("bug")]
)
def test_whatever_is_not_a_players_fault_voids_the_match(error: Exception) -> None:
    verdict = play(broken(error))
    assert verdict.status is Status.VOID
    assert verdict.fault is not None
    assert verdict.fault.side is None
    assert verdict.kills is None
    assert verdict.metrics == {}


def test_an_attack_that_does_not_load_leaves_every_example_clean() -> None:
    error = PlayerError(Side.ATTACK, FaultCode.LOAD_FAILED, "ImportError")
    verdict = play(broken(error))
    assert verdict.status is Status.FORFEIT
    assert verdict.fault is not None
    assert verdict.fault.side is Side.ATTACK
    assert verdict.metrics["robust_accuracy"] == 1.0
    assert verdict.kills is not None
    assert not verdict.kills.broken.any()


def test_a_defense_that_does_not_load_is_wrong_everywhere() -> None:
    error = PlayerError(Side.DEFENSE, FaultCode.LOAD_FAILED, "ImportError")
    verdict = play(broken(error, Side.DEFENSE))
    assert verdict.status is Status.FORFEIT
    assert verdict.fault is not None
    assert verdict.fault.side is Side.DEFENSE
    assert verdict.metrics["robust_accuracy"] == 0.0
    assert verdict.metrics["attack_success_rate"] is None


def test_where_both_sides_fail_the_first_is_named_and_the_other_flagged() -> None:
    class Nan(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            return super().predict(x, seeds) * float("nan")

    def crash(challenge: object) -> Array:
        raise ValueError("oops")

    verdict = play(Fakes(crash, Nan))
    assert verdict.fault is not None
    assert verdict.fault.side is Side.ATTACK
    assert "also_defense_not_finite" in verdict.flags


def test_the_wrong_task_is_our_fault() -> None:
    verdict = play(Fakes(fgsm), task=toy_task(name="other"))
    assert verdict.status is Status.VOID


def test_an_interrupt_is_not_swallowed() -> None:
    def stop(challenge: object) -> Array:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(Fakes(stop))


def test_provenance_says_what_made_the_verdict() -> None:
    alice, dana = package("attack"), differentiable()
    facts = play(Fakes(fgsm), attack=alice, defense=dana, seed=9).provenance
    assert facts["attack_sha256"] == alice.sha256
    assert facts["defense_sha256"] == dana.sha256
    assert facts["task_digest"] == toy_task().digest
    assert facts["seed"] == 9
    assert facts["backend"] == "none"
    assert {"python", "numpy", "torch"} <= set(facts["versions"])
    assert set(facts["seconds"]) == {"attack", "defense"}
    assert SECRET.hex() not in json.dumps(dict(facts))


def test_both_sides_logs_are_kept_apart() -> None:
    logs = play(Fakes(fgsm)).logs
    assert logs["attack"] == "attack was here\n"
    assert set(logs["defense"].splitlines()) == {"defense was here"}


def test_progress_is_told_in_order() -> None:
    steps: list[Step] = []
    match = MatchSpec(spec(), package("attack"), differentiable(), seed=1, secret=SECRET)
    play_match(
        match, backend=NoBackend(), task=toy_task(), progress=steps.append, seat_maker=Fakes(fgsm)
    )
    stages = [step.stage for step in steps]
    assert stages == sorted(stages, key=["load", "attack", "judge"].index)
    assert {"load", "judge"} <= set(stages)
    assert all(step.sentence.endswith(".") for step in steps)


def test_a_final_round_is_judged_on_the_split_of_the_secret() -> None:
    task = toy_task()
    verdict = play(Fakes(leave_alone), spec(split=SplitName.FINAL), task=task)
    assert verdict.kills is not None
    final = task.final(SECRET)
    clean = verdict.outcome.images["clean"]  # type: ignore[union-attr]
    assert (clean == final.x[verdict.kills.examples]).all()


def test_a_verdict_survives_its_files(tmp_path: Path) -> None:
    verdict = play(Fakes(fgsm), spec(epsilons=(0.05, 0.1)))
    verdict.write(tmp_path)
    read = Verdict.from_json(json.loads((tmp_path / "verdict.json").read_text()))
    assert read.to_json() == verdict.to_json()
    outcome = Outcome.read(tmp_path / "outcome.parquet")
    assert outcome.kind == "evasion"
    assert set(outcome.columns) == set(verdict.outcome.columns)  # type: ignore[union-attr]
    assert (outcome.columns["broken"] == verdict.outcome.columns["broken"]).all()  # type: ignore[union-attr]


def test_a_match_that_never_reaches_the_defense_still_measures_it() -> None:
    """A crash of Alice costs Dana nothing: her figures are those of the clean examples."""

    def crash(challenge: object) -> Array:
        raise ValueError("oops")

    dana = defense_package()
    black = spec(ThreatModel.black())
    with_crash = play(Fakes(crash), black, defense=dana)
    without = play(Fakes(leave_alone), black, defense=dana)
    for name in ("clean_accuracy", "robust_accuracy", "attack_success_rate"):
        assert with_crash.metrics[name] == without.metrics[name]


@pytest.mark.parametrize("split", list(SplitName))
def test_rounds_of_one_tournament_judge_the_same_images(split: SplitName) -> None:
    """A kill in one round counts on another's board, by the index of the example."""

    def judged(secret: bytes, examples: int) -> Examples:
        match = MatchSpec(
            spec(split=split, examples=examples),
            package("attack"),
            differentiable(),
            seed=1,
            secret=secret,
            split_secret=SECRET,
        )
        return judged_examples(match, toy_task())

    one, other, fewer = judged(b"one", 30), judged(b"other", 30), judged(b"other", 12)
    assert np.array_equal(one.index, other.index)
    assert np.array_equal(one.x, other.x)
    assert set(fewer.index) < set(one.index)
