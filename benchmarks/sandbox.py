"""``make bench-sandbox``: what the jail costs, beside the same work in one process.

Everything goes the way that a worker's matches go: a keeper, a jailed referee, forked players, a
finding on disk. Least is the limit of the machine, the rest is what else it had to do.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from arena import house, tasks
from arena.errors import Side
from arena.keeper import Keeper
from arena.manifest import Framework
from arena.packages import Package
from arena.players import TaskInfo
from arena.rounds import GameName, RoundSpec
from arena.sandbox.seats import JailSeats
from arena.sandbox.zygote import ZygoteBackend, ZygoteJail
from arena.threat_model import OracleOutput, OutputKind, ThreatModel
from benchmarks.oracle import bare_model
from benchmarks.timing import Timed, timed

TASK = "mnist5k"
EPSILON = 0.1
STEPS = 40
EXAMPLES = 1000
QUERIES = 20_000
ROWS = (1, 32, 256)

FORGETFUL = """
import numpy as np
from arena.players import Defense

class Player(Defense):
    def predict(self, x):
        scores = np.zeros((len(x), 10), np.float32)
        scores[:, 0] = 1
        return scores
"""
IDLE = """
from arena.players import EvasionAttack

class Player(EvasionAttack):
    def attack(self, challenge):
        return challenge.x
"""
CURIOUS = """
import time
import numpy as np
from arena.players import EvasionAttack

class Player(EvasionAttack):
    def attack(self, challenge):
        x = challenge.x
        for rows in {rows}:
            some, numbers = x[:rows], np.arange(rows)
            spent = []
            for _ in range({times}):
                began = time.perf_counter()
                challenge.defense.ask(some, numbers)
                spent.append(time.perf_counter() - began)
            print(rows, *np.quantile(spent, [0, 0.5, 0.95]))
        return x
"""
SINGLE = """
import time
import numpy as np
from arena.players import EvasionAttack

class Player(EvasionAttack):
    def attack(self, challenge):
        x, ask = challenge.x, challenge.defense.ask
        began = time.perf_counter()
        for n in range({queries}):
            row = n % len(x)
            ask(x[row : row + 1], np.array([row]))
        print(time.perf_counter() - began)
        return x
"""
LOADED = """
import importlib.util
import numpy as np
import safetensors.torch
import torch
from arena.players import EvasionAttack

