"""House attacks beside peers: ``python -m benchmarks.attacks_peers --autoattack DIR``.

Foolbox and ART come with the development environment. AutoAttack, which holds APGD-L1 and Square,
is in no package index: DIR is a checkout of its repository. torchattacks is installed by hand. What
is not there is left out, and said. Same net, same images, one thread; success and distances are
judged here in float32, passes are counted.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import foolbox
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from arena.house.attacks.boundary import Boundary
from arena.house.attacks.cw_l2 import CarliniWagner
from arena.house.attacks.cw_linf import CarliniWagnerLinf
from arena.house.attacks.pgd import Pgd
from arena.house.attacks.square import Square
from benchmarks import peer_torchattacks
from benchmarks.attacks import Array, Images, Problem

HERE = Path()
RADII = (("adversarial-training", 8.0), ("cnn", 8.0))
"""Of L1."""
STEPS = (("adversarial-training", "linf", 0.2), ("adversarial-training", "l2", 1.0))
SQUARES = (("cnn", 0.1), ("adversarial-training", 0.2), ("adversarial-training", 0.3))
BATCH = 250


PARTS = ("l1", "square", "torchattacks", "steps", "smallest", "labels")


@dataclass(frozen=True)
class Side:
    """What one implementation reached: seconds, passes an image, and its candidates."""

    seconds: float
    forward: float
    backward: float
    found: Images


class Counted(torch.nn.Module):
    """The defense's net, counting image passes."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.module, self.asked, self.sloped = problem.defense.module, 0, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.asked += len(x)
        self.sloped += len(x) * x.requires_grad
        scores: torch.Tensor = self.module(x)
        return scores


def theirs(problem: Problem, attack: Callable[[Counted], Images]) -> Side:
    model, count = Counted(problem), len(problem.x)
    started = time.perf_counter()
    found = attack(model)
    seconds = time.perf_counter() - started
    return Side(seconds, model.asked / count, model.sloped / count, found)


def ours(problem: Problem, attack: Any, **round_: Any) -> Side:
    started = time.perf_counter()
    found = problem.play(attack, **round_)
    seconds, count = time.perf_counter() - started, len(problem.x)
    return Side(seconds, problem.handle.forward / count, problem.handle.backward / count, found)


# ── L1 ─────────────────────────────────────────────────────────────────────────────────────────


def l1(*, examples: int) -> Table:
    table = Table(title="PGD in L1 beside AutoAttack's APGD-L1 (cross-entropy, then targeted DLR)")
    for column in ("defense", "attack", "success", "s", "passes an image"):
        table.add_column(column, justify="left" if column in ("defense", "attack") else "right")
    for name, epsilon in RADII:
        problem = Problem.of(name, examples)
        sides = {
            f"APGD-L1-{loss}, {count} steps": theirs(
                problem, partial(apgd_l1, problem=problem, epsilon=epsilon, steps=count, loss=loss)
            )
            for loss, count in (("CE", 100), ("T", 100))
        }
        for restarts in (1, 4):
            attack = Pgd(HERE, {"steps": 50, "restarts": restarts})
            sides[f"ours, 100 steps, {restarts} runs"] = ours(
                problem, attack, norm="l1", epsilon=epsilon
            )
        for method, side in sides.items():
            inside = np.abs(flat(side.found - problem.x)).sum(1) <= epsilon + 1e-4
            success = problem.fooled(side.found) & inside
            cells = f"{100 * success.mean():.1f} %", f"{side.seconds:.2f}"
            passes = f"{side.forward:.0f} + {side.backward:.0f}"
            table.add_row(f"{name}, ε {epsilon:g}", method, *cells, passes)
    return table


def apgd_l1(model: Counted, problem: Problem, epsilon: float, steps: int, loss: str) -> Images:
    from autoattack.autopgd_base import APGDAttack, APGDAttack_targeted

    kind = {"CE": APGDAttack, "T": APGDAttack_targeted}[loss]
    attack = kind(
        model, n_iter=steps, norm="L1", eps=epsilon, seed=0, use_largereps=True, device="cpu"
    )
    found = attack.perturb(torch.tensor(problem.x), torch.tensor(problem.y))
    images: Images = found.detach().numpy()
    return images


# ── scores alone ───────────────────────────────────────────────────────────────────────────────


def squares(*, examples: int) -> Table:
    """Square of 1,000 queries: no more forwards than AutoAttack's at equal success."""
    table = Table(title="Square, 1,000 queries, L∞, beside AutoAttack's")
    for column in ("defense", "attack", "success", "s", "forwards", "an image"):
        table.add_column(column, justify="left" if column in ("defense", "attack") else "right")
    for name, epsilon in SQUARES:
        problem = Problem.of(name, examples)
        sides = {
            "AutoAttack": theirs(problem, partial(by_square, problem=problem, epsilon=epsilon)),
            "ours": ours(problem, Square(HERE, {"queries": 1000}), norm="linf", epsilon=epsilon),
        }
        for method, side in sides.items():
            inside = np.abs(flat(side.found - problem.x)).max(1) <= epsilon + 1e-6
            success = f"{100 * (problem.fooled(side.found) & inside).mean():.1f} %"
            forwards = f"{side.forward * len(problem.x):,.0f}", f"{side.forward:.1f}"
            where = f"{name}, ε {epsilon:g}, {len(problem.x)}"
            table.add_row(where, method, success, f"{side.seconds:.2f}", *forwards)
    return table


