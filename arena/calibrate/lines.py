"""A line of the calibration, the laboratory that plays for it, and how verdicts are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena import house, tasks
from arena.measured import Line
from arena.packages import Package
from arena.referee import MatchSpec, play_match
from arena.rounds import GameName, Limits, RoundSpec
from arena.sandbox import choose
from arena.threat_model import (
    ThreatModel,
)
from arena.verdict import Status, Verdict

TASK: Final = "mnist5k"
SEED: Final = 1
SECRET: Final = b"calibration: which examples, which targets"
FEW: Final = "Trained on the 4,000 images that mnist5k ships; the paper on 60,000."
"""Why a figure of the shipped nets is not the paper's."""
LONG: Final = Limits(wall_seconds=900.0, cpu_seconds=900.0)

TRANSFER: Final[dict[str, Any]] = {
    "game": GameName.TRANSFER,
    "threat_model": ThreatModel.transfer(),
}

__all__ = ["BarError", "Laboratory", "Line"]

Bools = NDArray[np.bool_]


class BarError(Exception):
    """A match of the calibration ended without a score."""


@dataclass
class Laboratory:
    """Plays matches and keeps what was played: several lines read the same match."""

    examples: int
    played: dict[str, Verdict] = field(default_factory=dict)
    say: Callable[[str], None] = print

    def play(
        self,
        attack: str | Package,
        defense: str | Package,
        *,
        task: str = TASK,
        **round_fields: Any,
    ) -> Verdict:
        """The verdict; several epsilons make a curve."""
        fields: dict[str, Any] = {
            "game": GameName.EVASION,
            "threat_model": ThreatModel.white(),
            "examples": self.examples,
        }
        fields |= round_fields
        spec = RoundSpec(task=task, attack_limits=LONG, defense_limits=LONG, **fields)
        one, other = (
            house.package(player, task) if isinstance(player, str) else player
            for player in (attack, defense)
        )
        key = json.dumps([one.sha256, other.sha256, spec.to_json()], sort_keys=True)
        if key not in self.played:
            self.played[key] = self._play(one, other, spec)
        return self.played[key]

    def _play(self, attack: Package, defense: Package, spec: RoundSpec) -> Verdict:
        self.say(f"  {attack.manifest.name} against {defense.manifest.name} ({spec.game.value})")
        match = MatchSpec(
            round=spec,
            attack=attack,
            defense=defense,
            seed=SEED,
            secret=SECRET,
            related=house.related(defense.manifest.family, spec.task),
            reference=house.package("cnn", spec.task)
            if spec.game is GameName.ATTACKER_FIRST
            else None,
        )
        backend = choose(trusted=True)
        verdict = play_match(match, backend=backend, task=tasks.load(spec.task))
        if verdict.status is not Status.SCORED:
            sentence = verdict.fault.sentence if verdict.fault else verdict.status.value
            raise BarError(f"{attack.manifest.name}: {sentence}")
        return verdict

    def setting(self, defense: str, *, task: str = TASK, more: str = "") -> str:
        digest = house.package(defense, task).sha256[:12]
        extra = f", {more}" if more else ""
        return f"{defense}-{task} {digest}, {self.examples} examples, seed {SEED}{extra}"


# ── reading verdicts ───────────────────────────────────────────────────────────────────────────


def at(verdict: Verdict, epsilon: float) -> Mapping[str, Any]:
    """The metrics at one radius of the curve."""
    rows = [row for row in verdict.curve if abs(figure(row, "epsilon") - epsilon) < 1e-9]
    (row,) = rows
    return row


def figure(metrics: Mapping[str, Any], name: str) -> float:
    """A metric that a scored match always has; 0 where it is none, such as no mistake to repeat."""
    return float(metrics[name] or 0.0)


def interval(metrics: Mapping[str, Any], name: str) -> tuple[float, float]:
    return figure(metrics, f"{name}_low"), figure(metrics, f"{name}_high")


def broken(verdict: Verdict, row: int = -1) -> Bools:
    """(n,) which examples this attack broke, at the row-th radius."""
    assert verdict.kills is not None
    bits: Bools = verdict.kills.broken[row]
    return bits


def won_sizes(verdict: Verdict, norm: str) -> NDArray[np.float64]:
    """Sizes of the perturbations that succeeded on examples that were right."""
    assert verdict.outcome is not None
    columns = verdict.outcome.columns
    chosen = columns["broken"] & columns["clean_right"]
    return np.asarray(columns[norm][chosen], np.float64)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"
