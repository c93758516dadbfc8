"""What the house attacks cost beside bare loops: ``python -m benchmarks.attacks``.

Same model, same images, same budget, one thread, both in this process; the order alternates from
run to run, medians are told with the least; FGSM, of some milliseconds, is run twenty times as
often. "Bare" is a hand-written loop of only the passes that
the method needs. Success is judged here in float32, for both sides by the same function.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional

from arena import house, tasks
from arena.house.attacks.cw_l2 import CarliniWagner
from arena.house.attacks.fgsm import Fgsm
from arena.house.attacks.jsma import Jsma, best_pairs
from arena.house.attacks.pgd import Pgd
from arena.house.attacks.square import FALLS_AT, FEW, Square
from arena.players import EvasionChallenge, TaskInfo
from arena.torch_players import TorchDefense
from benchmarks.oracle import bare_model
from benchmarks.timing import Timed

TASK = "mnist5k"
Images = NDArray[np.float32]
Array = NDArray[Any]


@dataclass
class Handle:
    """The white-box handle and the oracle over a defense in this process; counts image passes."""

    defense: TorchDefense
    forward: int = 0
    backward: int = 0

    probes_left: float = float("inf")

    def probes_left_for(self, examples: Array) -> Array:
        return np.full(len(examples), np.inf)

    def logits(self, x: Images) -> Array:
        self.forward += len(x)
        return self.defense.predict(x)

    output: str = "logits"

    def ask(self, x: Images, _examples: Array | None = None) -> Array:
        scores = self.logits(x)
        return scores.argmax(1) if self.output == "label" else scores

    def gradient(self, x: Images, y: Array) -> Array:
        return self.logits_and_gradient(x, y)[1]

    def logits_and_gradient(self, x: Images, weights: Array) -> tuple[Array, Array]:
        self.forward += len(x)
        self.backward += len(x)
        return self.defense.gradient(x, weights)


@dataclass
class Problem:
    """A defense and the images that it gets right."""

    name: str
    defense: TorchDefense
    info: TaskInfo
    x: Images
    y: Array
    handle: Handle = field(init=False)
    plain: nn.Module = field(init=False, repr=False)
    """The net as it was built, for the bare loops."""

    def __post_init__(self) -> None:
        self.handle = Handle(self.defense)
        self.plain = copy.deepcopy(self.defense.module).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    @classmethod
    def of(cls, name: str, examples: int) -> Problem:
        task = tasks.load(TASK)
        info = TaskInfo(task.name, task.shape, task.classes)
        return cls.against(bare_model(house.package(name, task.name), info), name, task, examples)

    @classmethod
    def wide(cls, examples: int) -> Problem:
        """A net of 3 x 3 convolutions of 32 and 64 channels, trained here for an epoch."""
        task = tasks.load(TASK)
        info = TaskInfo(task.name, task.shape, task.classes)
        defense = bare_model(house.package("cnn", task.name), info)
        defense.module = trained(wide_net(), task)
        return cls.against(defense, "wide net", task, examples)

    @classmethod
    def against(cls, defense: TorchDefense, name: str, task: tasks.Task, examples: int) -> Problem:
        info = TaskInfo(task.name, task.shape, task.classes)
        right = defense.predict(task.practice.x).argmax(1) == task.practice.y
        rows = np.flatnonzero(right)[:examples]
        return cls(name, defense, info, task.practice.x[rows], task.practice.y[rows])

    def play(self, attack: Any, *, norm: str, epsilon: float | None, **fields: Any) -> Images:
        output = fields.get("output", "logits")
        self.handle = Handle(self.defense, output=output)
        challenge = EvasionChallenge(
            task=self.info,
            x=self.x,
            y=self.y,
            targets=fields.get("targets"),
            norm=norm,
            epsilon=epsilon,
            defense=self.handle,
            output=output,
            seed=0,
        )
        found: Images = attack.attack(challenge)
        return found

    def fooled(self, candidates: Images, targets: Array | None = None) -> Array:
        answers = self.defense.predict(candidates).argmax(1)
        return answers != self.y if targets is None else answers == targets

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.plain(x)
        return scores


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of both, success of both, image passes of ours, and distortion."""

    method: str
    bare: Timed
    ours: Timed
    bare_success: float
    our_success: float
    passes: tuple[float, float]
    size: str = ""
    bare_passes: float = 0.0

    @property
    def ratio(self) -> float:
        """Ours over bare, of the medians: below 1 is faster."""
        return self.ours.median / self.bare.median

    @property
    def per_pass(self) -> float | None:
        """The same, of each pass with its gradient, where the bare loop's number is known."""
        if not self.bare_passes:
            return None
        return self.ratio * self.bare_passes / self.passes[1]


