"""What the cheats of the games beside evasion share: packages, an honest learner, a small match.

Some cheats break a rule past the library in their own process, which would have refused: they put
other code in the place of the guest's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import dedent, indent
from typing import Any

from arena import tasks
from arena.errors import FaultCode, Side
from arena.packages import Package
from arena.referee import MatchSpec, play_match
from arena.rounds import GameName, Limits, RoundSpec, threat_model_for
from arena.sandbox.backend import SandboxBackend
from arena.threat_model import ThreatModel
from arena.verdict import Status, Verdict

SHORT = Limits(wall_seconds=20, load_seconds=60, query_seconds=20, memory_mib=512)
HURRIED = Limits(wall_seconds=2, load_seconds=60, query_seconds=2, memory_mib=512)
HURRY = {"attack_limits": HURRIED}
HEAD = """
import numpy as np
import arena.players
import arena.sandbox.guest_service as service
from arena.players import *


def past_the_library(*arrays):
    service._points = lambda *args, **options: arrays


class Player(arena.players.{base}):
"""

MEANS = """
    def fit(self, x, y, seed):
        x = x.reshape(len(x), -1)
        self.means = np.stack([x[y == k].mean(axis=0) for k in range(10)])

    def predict(self, x):
        return x.reshape(len(x), -1) @ self.means.T - (self.means ** 2).sum(axis=1) / 2
"""
SUMS = """
    def start(self, seed):
        self.x, self.y = [], []

    def update(self, x, y):
        self.x.append(x)
        self.y.append(y)
        self.fit(np.concatenate(self.x), np.concatenate(self.y), 0)
""" + MEANS.replace(".mean(axis=0) for", ".mean(axis=0) if (y == k).any() else x[0] for")


def player(role: str, base: str, body: str, **needs: Any) -> Package:
    """A guest of one file; ``needs`` are lines of its manifest below [needs]."""
    lines = ["schema_version = 1", f'name = "Mallory {role}"', f'role = "{role}"']
    lines += ['entry = "player.py:Player"', *needs.pop("lines", ())]
    if needs:
        lines += ["[needs]", *(f"{key} = {value!r}" for key, value in needs.items())]
    source = HEAD.format(base=base) + body
    return Package.of({"manifest.toml": "\n".join(lines).encode(), "player.py": source.encode()})


def poisoner(
    method: str, body: str, game: GameName = GameName.POISONING, past: str = ""
) -> Package:
    """``body``: lines of the method, which reads the challenge as ``c``; ``past``: of the class."""
    lines = indent(dedent(body).strip("\n"), " " * 8) + "\n"
    needs = {} if game is GameName.POISONING else {"games": [game.value]}
    return player("poisoner", "Poisoner", f"{past}    def {method}(self, c):\n{lines}", **needs)


def learner(body: str = MEANS) -> Package:
    return player("learner", "Learner", body)


@dataclass(frozen=True)
class Cheat:
    body: str
    code: FaultCode
    rules: Mapping[str, Any] = field(default_factory=dict)
    past: str = ""


def play(
    backend: SandboxBackend, game: GameName, attack: Package, defense: Package, **rules: Any
) -> Verdict:
    task = rules.pop("task", "digits")
    model = rules.pop("threat_model", ThreatModel.transfer())
    values = {"examples": 20, "attack_limits": SHORT, "defense_limits": SHORT, **rules}
    round_ = RoundSpec(game, task, threat_model_for(game, model), **values)
    match = MatchSpec(round_, attack, defense, seed=1, secret=b"s" * 32)
    return play_match(match, backend=backend, task=tasks.load(task))


def blamed(verdict: Verdict) -> tuple[Side, FaultCode]:
    assert verdict.status is Status.FORFEIT, verdict.logs
    assert verdict.fault is not None
    assert verdict.fault.side is not None
    assert verdict.fault.code is not None
    return verdict.fault.side, verdict.fault.code
