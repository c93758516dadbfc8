"""Equation solving: a softmax regression is read off its probabilities.

Tramer et al. 2016 (arXiv:1609.02943), section 4.1. log p_k(x) - log p_0(x) is linear in x, so d + 1
points in general position give all weights: the origin and the unit vectors here, whose equations
are solved by subtraction and amplify no rounding. Every further answer, at random points, goes with
them into a maximum-likelihood fit, sum_i KL(p_i, softmax(x_i W + b)), which is convex: with exact
answers its minimum is the model itself, with rounded ones the errors average out.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arena.players import ExtractionChallenge, Surrogate, Thief

MANIFEST = """
schema_version = 1
name = "Equation solving"
role = "thief"
framework = "torch"
entry = "player.py:EquationSolving"
family = "equation solving"
description = "Solves for the weights of a softmax regression from its probabilities."

[needs]
probes = true
output = "rounded"
"""

SMALLEST = 1e-30
HALF = 0.5
STEPS = 200
RIDGE = 1e-9
"""Keeps the fit finite where answers are rounded to 0 and 1; too small to move exact ones."""
Array = NDArray[np.float64]


class EquationSolving(Thief):
    """Linear copies alone: a deep net is copied as far as one linear layer can."""

    x: NDArray[np.float32]
    p: Array

    def steal(self, challenge: ExtractionChallenge) -> Surrogate:
        if not hasattr(self, "x"):
            self.x = np.zeros((0, *challenge.task.shape), np.float32)
        points = _points(challenge, asked=len(self.x))
        answers = challenge.defense.ask(points).astype(np.float64)
        self.x = np.concatenate([self.x, points])
        self.p = np.concatenate([self.p, answers]) if hasattr(self, "p") else answers
        classes = len(challenge.task.classes) or self.p.shape[1]
        told = self.p[:, :classes].sum(axis=1) > HALF  # else it was refused, and says nothing
        flat = self.x.reshape(len(self.x), -1).astype(np.float64)[told]
        p = self.p[told, :classes]
        if len(p) == 0:
            return Surrogate.linear(np.zeros((flat.shape[1], classes)), np.zeros(classes))
        return Surrogate.linear(*_fitted(flat, p, _solved(flat, p)))


def _points(challenge: ExtractionChallenge, *, asked: int) -> NDArray[np.float32]:
    """The origin, the unit vectors in order, then uniform points."""
    wanted = challenge.queries - asked
    size = int(np.prod(challenge.task.shape))
    system = np.concatenate([np.zeros((1, size)), np.eye(size)])[asked : asked + wanted]
    rest = challenge.rng().uniform(size=(wanted - len(system), size))
    points = np.concatenate([system, rest]).reshape(-1, *challenge.task.shape)
    return points.astype(np.float32)


def _solved(x: Array, p: Array) -> tuple[Array, Array]:
    """Least squares on log p_k - mean log p, each equation weighted by how well it is known.

    An answer rounded by δ moves log p by δ / p: a row counts as its smallest probability allows,
    and rows that were rounded to 0 hardly at all.
    """
    logs = np.log(np.maximum(p, SMALLEST))
    logs -= logs.mean(axis=1, keepdims=True)
    known = np.sqrt(np.clip(p.min(axis=1), 1e-6, None))[:, None]
    design = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    solution, *_ = np.linalg.lstsq(design * known, logs * known, rcond=1e-10)
    return solution[:-1], solution[-1]


def _fitted(x: Array, p: Array, start: tuple[Array, Array]) -> tuple[Array, Array]:
    """Maximum likelihood from ``start``, by L-BFGS in float64."""
    inputs, targets = torch.from_numpy(x), torch.from_numpy(p / p.sum(axis=1, keepdims=True))
    w = torch.from_numpy(start[0].copy()).requires_grad_()
    b = torch.from_numpy(start[1].copy()).requires_grad_()
    search = torch.optim.LBFGS([w, b], max_iter=STEPS, line_search_fn="strong_wolfe",
                               tolerance_grad=1e-10, tolerance_change=1e-14)  # fmt: skip

    def loss() -> Tensor:
        search.zero_grad()
        scores = torch.log_softmax(inputs @ w + b, dim=1)
        value = -(targets * scores).sum(dim=1).mean() + RIDGE * (w**2).sum()
        value.backward()
        return value

    search.step(loss)
    return w.detach().numpy(), b.detach().numpy()