def compared(
    method: str,
    problem: Problem,
    bare: Callable[[], Images],
    ours: Callable[[], Images],
    *,
    runs: int,
    targets: Array | None = None,
    size: Callable[[Images], float] | None = None,
    bare_passes: float = 0.0,
) -> Row:
    seconds: tuple[list[float], list[float]] = ([], [])
    found: list[Images] = [problem.x, problem.x]
    for run in range(runs):
        for side in (0, 1) if run % 2 == 0 else (1, 0):
            work = (bare, ours)[side]
            started = time.perf_counter()
            found[side] = work()
            seconds[side].append(time.perf_counter() - started)
    hits = [problem.fooled(candidates, targets) for candidates in found]
    both = hits[0] & hits[1]
    sizes = ""
    if size is not None and both.any():
        sizes = " / ".join(f"{size((candidates - problem.x)[both]):.3g}" for candidates in found)
    count = len(problem.x)
    return Row(
        method,
        Timed(tuple(sorted(seconds[0]))),
        Timed(tuple(sorted(seconds[1]))),
        float(hits[0].mean()),
        float(hits[1].mean()),
        (problem.handle.forward / count, problem.handle.backward / count),
        sizes,
        bare_passes,
    )


def wide_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def trained(module: nn.Module, task: tasks.Task) -> nn.Module:
    adam = torch.optim.Adam(module.parameters(), lr=0.001)
    for start in range(0, len(task.train.x), 32):
        rows = slice(start, start + 32)
        scores = module(torch.tensor(task.train.x[rows]))
        adam.zero_grad()
        functional.cross_entropy(scores, torch.tensor(task.train.y[rows])).backward()
        adam.step()
    return module.requires_grad_(False)


# ── bare loops ─────────────────────────────────────────────────────────────────────────────────


def bare_fgsm(problem: Problem, epsilon: float) -> Images:
    point = torch.tensor(problem.x, requires_grad=True)
    loss = functional.cross_entropy(problem.scores(point), torch.tensor(problem.y), reduction="sum")
    (slope,) = torch.autograd.grad(loss, point)
    return (point.detach() + epsilon * slope.sign()).clamp(0, 1).numpy()


def bare_pgd(problem: Problem, epsilon: float, steps: int, norm: str) -> Images:
    x, y = torch.tensor(problem.x), torch.tensor(problem.y)
    point = x.clone()
    for _ in range(steps):
        point.requires_grad_()
        loss = functional.cross_entropy(problem.scores(point), y, reduction="sum")
        (slope,) = torch.autograd.grad(loss, point)
        point = point.detach()
        if norm == "linf":
            point = point + 2.5 * epsilon / steps * slope.sign()
            point = torch.minimum(torch.maximum(point, x - epsilon), x + epsilon).clamp(0, 1)
        else:
            point = point + 2.5 * epsilon / steps * slope / _length(slope)
            delta = point.clamp(0, 1) - x
            point = x + delta * (epsilon / _length(delta)).clamp(max=1)
    return point.numpy()


