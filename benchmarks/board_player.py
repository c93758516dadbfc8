"""The attack of ``benchmarks.board``: one loop a round, as it is packed and as it is run bare.

This very file is ``player.py`` of every attack; how much each loop does lies beside it, in
``work.json``. It plays what a round gives it: gradients, scores, or a related model.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from arena.players import EvasionAttack, EvasionChallenge, QueryBudgetExceeded
from arena.torch_players import load_module

Images = NDArray[np.float32]
Labels = NDArray[np.int64]
Rows = NDArray[np.int64]
Slope = Callable[[Images, Labels], Images]
"""(x, y) -> the gradient of the cross-entropy."""
Ask = Callable[[Images, Rows], NDArray[np.float32]]
"""(x, their examples) -> scores."""

BATCH = 256


class Player(EvasionAttack):
    def attack(self, challenge: EvasionChallenge) -> Images:
        torch.set_num_threads(1)
        work = json.loads((self.package / "work.json").read_text())
        assert challenge.y is not None
        assert challenge.epsilon is not None
        x, y, epsilon = challenge.x, challenge.y, challenge.epsilon
        if challenge.package is not None:
            own = slope_of(load_module(challenge.package)) if work["loads"] else None
            slope = own or challenge.defense.gradient
            return climb(slope, x, y, epsilon, steps=work["steps"])
        if challenge.related:
            source = slope_of(Told(load_module(challenge.related[0])))
            return climb(source, x, y, epsilon, steps=work["transfer_steps"])
        return search(challenge.defense.ask, x, y, epsilon, queries=work["queries"])


class Told(torch.nn.Module):
    """Prints how many rows are put through ``module``, and whether a gradient is asked for."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print("rows", len(x), int(x.requires_grad))
        scores: torch.Tensor = self.module(x)
        return scores


def climb(slope: Slope, x: Images, y: Labels, epsilon: float, *, steps: int) -> Images:
    """PGD in L∞: ``steps`` signed gradients of all rows, and nothing else."""
    clean = torch.tensor(x)
    moved = clean.clone()
    for _ in range(steps):
        ascent = torch.from_numpy(slope(moved.numpy(), y)).sign()
        moved = moved + 2.5 * epsilon / steps * ascent
        moved = torch.clamp(torch.clamp(moved, clean - epsilon, clean + epsilon), 0, 1)
    return moved.numpy()


def search(ask: Ask, x: Images, y: Labels, epsilon: float, *, queries: int) -> Images:
    """Random search over bars of ±ε, a probe an example each time; broken examples are left out."""
    rng = np.random.default_rng(0)
    best, margin = x.copy(), np.full(len(x), np.inf)
    for _ in range(queries):
        rows = np.flatnonzero(margin > 0)
        if not len(rows):
            break
        moved = best[rows].copy()
        left, side = rng.integers(0, x.shape[-1] - 4), int(rng.integers(2, 5))
        sign = rng.choice([-1, 1], size=(len(rows), 1, 1, 1))
        moved[..., left : left + side] = x[rows][..., left : left + side] + epsilon * sign
        moved = np.clip(moved, 0, 1).astype(np.float32)
        try:
            scores = ask(moved, rows)
        except QueryBudgetExceeded:
            break
        line = np.arange(len(rows))
        own = scores[line, y[rows]].copy()
        scores = scores.copy()
        scores[line, y[rows]] = -np.inf
        now = own - scores.max(1)
        better = now < margin[rows]
        best[rows[better]], margin[rows[better]] = moved[better], now[better]
    return best


def slope_of(module: torch.nn.Module) -> Slope:
    """A plain torch gradient, in batches that stay in the cache."""

    def slope(x: Images, y: Labels) -> Images:
        parts = []
        for start in range(0, len(x), BATCH):
            point = torch.tensor(x[start : start + BATCH], requires_grad=True)
            labels = torch.from_numpy(y[start : start + BATCH])
            loss = torch.nn.functional.cross_entropy(module(point), labels, reduction="sum")
            parts.append(torch.autograd.grad(loss, point)[0])
        return torch.cat(parts).numpy()

    return slope