class Player(EvasionAttack):
    def attack(self, challenge):
        path = challenge.package / "architecture.py"
        spec = importlib.util.spec_from_file_location("opponent", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        model = module.build().eval().requires_grad_(False)
        weights = challenge.package / "weights.safetensors"
        model.load_state_dict(safetensors.torch.load_file(weights))
        x, y = torch.tensor(challenge.x), torch.tensor(challenge.y)
        moved = x.clone()
        for _ in range({steps}):
            slopes = []
            for rows in range(0, len(x), 256):
                some = moved[rows : rows + 256].requires_grad_()
                loss = torch.nn.functional.cross_entropy(
                    model(some), y[rows : rows + 256], reduction="sum")
                slopes.append(torch.autograd.grad(loss, some)[0])
            moved = moved.detach() + challenge.epsilon / 10 * torch.cat(slopes).sign()
            moved = torch.clamp(torch.clamp(
                moved, x - challenge.epsilon, x + challenge.epsilon), 0, 1)
        return moved.numpy()
"""
SERVED = """
import torch
from arena.players import EvasionAttack

class Player(EvasionAttack):
    def attack(self, challenge):
        x = torch.tensor(challenge.x)
        moved = x.clone()
        for _ in range({steps}):
            slope = torch.from_numpy(challenge.defense.gradient(moved.numpy(), challenge.y))
            moved = moved + challenge.epsilon / 10 * slope.sign()
            moved = torch.clamp(torch.clamp(
                moved, x - challenge.epsilon, x + challenge.epsilon), 0, 1)
        return moved.numpy()
"""


def guest(role: str, source: str, framework: str = "numpy", needs: str = "") -> Package:
    manifest = (
        f'schema_version = 1\nname = "Bench"\nrole = "{role}"\nframework = "{framework}"\n'
        f'tasks = "*"\nentry = "player.py:Player"\n{needs}'
    )
    return Package.of({"manifest.toml": manifest.encode(), "player.py": source.encode()})


def scores() -> ThreatModel:
    """Black-box with probabilities: where labels alone are given, answers wait for whole ms."""
    black = ThreatModel.preset("black", queries=10**6)
    return replace(black, output=OracleOutput(OutputKind.PROBABILITIES))


@dataclass
class Bench:
    """A keeper and a place for its orders."""

    keeper: Keeper
    directory: Path
    played: int = 0
    packages: dict[str, str] = field(default_factory=dict)

    def match(
        self,
        attack: Package,
        defense: Package,
        model: ThreatModel,
        *,
        task: str = TASK,
        examples: int = 100,
    ) -> dict[str, Any]:
        """Play it; its verdict as JSON, with ``wall``, the seconds from order to finding."""
        round_ = RoundSpec(GameName.EVASION, task, model, epsilons=(EPSILON,), examples=examples)
        self.played += 1
        out = self.directory / str(self.played)
        order = {
            "round": round_.to_json(),
            "attack": self._archive("attack", attack),
            "defense": self._archive("defense", defense),
            "seed": 1,
            "secret": "00" * 32,
            "out": str(out),
        }
        orders = self.directory / "match.json"
        orders.write_text(json.dumps(order))
        began = time.perf_counter()
        self.keeper.play({"program": "match", "arguments": [str(orders)]}, lambda step: None)
        wall = time.perf_counter() - began
        verdict: dict[str, Any] = json.loads((out / "verdict.json").read_text())
        if verdict["status"] != "scored":
            raise RuntimeError(f"The match ended {verdict['status']}: {verdict['fault']}")
        return {**verdict, "wall": wall}

    def _archive(self, name: str, package: Package) -> str:
        path = self.directory / f"{name}.zip"
        path.write_bytes(package.to_zip())
        return str(path)


# --- one after the other ------------------------------------------------------------------------


def starts(keeper: Keeper, *, runs: int) -> tuple[Timed, Timed, int]:
    """A fresh child with a small CNN: to its first answer, and its end; private bytes."""
    task = tasks.load(TASK)
    package = house.package("cnn", TASK)
    round_ = RoundSpec(GameName.EVASION, TASK, ThreatModel.white(), epsilons=(EPSILON,))
    seats = JailSeats(
        round=round_, attack=package, defense=package, task=task, backend=keeper.players
    )
    x, seeds = task.practice.x[:32], np.zeros(32, np.uint64)
    answered, ended, private = [], [], 0
    for _ in range(runs):
        began = time.perf_counter()
        seat = seats.open_defense()
        seat.predict(x, seeds)
        answered.append(time.perf_counter() - began)
        private = max(private, _private_bytes(seat.session.jail))
        began = time.perf_counter()
        seat.close()
        ended.append(time.perf_counter() - began)
    return Timed.of(answered), Timed.of(ended), private


def _private_bytes(jail: Any) -> int:
    assert isinstance(jail, ZygoteJail)
    text = Path(f"/proc/{jail.init_pid}/smaps_rollup").read_text()
    kib = [int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_")]
    return 1024 * sum(kib)


def questions(bench: Bench, *, runs: int) -> Iterator[tuple[int, list[float]]]:
    """Attack to referee to defense and back, as the attack's own clock sees it: rows, seconds."""
    attack = guest("attack", CURIOUS.format(rows=ROWS, times=runs))
    defense = guest("defense", FORGETFUL)
    verdict = bench.match(attack, defense, scores(), examples=256)
    for line in verdict["logs"]["attack"].splitlines():
        rows, *seconds = line.split()
        yield int(rows), [float(second) for second in seconds]


def bare_pgd(steps: int, examples: int) -> Callable[[], None]:
    """The same attack in one process, without any referee."""
    import torch

    task = tasks.load(TASK)
    model = bare_model(
        house.package("cnn", TASK), TaskInfo(task.name, task.shape, task.classes)
    ).module
    x = torch.tensor(task.practice.x[:examples])
    y = torch.tensor(task.practice.y[:examples])

    def loop() -> None:
        moved = x.clone()
        for _ in range(steps):
            slopes = []
            for rows in range(0, len(x), 256):
                some = moved[rows : rows + 256].requires_grad_()
                loss = torch.nn.functional.cross_entropy(
                    model(some), y[rows : rows + 256], reduction="sum"
                )
                slopes.append(torch.autograd.grad(loss, some)[0])
            moved = moved.detach() + EPSILON / 10 * torch.cat(slopes).sign()
            moved = torch.clamp(torch.clamp(moved, x - EPSILON, x + EPSILON), 0, 1)
        with torch.no_grad():  # what a bare evaluation does too: clean and attacked answers
            model(x), model(moved)

    return loop


def bare_queries(queries: int) -> Callable[[], None]:
    task = tasks.load(TASK)
    model = bare_model(house.package("cnn", TASK), TaskInfo(task.name, task.shape, task.classes))
    x = task.practice.x[:100]

    def loop() -> None:
        for n in range(queries):
            row = n % len(x)
            model.predict(x[row : row + 1])

    return loop


# --- the tables ---------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sandbox", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each match (default 5)")
    parser.add_argument("--starts", type=int, default=50, help="starts of a jail (default 50)")
    options = parser.parse_args()
    console = Console(width=110)
    from arena.sandbox import choose

    backend = choose(trusted=True)
    if not isinstance(backend, ZygoteBackend):
        console.print(f"No zygote can be had here: players stand behind {backend.name}.")
        raise SystemExit(1)
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}.")
    keeper = Keeper.of(backend)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(keeper, Path(scratch))
        backend.warm(Side.DEFENSE, Framework.TORCH)
        console.print(_starts(keeper, options.starts))
        console.print(_questions(bench))
        console.print(_matches(bench, options.runs))