def by_square(model: Counted, problem: Problem, epsilon: float) -> Images:
    from autoattack.square import SquareAttack

    attack = SquareAttack(model, norm="Linf", n_queries=1000, eps=epsilon, seed=0, device="cpu")
    parts = [attack.perturb(torch.tensor(x), torch.tensor(y)) for x, y in batches(problem)]
    images: Images = torch.cat(parts).detach().numpy()
    return images


# ── the same steps ──


def steps(*, examples: int) -> Table:
    """PGD of 40 steps, one run: success must not be less than any peer's by a point."""
    table = Table(title="PGD, 40 steps, one run, beside Foolbox and ART")
    for column in ("defense", "attack", "success", "s", "passes an image"):
        table.add_column(column, justify="left" if column in ("defense", "attack") else "right")
    for name, norm, epsilon in STEPS:
        problem = Problem.of(name, examples)
        sides = {
            "Foolbox": theirs(problem, partial(by_foolbox, problem=problem, norm=norm, e=epsilon)),
            "ART": theirs(problem, partial(by_art, problem=problem, norm=norm, e=epsilon)),
            "ours": ours(
                problem, Pgd(HERE, {"steps": 40, "restarts": 1}), norm=norm, epsilon=epsilon
            ),
        }
        for method, side in sides.items():
            success = f"{100 * problem.fooled(side.found).mean():.1f} %"
            passes = f"{side.forward:.0f} + {side.backward:.0f}"
            where = f"{name}, {norm} {epsilon:g}, {len(problem.x)}"
            table.add_row(where, method, success, f"{side.seconds:.2f}", passes)
    return table


def by_foolbox(model: Counted, problem: Problem, norm: str, e: float) -> Images:
    torch.manual_seed(0)
    kind = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[norm]
    shown = foolbox.PyTorchModel(model.eval(), bounds=(0, 1), device="cpu")
    found: list[Images] = []
    for x, y in batches(problem):
        attack = kind(steps=40, rel_stepsize=2.5 / 40)
        criterion = foolbox.criteria.Misclassification(torch.tensor(y))
        found.append(attack(shown, torch.tensor(x), criterion, epsilons=e)[1].numpy())
    return np.concatenate(found)


def by_art(model: Counted, problem: Problem, norm: str, e: float) -> Images:
    from art.attacks.evasion import ProjectedGradientDescent

    attack = ProjectedGradientDescent(
        art_net(model, problem),
        norm={"linf": np.inf, "l2": 2}[norm],
        eps=e,
        eps_step=2.5 * e / 40,
        max_iter=40,
        num_random_init=1,
        batch_size=BATCH,
        verbose=False,
    )
    np.random.seed(0)  # noqa: NPY002 (ART draws from it)
    found: Images = attack.generate(problem.x, problem.y)
    return found


def art_net(model: Counted, problem: Problem) -> Any:
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model.eval(),
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=problem.x.shape[1:],
        nb_classes=10,
        clip_values=(0, 1),
        device_type="cpu",
    )


def batches(problem: Problem) -> Iterator[tuple[Images, Array]]:
    for start in range(0, len(problem.x), BATCH):
        rows = slice(start, start + BATCH)
        yield problem.x[rows], problem.y[rows]


# ── the smallest change ────────────────────────────────────────────────────────────────────────


def smallest(*, examples: int) -> Table:
    """The Carlini-Wagner attacks: success as much, at no larger distances for as many passes."""
    table = Table(title=f"Carlini & Wagner, cnn, {examples} images, beside Foolbox and ART")
    for column in ("norm", "attack", "success", "distance, mean / median", "s", "passes an image"):
        table.add_column(column, justify="left" if column in ("norm", "attack") else "right")
    problem = Problem.of("cnn", examples)
    for norm, attack, peers in (
        ("l2", CarliniWagner(HERE), FOOLBOXES | {"ART, 5 x 100": art_cw}),
        ("linf", CarliniWagnerLinf(HERE), {"ART, 100": art_cw_linf}),
    ):
        sides = {name: theirs(problem, partial(peer, problem)) for name, peer in peers.items()}
        sides["ours"] = ours(problem, attack, norm=norm, epsilon=None)
        for name, side in sides.items():
            won = problem.fooled(side.found)
            order = {"linf": np.inf, "l2": 2}[norm]
            size = np.linalg.norm(flat(side.found - problem.x)[won], ord=order, axis=1)
            far = f"{size.mean():.3f} / {np.median(size):.3f}" if won.any() else ""
            passes = f"{side.forward:.0f} + {side.backward:.0f}"
            cells = f"{100 * won.mean():.1f} %", far, f"{side.seconds:.2f}", passes
            table.add_row(norm, name, *cells)
    return table


