"""The audit suite beside AutoAttack: ``python -m benchmarks.attacks_audit --autoattack DIR``.

AutoAttack is in no package index: DIR is a checkout of its repository. Both get the first practice
examples of a task, in the same batches of 250, on the same net and radius, in one process with one
thread; who begins alternates from batch to batch. Robust accuracy is judged here for both, in
float32, and what counts is processor time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from arena import house, tasks
from arena.house.attacks import audit_suite
from arena.house.attacks.audit_suite import AuditSuite
from arena.players import EvasionChallenge, TaskInfo
from arena.torch_players import TorchDefense
from benchmarks.attacks import Handle, Images
from benchmarks.oracle import bare_model

BATCH = 250
"""AutoAttack's own batch size."""
WITHOUT_END = 1e6
"""Seconds that the audit may take here, where AutoAttack has no clock either."""


@dataclass(frozen=True)
class Case:
    """A house defense and the radius, in L∞, at which it is audited."""

    kind: str
    task: str
    defense: str
    epsilon: float


CASES = (
    Case("plain", "mnist5k", "cnn", 0.1),
    Case("adversarially trained", "mnist5k", "adversarial-training", 0.3),
    Case("masked gradients", "mnist5k", "input-discretisation", 0.2),
    Case("held out, robust", "fashion5k", "adversarial-training", 0.1),
    Case("held out, masked", "mnist5k", "defensive-distillation", 0.1),
)
"""The rules of the suite were made on the first two; see docs/house.md for what was seen when."""


@dataclass(frozen=True)
class Batch:
    """Which examples of a batch stood, and the processor seconds, by who attacked."""

    case: Case
    theirs: NDArray[np.bool_]
    ours: NDArray[np.bool_]
    seconds: tuple[float, float]


class Shown(torch.nn.Module):
    """The defense as a module of torch, as AutoAttack wants it."""

    def __init__(self, defense: TorchDefense) -> None:
        super().__init__()
        self.defense = defense

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.defense.forward(x)


def measure(
    cases: Sequence[Case], *, examples: int, workers: int, checkout: Path, options: dict[str, Any]
) -> list[Batch]:
    """Every case in batches, ``workers`` of them at a time."""
    work = [
        (case, start, min(BATCH, examples - start), checkout, options)
        for case in cases
        for start in range(0, examples, BATCH)
    ]
    if workers == 1:
        return [compared(*part) for part in work]
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
        return pool.starmap(compared, work, chunksize=1)


def compared(case: Case, start: int, count: int, checkout: Path, options: dict[str, Any]) -> Batch:
    torch.set_num_threads(1)
    task = tasks.load(case.task)
    info = TaskInfo(task.name, task.shape, task.classes)
    defense = bare_model(house.package(case.defense, task.name), info)
    rows = slice(start, start + count)
    x, y = task.practice.x[rows], task.practice.y[rows]
    sides: list[Callable[[], Images]] = [
        lambda: autoattack(defense, x, y, case.epsilon, checkout),
        lambda: audited(defense, info, x, y, case.epsilon, options),
    ]
    stood, seconds = [np.zeros(count, bool)] * 2, [0.0, 0.0]
    for side in (0, 1) if start // BATCH % 2 == 0 else (1, 0):
        started = time.process_time()
        candidates = sides[side]()
        seconds[side] = time.process_time() - started
        inside = np.abs(candidates.astype(np.float64) - x).max((1, 2, 3)) <= case.epsilon + 1e-6
        stood[side] = (defense.predict(candidates).argmax(1) == y) | ~inside
    return Batch(case, stood[0], stood[1], (seconds[0], seconds[1]))


def audited(
    defense: TorchDefense,
    info: TaskInfo,
    x: Images,
    y: NDArray[np.int64],
    epsilon: float,
    options: dict[str, Any],
) -> Images:
    audit_suite.USUAL_SECONDS = WITHOUT_END
    challenge = EvasionChallenge(
        task=info,
        x=x,
        y=y,
        targets=None,
        norm="linf",
        epsilon=epsilon,
        defense=Handle(defense),
        output="logits",
        seed=0,
    )
    return AuditSuite(Path(), options).attack(challenge)


def autoattack(
    defense: TorchDefense, x: Images, y: NDArray[np.int64], epsilon: float, checkout: Path
) -> Images:
    sys.path.insert(0, str(checkout))
    from autoattack import AutoAttack

    adversary = AutoAttack(
        Shown(defense),
        norm="Linf",
        eps=epsilon,
        seed=0,
        version="standard",
        device="cpu",
        verbose=False,
    )
    found: Images = adversary.run_standard_evaluation(
        torch.tensor(x), torch.tensor(y), bs=BATCH
    ).numpy()
    return found


def rendered(cases: Sequence[Case], batches: Sequence[Batch], *, slack: float) -> Table:
    table = Table(title=f"Robust accuracy and processor time beside AutoAttack, slack {slack:g}")
    for column in ("defense", "examples", "AutoAttack", "ours", "differ", "s", "s, ours", "ratio"):
        table.add_column(column, justify="left" if column == "defense" else "right")
    for case in cases:
        mine = [batch for batch in batches if batch.case == case]
        theirs, ours = (np.concatenate([getattr(b, side) for b in mine]) for side in SIDES)
        seconds = [sum(batch.seconds[side] for batch in mine) for side in (0, 1)]
        ratio = statistics.median(batch.seconds[1] / batch.seconds[0] for batch in mine)
        table.add_row(
            f"{case.kind}: {case.defense}, {case.task}, ε {case.epsilon:g}",
            str(len(ours)),
            *(f"{100 * stood.mean():.1f} %" for stood in (theirs, ours)),
            f"{(theirs & ~ours).sum()} / {(ours & ~theirs).sum()}",
            *(f"{value:.1f}" for value in seconds),
            f"{ratio:.2f} x",
        )
    return table


SIDES = ("theirs", "ours")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks_audit", description=__doc__)
    parser.add_argument("--autoattack", type=Path, required=True, metavar="DIR", help="a checkout")
    parser.add_argument("--examples", type=int, default=1000, help="of each task (default 1,000)")
    parser.add_argument("--only", metavar="DEFENSE", help="play against this defense alone")
    parser.add_argument("--workers", type=int, default=1, help="processes, of a thread each")
    parser.add_argument("--slack", type=float, default=AuditSuite.slack, help="of the suite")
    options = parser.parse_args()
    cases = [case for case in CASES if options.only in (None, case.defense)]
    batches = measure(
        cases,
        examples=options.examples,
        workers=options.workers,
        checkout=options.autoattack,
        options={"slack": options.slack},
    )
    Console(width=140).print(rendered(cases, batches, slack=options.slack))


if __name__ == "__main__":
    main()
