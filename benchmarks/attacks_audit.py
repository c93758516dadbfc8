"""The audit suite beside AutoAttack: ``python -m benchmarks.attacks_audit --autoattack DIR``.

AutoAttack is in no package index: DIR is a checkout of its repository. Both get the first practice
examples of a task, in the same batches of 250, on the same net and radius, in one process with one
thread; who begins alternates from batch to batch. Robust accuracy is judged here for both, in
float32, and what counts is processor time. With ``--keep FILE`` a batch that is done is kept there
and not played again, so that the whole can be played in pieces.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
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


SIDES = ("theirs", "ours")


@dataclass(frozen=True)
class Batch:
    """Which examples of a batch stood, and the processor seconds, by who attacked."""

    case: Case
    start: int
    theirs: NDArray[np.bool_]
    ours: NDArray[np.bool_]
    seconds: tuple[float, float]

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        stood = {side: getattr(self, side).astype(int).tolist() for side in SIDES}
        return {"case": astuple(self.case), "start": self.start, "seconds": self.seconds, **stood}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Batch:
        theirs, ours = (np.array(told[side], bool) for side in SIDES)
        return cls(Case(*told["case"]), told["start"], theirs, ours, tuple(told["seconds"]))


class Shown(torch.nn.Module):
    """The defense as a module of torch, as AutoAttack wants it."""

    def __init__(self, defense: TorchDefense) -> None:
        super().__init__()
        self.defense = defense

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.defense.forward(x)


def measure(
    cases: Sequence[Case],
    *,
    examples: int,
    workers: int,
    checkout: Path,
    slack: float,
    keep: Path | None,
    most: int | None,
) -> list[Batch]:
    """Every case in batches, ``workers`` of them at a time; ``most`` that are not in ``keep``."""
    wanted = [
        (case, start, min(BATCH, examples - start))
        for case in cases
        for start in range(0, examples, BATCH)
    ]
    done = {(b.case, b.start, len(b.ours)): b for b in kept(keep, slack)}
    work = [(*part, checkout, {"slack": slack}) for part in wanted if part not in done][:most]
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
        for batch in pool.imap(_compared, work):
            done[batch.case, batch.start, len(batch.ours)] = batch
            if keep:
                with keep.open("a") as lines:
                    lines.write(json.dumps({"slack": slack, **batch.told()}) + "\n")
    return [done[part] for part in wanted if part in done]


def kept(file: Path | None, slack: float) -> list[Batch]:
    """What was played at this slack and written to ``file``."""
    if file is None or not file.exists():
        return []
    told = [json.loads(line) for line in file.read_text().splitlines()]
    return [Batch.of(line) for line in told if line["slack"] == slack]


def _compared(work: tuple[Case, int, int, Path, dict[str, Any]]) -> Batch:
    return compared(*work)


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
    return Batch(case, start, stood[0], stood[1], (seconds[0], seconds[1]))


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
        if not mine:
            continue
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks_audit", description=__doc__)
    parser.add_argument("--autoattack", type=Path, required=True, metavar="DIR", help="a checkout")
    parser.add_argument("--examples", type=int, default=1000, help="of each task (default 1,000)")
    parser.add_argument("--only", metavar="DEFENSE", help="play against this defense alone")
    parser.add_argument("--workers", type=int, default=1, help="processes, of a thread each")
    parser.add_argument("--slack", type=float, default=AuditSuite.slack, help="of the suite")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="of the batches that are done")
    parser.add_argument("--batches", type=int, metavar="N", help="play N at most, now")
    options = parser.parse_args()
    cases = [case for case in CASES if options.only in (None, case.defense)]
    batches = measure(
        cases,
        examples=options.examples,
        workers=options.workers,
        checkout=options.autoattack,
        slack=options.slack,
        keep=options.keep,
        most=options.batches,
    )
    Console(width=140).print(rendered(cases, batches, slack=options.slack))


if __name__ == "__main__":
    main()
