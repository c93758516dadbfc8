"""A small real tournament: honest house defenses show nothing, input discretisation is flagged."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest

from arena import house, tasks
from arena.errors import SandboxUnavailable
from arena.evidence import Attacker, Code, Symptom, Trial, symptoms
from arena.referee import MatchSpec, play_match
from arena.rounds import GameName, Limits, RoundSpec
from arena.sandbox import choose
from arena.threat_model import ThreatModel
from arena.verdict import Status

pytestmark = [pytest.mark.jail, pytest.mark.calibration]
TASK = "mnist5k"
PLAYED = {"white": ("fgsm", "pgd", "random-noise"), "black": ("square",)}
THREATS = {
    "white": ThreatModel.preset("white"),
    "black": ThreatModel.preset("black", queries=200),
}
PATIENT = Limits(wall_seconds=600, cpu_seconds=600, query_seconds=60)


@cache
def shown_by(defense: str) -> tuple[Symptom, ...]:
    trials = [play(preset, name, defense) for preset, names in PLAYED.items() for name in names]
    manifest = house.registry.manifest(defense)
    return tuple(symptoms(manifest, trials, classes=len(tasks.load(TASK).classes)))


def play(preset: str, attack: str, defense: str) -> Trial:
    """Each round draws its own examples, as on the site."""
    try:
        backend = choose(trusted=True)
    except SandboxUnavailable as error:
        pytest.skip(f"needs a sandbox: {error}")
    rules = RoundSpec(
        game=GameName.EVASION,
        task=TASK,
        threat_model=THREATS[preset],
        epsilons=(0.3,),
        examples=60,
        attack_limits=PATIENT,
        defense_limits=PATIENT,
    )
    match = MatchSpec(
        round=rules,
        attack=house.package(attack, TASK),
        defense=house.package(defense, TASK),
        seed=7,
        secret=hashlib.sha256(preset.encode()).digest(),
    )
    verdict = play_match(match, backend=backend, task=tasks.load(TASK))
    assert verdict.status is Status.SCORED, verdict.fault
    assert verdict.kills is not None
    attacker = Attacker(attack, house.registry.manifest(attack), house=True)
    return Trial(preset, rules, attacker, verdict.kills, verdict.metrics, verdict.flags)


@pytest.mark.parametrize("defense", ["cnn", "logistic-regression", "adversarial-training"])
def test_an_honest_defense_shows_nothing(defense: str) -> None:
    assert not shown_by(defense)


def test_input_discretisation_is_flagged() -> None:
    found = {symptom.code: symptom for symptom in shown_by("input-discretisation")}
    assert Code.BLACK_BOX in found
    assert found[Code.BLACK_BOX].figures["attack"] == "square"
    assert found[Code.ZERO].figures["share"] == 1.0