def foolbox_cw(
    problem: Problem, model: Counted, searches: int, steps: int, rate: float, first_c: float
) -> Images:
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=searches, steps=steps, stepsize=rate, initial_const=first_c
    )
    return nearest(model, problem, attack)


FOOLBOXES: dict[str, Callable[[Problem, Counted], Images]] = {
    "Foolbox, 4 x 85, as ours": partial(
        foolbox_cw, searches=4, steps=85, rate=CarliniWagner.rate, first_c=CarliniWagner.first_c
    ),
    "Foolbox, 9 x 1,000": partial(foolbox_cw, searches=9, steps=1000, rate=0.01, first_c=0.01),
}
"""Of as many passes, of the same rate and first c as ours; and of the paper's order of passes."""


def art_cw(problem: Problem, model: Counted) -> Images:
    from art.attacks.evasion import CarliniL2Method

    attack = CarliniL2Method(
        art_net(model, problem),
        binary_search_steps=5,
        max_iter=100,
        initial_const=0.1,
        batch_size=BATCH,
        verbose=False,
    )
    found: Images = attack.generate(problem.x, problem.y)
    return found


def art_cw_linf(problem: Problem, model: Counted) -> Images:
    from art.attacks.evasion import CarliniLInfMethod

    attack = CarliniLInfMethod(
        art_net(model, problem), max_iter=100, batch_size=BATCH, verbose=False
    )
    found: Images = attack.generate(problem.x, problem.y)
    return found


# ── labels alone ───────────────────────────────────────────────────────────────────────────────


def decisions(*, examples: int) -> Table:
    """Median L2 distances at the queries that each of Foolbox's attacks has spent."""
    table = Table(title="Boundary (labels alone) beside Foolbox: median L2 distance, failures at ∞")
    for column in ("defense", "peer", "queries an image", "peer's", "ours"):
        table.add_column(column, justify="left" if column in ("defense", "peer") else "right")
    peers = {
        "HopSkipJump, 6 steps": foolbox.attacks.HopSkipJumpAttack(steps=6),
        "HopSkipJump, 14 steps": foolbox.attacks.HopSkipJumpAttack(steps=14),
        "boundary, 1,000 steps": foolbox.attacks.BoundaryAttack(steps=1000),
    }
    for name in ("cnn", "adversarial-training"):
        problem = Problem.of(name, examples)
        for peer, attack in peers.items():
            side = theirs(problem, partial(nearest, problem=problem, attack=attack))
            mine = ours(
                problem,
                Boundary(HERE, {"queries": round(side.forward)}),
                norm="l2",
                epsilon=None,
                output="label",
            )
            medians = (f"{median(problem, found):.3f}" for found in (side.found, mine.found))
            table.add_row(name, peer, f"{side.forward:.0f} / {mine.forward:.0f}", *medians)
    return table


def nearest(model: Counted, problem: Problem, attack: Any) -> Images:
    torch.manual_seed(0)
    shown = foolbox.PyTorchModel(model.eval(), bounds=(0, 1), device="cpu")
    x, y = torch.tensor(problem.x), torch.tensor(problem.y)
    found: Images = attack.run(shown, x, foolbox.criteria.Misclassification(y)).numpy()
    return found


def median(problem: Problem, found: Images) -> float:
    size = np.linalg.norm(flat(found - problem.x), axis=1)
    return float(np.median(np.where(problem.fooled(found), size, np.inf)))


def flat(x: Images) -> Array:
    return x.reshape(len(x), -1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks_peers", description=__doc__)
    parser.add_argument("--autoattack", type=Path, metavar="DIR", help="a checkout")
    parser.add_argument("--examples", type=int, default=250, help="images, of L1 (default 250)")
    parser.add_argument("--many", type=int, default=1000, help="images, of PGD (default 1,000)")
    parser.add_argument(
        "--few", type=int, default=50, help="images, of labels and distances (default 50)"
    )
    parser.add_argument("--only", choices=PARTS, help="this comparison alone")
    parser.add_argument("--attack", default="", help="of torchattacks: titles that begin so")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=140)
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, one thread each.")
    for part in PARTS if options.only is None else (options.only,):
        for table in _tables(part, options, console):
            console.print(table)


def _tables(part: str, options: argparse.Namespace, console: Console) -> Iterator[Table]:
    if part in ("l1", "square"):
        if not options.autoattack:
            console.print(f"{part}: AutoAttack is not there; name its checkout with --autoattack.")
            return
        sys.path.insert(0, str(options.autoattack))
        yield l1(examples=options.examples) if part == "l1" else squares(examples=options.many)
    elif part == "torchattacks":
        if importlib.util.find_spec("torchattacks") is None:
            console.print("torchattacks is not there: pip install --no-deps torchattacks.")
            return
        yield from peer_torchattacks.duels(
            examples=options.many, titled=options.attack, theirs=theirs, ours=ours
        )
    elif part == "steps":
        yield steps(examples=options.many)
    else:
        yield {"smallest": smallest, "labels": decisions}[part](examples=options.few)


if __name__ == "__main__":
    main()
