"""Controls hang on the round and the defense alone: asked once, they serve all its matches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arena.controls import asked
from arena.games.control import NOISE, has_controls
from arena.games.controls import Controls
from arena.packages import Package
from arena.referee import MatchSpec, lay_table
from arena.rounds import GameName, RoundSpec
from arena.threat_model import ThreatModel
from arena.verdict import Status, Verdict
from tests.arena.fakes import (
    SECRET,
    Array,
    Fakes,
    Linear,
    NoBackend,
    defense_package,
    fgsm,
    package,
    play,
    spec,
    toy_task,
)

ROUND = spec(ThreatModel.transfer(), game=GameName.TRANSFER, epsilons=(0.05, 0.2))
PROCESSES = 1 + len(ROUND.epsilons)
"""No two inputs of an example share one: its clean one, and one of each size of noise."""
DANA = defense_package(name="Dana's")
EVE = defense_package(name="Eve's")


class Flipping(Linear):
    """Says what only its seed decides, where that is near enough to call."""

    def predict(self, x: Array, seeds: Array) -> Array:
        return super().predict(x, seeds) + np.float32(0.2) * (seeds[:, None] % 3 == np.arange(3))


class Broken(Linear):
    def predict(self, x: Array, seeds: Array) -> Array:
        raise ValueError("oh")


def ask(
    defense: Package = DANA,
    round_: RoundSpec = ROUND,
    *,
    maker: Fakes | None = None,
    secret: bytes = SECRET,
    attack: Package | None = None,
    seed: int = 9,
) -> Controls:
    match = MatchSpec(round_, attack or package("attack"), defense, seed, secret)
    table = lay_table(
        match,
        backend=NoBackend(),
        task=toy_task(),
        progress=lambda step: None,
        maker=maker or fakes(),
    )
    return asked(table)


def fakes(defense: Any = Linear) -> Fakes:
    return Fakes(lambda challenge: np.clip(challenge.x + challenge.epsilon, 0, 1), defense)


def told(verdict: Verdict) -> Any:
    """All of a verdict but its clocks."""
    provenance = {k: v for k, v in verdict.provenance.items() if k not in ("seconds", "elapsed")}
    return {**verdict.to_json(), "provenance": provenance}


@pytest.mark.parametrize("stochastic", [False, True])
def test_the_verdict_does_not_hang_on_whether_the_controls_were_kept(
    tmp_path: Path, stochastic: bool
) -> None:
    model = Flipping if stochastic else Linear
    dana = defense_package(name="Dana's", stochastic=stochastic)
    round_ = replace(ROUND, repeats=3)
    mallory = package("attack", name="Mallory's")
    ask(dana, round_, maker=fakes(model), attack=mallory, seed=2).write(tmp_path / "controls.npz")
    kept = Controls.read(tmp_path / "controls.npz")
    one, other = fakes(model), fakes(model)
    with_it = play(one, round_, defense=dana, controls=kept)
    without = play(other, round_, defense=dana)
    assert told(with_it) == told(without)
    assert 0 < without.metrics["noise_success_rate"] < 1  # type: ignore[operator]
    assert len(one.opened) == len(other.opened) - PROCESSES  # nobody was asked about noise


def test_controls_are_asked_with_no_attack_started() -> None:
    maker = fakes()
    kept = ask(maker=maker)
    assert maker.handed == []
    assert len(maker.opened) == PROCESSES
    assert kept.said[NOISE][0].shape == (60, 1)


def test_controls_of_something_else_are_left_alone() -> None:
    right = ask()
    labels, confidence = right.said[NOISE]
    wrong = 1 - labels.clip(0, 1)  # would change the verdict, were it believed
    forged = replace(right, said={NOISE: (wrong, confidence)})
    usual = told(play(fakes(), ROUND, defense=DANA))
    assert told(play(fakes(), ROUND, defense=DANA, controls=forged)) != usual
    others = {
        "another defense": replace(forged, name=ask(EVE).name),
        "another round": replace(forged, name=ask(round_=replace(ROUND, epsilons=(0.1, 0.2))).name),
        "another secret": replace(forged, name=ask(secret=b"another" * 5).name),
        "fewer levels": replace(forged, said={NOISE: (wrong[:30], confidence[:30])}),
        "another type": replace(forged, said={NOISE: (wrong.astype(np.float64), confidence)}),
        "another purpose": replace(forged, said={"battery": (wrong, confidence)}),
        "a failure": Controls(""),
    }
    for what, kept in others.items():
        maker = fakes()
        assert told(play(maker, ROUND, defense=DANA, controls=kept)) == usual, what
        assert len(maker.opened) == 2 * PROCESSES, what


def test_a_defense_that_fails_is_asked_again_in_every_match() -> None:
    assert ask(maker=fakes(Broken)).name == ""
    verdict = play(fakes(), ROUND, defense=DANA, controls=ask(maker=fakes(Broken)))
    assert verdict.status is Status.SCORED


def test_only_rounds_that_ask_for_controls_keep_them() -> None:
    white, abstains = spec(), defense_package(abstains=True)
    assert has_controls(ROUND, DANA.manifest)
    assert has_controls(white, abstains.manifest)
    assert not has_controls(white, DANA.manifest)
    maker = Fakes(fgsm)
    assert play(maker, white, controls=ask()).status is Status.SCORED
    assert ask(round_=white).said == {}


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 half of one"])
def test_a_file_that_is_none_is_nothing_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "controls.npz").write_bytes(content)
    assert Controls.read(tmp_path / "controls.npz") is None
    np.savez(tmp_path / "controls.npz", name=np.array({"a": 1}, dtype=object))
    assert Controls.read(tmp_path / "controls.npz") is None  # it would have to be unpickled
