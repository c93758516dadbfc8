"""House attacks beside those of torchattacks: same nets, same images, same budget.

Part of ``python -m benchmarks.attacks_peers``. Success is judged here in float32, of candidates
within the budget alone; torchattacks is installed by hand (``pip install --no-deps torchattacks``),
since its requirements would bring another torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from arena.house.attacks.cw_l2 import CarliniWagner
from arena.house.attacks.fgsm import Fgsm
from arena.house.attacks.jsma import Jsma
from arena.house.attacks.pgd import Pgd
from arena.house.attacks.square import Square
from benchmarks.attacks import Array, Images, Problem

HERE = Path()
BATCH = 250
PAIRS = 57
"""Of pixels that JSMA may change here: torchattacks rounds 14.5 % of them up."""


@dataclass(frozen=True)
class Duel:
    """One attack of either side. ``peer`` names torchattacks' class; ``epsilon`` None: any size,
    and distances are told."""

    title: str
    net: str
    peer: str
    options: dict[str, Any]
    ours: Any
    norm: str
    epsilon: float | None
    targeted: bool = False


DUELS = (
    Duel("FGSM", "cnn", "FGSM", {"eps": 0.1}, Fgsm(HERE), "linf", 0.1),
    *(
        Duel(
            f"PGD-40, {norm}",
            "adversarial-training",
            peer,
            {"eps": epsilon, "alpha": 2.5 * epsilon / 40, "steps": 40},
            Pgd(HERE, {"steps": 40, "restarts": 1}),
            norm,
            epsilon,
        )
        for norm, peer, epsilon in (("linf", "PGD", 0.2), ("l2", "PGDL2", 1.0))
    ),
    *(
        Duel(
            f"CW, theirs c = {c}, 350 steps",
            "cnn",
            "CW",
            {"c": c, "steps": 350, "lr": 0.01},
            CarliniWagner(HERE),
            "l2",
            None,
        )
        for c in (1, 10)
    ),
    Duel(
        "JSMA, targeted",
        "cnn",
        "JSMA",
        {"theta": 1.0, "gamma": 0.145},
        Jsma(HERE, {"thetas": (1,)}),
        "l0",
        2.0 * PAIRS,
        targeted=True,
    ),
    *(
        Duel(
            "Square, 1,000 queries",
            net,
            "Square",
            {"eps": epsilon, "n_queries": 1000, "seed": 0},
            Square(HERE, {"queries": 1000}),
            "linf",
            epsilon,
        )
        for net, epsilon in (("cnn", 0.1), ("adversarial-training", 0.3))
    ),
)


def duels(*, examples: int, titled: str, theirs: Any, ours: Any) -> Iterator[Table]:
    """A table for each duel whose title begins with ``titled``, as it is done.

    ``theirs`` and ``ours`` play and count passes: :mod:`benchmarks.attacks_peers`.
    """
    for duel in DUELS:
        if duel.title.lower().startswith(titled.lower()):
            yield _fought(duel, examples, theirs, ours)


def _fought(duel: Duel, examples: int, theirs: Any, ours: Any) -> Table:
    problem = Problem.of(duel.net, examples)
    targets = (problem.y + 1) % 10 if duel.targeted else None
    sides = {
        "torchattacks": theirs(problem, lambda model: by_torchattacks(model, problem, duel)),
        "ours": ours(problem, duel.ours, norm=duel.norm, epsilon=duel.epsilon, targets=targets),
    }
    where = f"{duel.net}, {duel.norm} {duel.epsilon or ''}, {len(problem.x)} images"
    table = Table(title=f"{duel.title} beside torchattacks: {where}")
    for column in ("attack", "success", "distance, mean / median", "s", "passes an image"):
        table.add_column(column, justify="left" if column == "attack" else "right")
    for name, side in sides.items():
        size = _size(side.found - problem.x, duel.norm)
        within = size <= (duel.epsilon or np.inf) + 1e-5
        won = problem.fooled(side.found, targets) & within
        far = f"{size[won].mean():.3f} / {np.median(size[won]):.3f}" if won.any() else ""
        passes = f"{side.forward:.0f} + {side.backward:.0f}"
        table.add_row(name, f"{100 * won.mean():.1f} %", far, f"{side.seconds:.2f}", passes)
    return table


def by_torchattacks(model: torch.nn.Module, problem: Problem, duel: Duel) -> Images:
    """JSMA aims at (label + 1) % 10 by itself."""
    import torchattacks

    torch.manual_seed(0)
    attack: Callable[..., torch.Tensor] = getattr(torchattacks, duel.peer)(
        model.eval(), **duel.options
    )
    found = [
        attack(torch.tensor(problem.x[at : at + BATCH]), torch.tensor(problem.y[at : at + BATCH]))
        for at in range(0, len(problem.x), BATCH)
    ]
    images: Images = torch.cat(found).detach().numpy()
    return images


def _size(delta: Images, norm: str) -> Array:
    flat = delta.reshape(len(delta), -1).astype(np.float64)
    if norm == "l0":
        return np.asarray((np.abs(flat) > 1e-6).sum(1))
    return np.asarray(np.linalg.norm(flat, ord={"linf": np.inf, "l2": 2}[norm], axis=1))