def bare_cw(problem: Problem, searches: int, steps: int) -> Images:
    """Carlini & Wagner's loop as it stands: all images, all steps, c by halving."""
    x, y = torch.tensor(problem.x), torch.tensor(problem.y)
    origin = torch.atanh((2 * x - 1) * 0.999999)
    best, smallest = x.clone(), torch.full((len(x),), torch.inf)
    low, high, c = torch.zeros(len(x)), torch.full((len(x),), 1e10), torch.full((len(x),), 0.1)
    for _ in range(searches):
        w = origin.clone().requires_grad_()
        adam, won_once = torch.optim.Adam([w], lr=0.01), torch.zeros(len(x), dtype=torch.bool)
        for _ in range(steps):
            point = (torch.tanh(w) + 1) / 2
            scores = problem.scores(point)
            mine = scores.gather(1, y[:, None])[:, 0]
            others = scores.scatter(1, y[:, None], -torch.inf).amax(1)
            size = (point - x).flatten(1).square().sum(1)
            loss = size + c * (mine - others).clamp_min(0)
            adam.zero_grad()
            loss.sum().backward()
            adam.step()
            won = scores.argmax(1) != y
            nearer = won & (size.detach() < smallest)
            best[nearer], smallest[nearer] = point.detach()[nearer], size.detach()[nearer]
            won_once |= won
        high = torch.where(won_once, torch.minimum(high, c), high)
        low = torch.where(won_once, low, torch.maximum(low, c))
        c = torch.where(high < 1e9, (low + high) / 2, 10 * c)
    return best.numpy()


def bare_jsma(problem: Problem, targets: Array, gamma: float) -> Images:
    """Two backward passes a step, the pruned pair search, finished images dropped."""
    x, aim = problem.x.copy().reshape(len(problem.x), -1), targets
    free = x < 1
    rows = np.arange(len(x))
    for _ in range(int(gamma * x.shape[1] / 2)):
        point = torch.tensor(x[rows].reshape(-1, *problem.x.shape[1:]), requires_grad=True)
        scores = problem.scores(point)
        going = scores.argmax(1).numpy() != aim[rows]
        mine = scores.gather(1, torch.tensor(aim[rows])[:, None]).sum()
        (own,) = torch.autograd.grad(mine, point, retain_graph=True)
        (every,) = torch.autograd.grad(scores.sum(), point)
        alpha = own.flatten(1).numpy()
        beta = every.flatten(1).numpy() - alpha
        going &= free[rows].sum(1) >= 2
        rows, alpha, beta = rows[going], alpha[going], beta[going]
        if not len(rows):
            break
        pairs = best_pairs(alpha, -beta, free[rows])
        for side in (0, 1):
            x[rows, pairs[:, side]] = 1.0
            free[rows, pairs[:, side]] = False
    return x.reshape(problem.x.shape)


def bare_square(problem: Problem, epsilon: float, queries: int) -> Images:
    """A forward pass a query for what still stands, and a square of ±ε between them."""
    rng = np.random.default_rng(0)
    x, y = problem.x, problem.y
    stripes = rng.choice([-epsilon, epsilon], (len(x), 1, 1, x.shape[3]))
    best = np.clip(x + stripes, 0, 1).astype(np.float32)
    loss = _margins(problem, best, y)
    for query in range(1, queries):
        rows = np.flatnonzero(loss > 0)
        if not len(rows):
            break
        reached = query / queries * 10_000 * min(1.0, queries / FEW) ** 0.6
        halvings = sum(reached > mark for mark in FALLS_AT)
        side = max(1, round(float(np.sqrt(0.8 / 2**halvings * x[0].size))))
        top, left = rng.integers(0, x.shape[2] - side + 1, 2)
        window = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
        moved = best[rows]
        sign = rng.choice([-epsilon, epsilon], (len(rows), 1, 1, 1))
        moved[window] = np.clip(x[rows][window] + sign, 0, 1)
        fresh = _margins(problem, moved, y[rows])
        better = fresh <= loss[rows]
        best[rows[better]], loss[rows[better]] = moved[better], fresh[better]
    return best


def _margins(problem: Problem, x: Images, y: Array) -> Array:
    with torch.inference_mode():
        scores = problem.scores(torch.from_numpy(x)).numpy()
    line = np.arange(len(y))
    mine = scores[line, y].copy()
    scores[line, y] = -np.inf
    return np.maximum(mine - scores.max(1), 0)


def _length(delta: torch.Tensor) -> torch.Tensor:
    flat: torch.Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1).clamp_min(1e-12)
    return flat.reshape(-1, 1, 1, 1)


# ── the table ──────────────────────────────────────────────────────────────────────────────────


