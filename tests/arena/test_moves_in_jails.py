"""Moves cross the wire: handed in, handed in early, and checked for a probe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from arena import house, tasks
from arena.packages import Package
from arena.referee import MatchSpec, play_match
from arena.rounds import GameName, Norm, RoundSpec
from arena.sandbox import choose
from arena.threat_model import Feedback, ThreatModel

pytestmark = pytest.mark.jail

MANIFEST = b"""
schema_version = 1
name = "Checks its moves"
role = "attack"
entry = "player.py:Player"

[needs]
norms = ["spatial"]
"""
PLAYER = b"""
import numpy as np

from arena.players import EvasionAttack


class Player(EvasionAttack):
    def attack(self, c):
        moves = np.repeat(np.array([[30, 3, 3]], np.float32), len(c), axis=0)
        assert c.applied(moves).shape == c.x.shape
        c.submit(moves)
        fell = c.defense.check(moves)
        assert not c.defense.check(2 * moves).any()
        try:
            c.defense.check(c.x)
        except ValueError:
            return np.where(fell[:, None], moves, 0)
        raise AssertionError("a picture is no move")
"""


def test_moves_are_checked_and_made_by_the_referee() -> None:
    model = replace(ThreatModel.black(queries=5), feedback=Feedback.SUCCESS)
    round_ = RoundSpec(
        GameName.EVASION, "digits", model, norm=Norm.SPATIAL, epsilons=(30.0,), examples=20
    )
    match = MatchSpec(
        round_,
        Package.of({"manifest.toml": MANIFEST, "player.py": PLAYER}),
        house.package("logistic-regression", "digits"),
        seed=1,
        secret=bytes(32),
    )
    verdict = play_match(match, backend=choose(trusted=False), task=tasks.load("digits"))
    assert verdict.fault is None, verdict.logs
    assert verdict.outcome is not None
    columns = verdict.outcome.columns
    assert set(columns["queries"]) == {2}
    assert columns["broken"].any()
    right = columns["clean_right"]
    assert (columns["broken"] == (columns["queries_to_success"] == 1))[right].all()
    moved = {"30.0°, 3.0 px right, 3.0 px down"}
    assert set(columns["move"][columns["broken"]]) == moved
