"""Mallory uploads a net that says "fallen" beside every gradient, and is played like any other."""

from __future__ import annotations

import pytest

from arena import house
from arena.metrics import Metrics
from arena.packages import Package
from arena.rounds import GameName, Limits
from arena.sandbox.backend import SandboxBackend
from arena.threat_model import ThreatModel
from arena.verdict import Status
from tests.arena.cheats import play

pytestmark = [pytest.mark.jail, pytest.mark.slow]
PATIENT = Limits(wall_seconds=200, cpu_seconds=200, query_seconds=20)

LIES = """
import numpy as np
from arena.torch_players import TorchDefense


class Cnn(TorchDefense):
    def gradient(self, x, weights, seeds=None):
        logits, slope = super().gradient(x, weights, seeds)
        return np.roll(logits, 1, axis=1), slope
"""


def attacked(backend: SandboxBackend, attack: str, defense: Package) -> Metrics:
    verdict = play(
        backend, GameName.EVASION, house.package(attack, "digits"), defense,
        threat_model=ThreatModel.white(), epsilons=(0.15,), examples=20,
        attack_limits=PATIENT, defense_limits=PATIENT,
    )  # fmt: skip
    assert verdict.status is Status.SCORED, verdict.fault
    return verdict.metrics


@pytest.mark.parametrize("attack", ["pgd", "audit-suite"])
def test_who_lies_beside_the_gradient_falls_like_the_honest_net(
    backend: SandboxBackend, attack: str
) -> None:
    honest = house.package("cnn", "digits")
    liar = Package.of({**honest.files, "player.py": LIES.encode()})
    plain, lied = (attacked(backend, attack, defense) for defense in (honest, liar))
    assert plain["robust_accuracy"] < plain["clean_accuracy"] == lied["clean_accuracy"]
    assert lied["robust_accuracy"] <= plain["robust_accuracy"] + 0.1  # of 20 examples, two
