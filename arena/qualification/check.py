"""What every qualification has: the check as it goes, a friendly, and the words for a defense."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena import house
from arena.answers import Answers, Columns
from arena.errors import ArenaError, Side
from arena.games.base import Progress, Step
from arena.manifest import Manifest
from arena.metrics import share_of
from arena.packages import Package
from arena.referee import MatchSpec, play_match
from arena.rounds import USUAL_LEVELS, GameName, Norm, RoundSpec
from arena.sandbox.backend import SandboxBackend
from arena.sandbox.seats import JailSeats
from arena.seats import DefenseSeat
from arena.tasks import Task
from arena.threat_model import ThreatModel
from arena.verdict import Status, Verdict

CLEAN_EXAMPLES: Final = 500
FRIENDLY_EXAMPLES: Final = 20
TOLERANCE: Final = 1e-4
SECRET: Final = b"qualification: no round's secret"
HOUSE_DEFENSE: Final = "logistic-regression"
HOUSE_LEARNER: Final = "logistic-learner"

Array = NDArray[Any]


@dataclass(frozen=True)
class Qualification:
    """What was found. ``figures`` is JSON-able; ``log`` is for the team and organizers."""

    accepted: bool
    sentence: str
    figures: dict[str, Any] = field(default_factory=dict)
    log: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"accepted": self.accepted, "sentence": self.sentence, "figures": self.figures}


class Rejected(ArenaError):
    """The submission cannot be accepted; the message says what to change."""


@dataclass
class Check:
    """One qualification as it goes."""

    package: Package
    task: Task
    backend: SandboxBackend
    progress: Progress
    figures: dict[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    step: int = 0

    def report(self, sentence: str, total: int = 6) -> None:
        self.progress(Step("qualify", min(self.step, total), total, sentence))
        self.step += 1

    @property
    def manifest(self) -> Manifest:
        return self.package.manifest

    def seat(self, package: Package | None = None) -> DefenseSeat:
        """A fresh jail with this defense (or learner), or another package."""
        defense = package or self.package
        spec = RoundSpec(GameName.EVASION, self.task.name, ThreatModel.white(), epsilons=(0.1,))
        return JailSeats(
            round=spec, attack=defense, defense=defense, task=self.task, backend=self.backend
        ).open_defense()

    def examples(self, count: int) -> tuple[Array, Array]:
        """The first ``count`` practice examples in an order that hangs on the task alone."""
        split = self.task.practice
        rows = np.random.RandomState(7).permutation(len(split))[:count]
        return split.x[rows], split.y[rows]

    def read(self, scores: Array, rows: int) -> Answers:
        columns = Columns.of(self.manifest, classes=len(self.task.classes))
        return columns.read(scores, rows=rows)


def clean_accuracy(check: Check, scores: Array, y: Array) -> None:
    """Notes the share of ``y`` (n,) that ``scores`` tell right, and the share abstained."""
    answers = check.read(scores, len(y))
    right = int((answers.labels == y).sum())
    check.figures |= share_of("clean_accuracy", right, len(y))
    check.figures |= {"floor": check.task.floor, "examples": len(y)}
    if check.manifest.abstains:
        check.figures["abstained"] = float((answers.labels < 0).mean())


def differs(one: Array, other: Array) -> bool:
    """Whether two answers to the same question are apart by more than rounding."""
    scale = max(1.0, float(np.abs(other).max(initial=0.0)))
    return bool(np.abs(one - other).max(initial=0.0) > TOLERANCE * scale)


def told_as_defense(check: Check) -> str:
    """The finding's sentence for a defense or learner: its clean accuracy and the floor."""
    accuracy, floor = check.figures["clean_accuracy"], check.task.floor
    if accuracy < floor:
        return (
            f"Qualified, but clean accuracy {accuracy:.1%} is {100 * (floor - accuracy):.1f} "
            f"points below the floor of {floor:.0%}: it will be shown without a rank."
        )
    return f"Qualified with {accuracy:.1%} clean accuracy (floor {floor:.0%})."


# ── friendlies ─────────────────────────────────────────────────────────────────────────────


def friendly(check: Check, round_: RoundSpec, defense: Package, task: Task) -> Verdict:
    """A match of the submission, which attacks, with what its round shows it of the house."""
    related: tuple[Package, ...] = ()
    if check.manifest.needs.related or round_.game is GameName.TRANSFER:
        related = house.related(defense.manifest.family, check.task.name)
    reference = None
    if round_.game is GameName.ATTACKER_FIRST:
        reference = house.package(HOUSE_DEFENSE, check.task.name)
    match = MatchSpec(
        round_,
        check.package,
        defense,
        seed=1,
        secret=SECRET,
        related=related,
        reference=reference,
    )
    return play_match(match, backend=check.backend, task=task, progress=check.progress)


def judged(check: Check, verdict: Verdict) -> Verdict:
    """A forfeit by the submission rejects it; a void is ours."""
    check.log.append(verdict.logs.get(check.manifest.role.side, ""))
    if verdict.status is Status.VOID:
        raise RuntimeError(verdict.fault.sentence if verdict.fault else "The friendly was void.")
    if verdict.fault and verdict.fault.side is Side(check.manifest.role.side):
        check.figures["fault"] = verdict.fault.code.value if verdict.fault.code else None
        raise Rejected(verdict.fault.sentence)
    return verdict


def epsilon_of(task: Task, norm: Norm) -> float:
    """The task's largest epsilon for a norm, or what is usual of the kind."""
    given = task.norms.get(norm.value) or USUAL_LEVELS.get(norm)
    if given:
        return float(max(given))
    features = float(np.prod(task.shape))
    usual: dict[Norm, float] = {
        Norm.LINF: 0.3,
        Norm.L2: 0.1 * features**0.5,
        Norm.L1: 0.02 * features,
        Norm.L0: max(2.0, float(int(0.1 * features))),
    }
    return usual[norm]
