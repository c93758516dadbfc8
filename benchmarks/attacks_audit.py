"""The audit suite beside AutoAttack: ``python -m benchmarks.attacks_audit --autoattack DIR``.

AutoAttack is in no package index: DIR is a checkout of its repository. Same files, the first
practice images, same ε, one process and one thread; robust accuracy is judged here for both.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from arena import house, tasks
from arena.house.attacks.audit_suite import AuditSuite
from arena.players import EvasionChallenge, TaskInfo
from arena.torch_players import TorchDefense
from benchmarks.attacks import Handle, Images
from benchmarks.oracle import bare_model

DEFENSES = (("cnn", 0.05), ("adversarial-training", 0.15))
"""On digits; with ``--task mnist5k`` the radii double."""


class Shown(torch.nn.Module):
    """The defense as a module of torch, as AutoAttack wants it."""

    def __init__(self, defense: TorchDefense) -> None:
        super().__init__()
        self.defense = defense

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.defense.forward(x)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks_audit", description=__doc__)
    parser.add_argument("--autoattack", type=Path, required=True, metavar="DIR", help="a checkout")
    parser.add_argument("--task", default="digits", choices=("digits", "mnist5k"))
    parser.add_argument("--examples", type=int, default=100, help="images (default 100)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(title=f"Robust accuracy and processor time, {options.examples} of {options.task}")
    for column in ("defense", "AutoAttack", "ours", "s", "s, ours", "ratio"):
        table.add_column(column, justify="left" if column == "defense" else "right")
    for name, radius in DEFENSES:
        epsilon = radius * (2 if options.task == "mnist5k" else 1)
        table.add_row(*compared(name, epsilon, options.task, options.examples, options.autoattack))
    Console().print(table)


def compared(name: str, epsilon: float, task_name: str, count: int, checkout: Path) -> list[str]:
    task = tasks.load(task_name)
    info = TaskInfo(task.name, task.shape, task.classes)
    defense = bare_model(house.package(name, task.name), info)
    x, y = task.practice.x[:count], task.practice.y[:count]
    started = time.process_time()
    ours = audited(defense, info, x, y, epsilon)
    middle = time.process_time()
    theirs = autoattack(defense, x, y, epsilon, checkout)
    ended = time.process_time()
    robust = [
        float((defense.predict(candidates).argmax(1) == y).mean()) for candidates in (theirs, ours)
    ]
    seconds = ended - middle, middle - started
    return [
        f"{name}, ε {epsilon:g}",
        *(f"{100 * share:.1f} %" for share in robust),
        *(f"{value:.1f}" for value in seconds),
        f"{seconds[1] / seconds[0]:.2f} x",
    ]


def audited(
    defense: TorchDefense, info: TaskInfo, x: Images, y: np.ndarray, epsilon: float
) -> Images:
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
    return AuditSuite(Path()).attack(challenge)


def autoattack(
    defense: TorchDefense, x: Images, y: np.ndarray, epsilon: float, checkout: Path
) -> Images:
    sys.path.insert(0, str(checkout))
    from autoattack import AutoAttack

    adversary = AutoAttack(
        Shown(defense), norm="Linf", eps=epsilon, version="standard", device="cpu", verbose=False
    )
    found: Images = adversary.run_standard_evaluation(
        torch.tensor(x), torch.tensor(y), bs=len(x)
    ).numpy()
    return found


if __name__ == "__main__":
    main()