def measure(*, runs: int, examples: int, only: str = "") -> list[Row]:
    """The comparisons of the attacks that have a bare loop, of those whose title begins so."""
    robust, plain = (Problem.of(name, examples) for name in ("adversarial-training", "cnn"))
    many, wide = Problem.of("adversarial-training", 4 * examples), Problem.wide(examples)
    few, fewer = (Problem.of("cnn", min(examples, count)) for count in (50, 16))
    targets = (few.y + 1) % 10
    here = Path()

    def euclid(delta: Images) -> float:
        return float(np.linalg.norm(delta.reshape(len(delta), -1), axis=1).mean())

    def changed(delta: Images) -> float:
        return float((np.abs(delta.reshape(len(delta), -1)) > 1e-6).mean())

    one_run = {"steps": 40, "restarts": 1}
    table: list[tuple[str, Problem, Callable[[], Images], Callable[[], Images], dict[str, Any]]] = [
        (
            "FGSM .1, CNN",
            plain,
            lambda: bare_fgsm(plain, 0.1),
            lambda: plain.play(Fgsm(here), norm="linf", epsilon=0.1),
            {"bare_passes": 1, "runs": 20 * runs},
        ),
        *(
            (
                f"PGD-40 {norm} {epsilon:g}, {problem.name}, {len(problem.x)} images",
                problem,
                lambda p=problem, e=epsilon, n=norm: bare_pgd(p, e, 40, n),
                lambda p=problem, e=epsilon, n=norm: p.play(Pgd(here, one_run), norm=n, epsilon=e),
                {"bare_passes": 40},
            )
            for problem, norm, epsilon in (
                (robust, "linf", 0.2),
                (many, "linf", 0.2),
                (wide, "linf", 0.02),
                (plain, "linf", 0.3),
                (robust, "l2", 1.0),
            )
        ),
        *(
            (
                f"CW-L2, bare {searches} x {steps}, {len(problem.x)} images",
                problem,
                lambda p=problem, n=searches, k=steps: bare_cw(p, n, k),
                lambda p=problem: p.play(CarliniWagner(here), norm="l2", epsilon=None),
                {"size": euclid, "bare_passes": searches * steps, "runs": count},
            )
            for problem, searches, steps, count in ((few, 5, 100, runs), (fewer, 9, 1000, 1))
        ),
        (
            "JSMA, pairs, Υ 14.5 %",
            few,
            lambda: bare_jsma(few, targets, 0.145),
            lambda: few.play(
                Jsma(here, {"thetas": (1,)}), norm="l0", epsilon=None, targets=targets
            ),
            {"targets": targets, "size": changed},
        ),
        (
            "Square .2, 200 queries, CNN",
            plain,
            lambda: bare_square(plain, 0.2, 200),
            lambda: plain.play(Square(here, {"queries": 200}), norm="linf", epsilon=0.2),
            {},
        ),
    ]
    return [
        compared(name, problem, bare, ours, **{"runs": runs, **fields})
        for name, problem, bare, ours, fields in table
        if name.lower().startswith(only.lower())
    ]


def rendered(rows: list[Row]) -> Table:
    table = Table(title="House attacks beside bare loops (s; success judged alike in float32)")
    for column in ("method", "bare", "ours", "ratio", "a pass", "success", "passes", "size"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for row in rows:
        table.add_row(
            row.method,
            f"{row.bare.median:.2f} ({row.bare.least:.2f})",
            f"{row.ours.median:.2f} ({row.ours.least:.2f})",
            f"{row.ratio:.2f} x",
            "" if row.per_pass is None else f"{row.per_pass:.2f} x",
            f"{100 * row.bare_success:.1f} / {100 * row.our_success:.1f} %",
            f"{row.passes[0]:.0f} + {row.passes[1]:.0f}",
            row.size,
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each side (default 5)")
    parser.add_argument("--examples", type=int, default=250, help="images (default 250)")
    parser.add_argument("--only", default="", metavar="TITLE", help="rows that begin so")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=140)
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, one thread each.")
    console.print(rendered(measure(**vars(options))))


if __name__ == "__main__":
    main()
