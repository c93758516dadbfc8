"""What a question costs: referee to defense and back, beside the same call in this process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from arena import house, tasks
from arena.packages import Package
from arena.players import TaskInfo
from arena.rounds import GameName, RoundSpec
from arena.sandbox import choose
from arena.sandbox.guest_loader import load_player
from arena.sandbox.seats import JailSeats
from arena.threat_model import ThreatModel
from arena.torch_players import TorchDefense
from benchmarks.timing import Timed, timed

ROWS = (1, 32, 256, 1000)


def measure(*, runs: int) -> Iterator[tuple[str, Timed, Timed]]:
    """(name, in the jail, in this process) for predictions and gradients of several sizes."""
    task = tasks.load("mnist5k")
    package = house.package("cnn", task.name)
    round_ = RoundSpec(GameName.EVASION, task.name, ThreatModel.white(), epsilons=(0.1,))
    seats = JailSeats(
        round=round_, attack=package, defense=package, task=task, backend=choose(trusted=True)
    )
    bare = bare_model(package, TaskInfo(task.name, task.shape, task.classes))
    with seats.open_defense() as jailed:
        for rows in ROWS:
            x, y = task.practice.x[:rows], task.practice.y[:rows]
            seeds = np.zeros(rows, np.uint64)
            yield (
                f"predict, {rows} rows",
                timed(partial(jailed.predict, x, seeds), runs=runs),
                timed(partial(bare.predict, x), runs=runs),
            )
            yield (
                f"gradient, {rows} rows",
                timed(partial(jailed.gradient, x, y, seeds), runs=runs),
                timed(partial(bare.gradient, x, y), runs=runs),
            )


def bare_model(package: Package, info: TaskInfo) -> TorchDefense:
    """The same model here, with one thread, as in the jail."""
    import torch

    torch.set_num_threads(1)
    with TemporaryDirectory() as scratch:
        for name, content in package.files.items():
            (Path(scratch) / name).write_bytes(content)
        defense: TorchDefense = load_player(Path(scratch), package.manifest, info)
    return defense