def _starts(keeper: Keeper, runs: int) -> Table:
    answered, ended, private = starts(keeper, runs=runs)
    table = Table(title=f"A fresh jail with a small CNN (ms); private {private / 2**20:.1f} MiB")
    for column in ("", "least", "median", "p95"):
        table.add_column(column, justify="right")
    for name, t in (("to its first answer", answered), ("to its end", ended)):
        table.add_row(name, *(f"{1000 * s:.1f}" for s in (t.least, t.median, t.p95)))
    return table


def _questions(bench: Bench) -> Table:
    table = Table(title="Attack to referee to defense and back, no model (µs)")
    for column in ("rows", "least", "median", "p95", "50 + 1.2 a row"):
        table.add_column(column, justify="right")
    for rows, seconds in questions(bench, runs=2000):
        table.add_row(str(rows), *(f"{1e6 * s:.0f}" for s in seconds), f"{50 + 1.2 * rows:.0f}")
    return table


def _matches(bench: Bench, runs: int) -> Table:
    table = Table(title="Whole matches, from order to finding, beside the bare loop (s)")
    for column in ("work", "least", "median", "p95", "bare least", "ratio"):
        table.add_column(column, justify="right" if column != "work" else "left")
    cnn, white = house.package("cnn", TASK), ThreatModel.white()
    black = scores()
    loaded = guest("attack", LOADED.format(steps=STEPS), "torch", "[needs]\ngradients = true")
    served = guest("attack", SERVED.format(steps=STEPS), "torch", "[needs]\ngradients = true")
    single = guest("attack", SINGLE.format(queries=QUERIES))
    idle, forgetful = guest("attack", IDLE), guest("defense", FORGETFUL)
    pgd = timed(bare_pgd(STEPS, EXAMPLES), runs=runs)
    asked = timed(bare_queries(QUERIES), runs=max(1, runs // 2))
    rows: list[tuple[str, Package, Package, ThreatModel, int, Timed | None]] = [
        (f"PGD-{STEPS}, package loaded", loaded, cnn, white, EXAMPLES, pgd),
        (f"PGD-{STEPS}, gradients served", served, cnn, white, EXAMPLES, pgd),
        (f"{QUERIES:,} single questions", single, cnn, black, 100, asked),
        ("nothing", idle, forgetful, black, 10, None),
    ]
    for name, attack, defense, model, examples, bare in rows:
        walls = [
            bench.match(attack, defense, model, examples=examples)["wall"] for _ in range(runs + 1)
        ]
        t = Timed.of(walls[1:])
        cells = [f"{s:.3f}" for s in (t.least, t.median, t.p95)]
        beside = [f"{bare.least:.3f}", f"{t.least / bare.least:.2f}"] if bare else ["", ""]
        table.add_row(name, *cells, *beside)
    return table


if __name__ == "__main__":
    main()
