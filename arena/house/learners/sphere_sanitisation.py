"""Sphere and slab sanitisation, then the same small CNN as the undefended learner.

Keeps the points of class y that lie (Steinhardt, Koh & Liang 2017, section 3)

    in the sphere    ||x - c_y||_2 <= r_y
    in the slabs     <x - c_y, c_k - c_y> / ||c_k - c_y||^2 <= s_yk    for every other class k

and whose label is that of most of their ten nearest neighbours (Paudice, Munoz-Gonzalez & Lupu
2018, label sanitisation). Centres and sizes come from the poisoned data itself: c_y is the
coordinate-wise median of class y, r_y and s_yk the median of the left-hand side plus five median
absolute deviations. Medians hold while fewer than half of a class is poisoned. The sphere drops
far outliers, the slabs points that lie where another class does, the neighbours flipped labels
near the boundary. A slab is one-sided: away from the other class a poisoner gains nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from arena.players import Learner

MANIFEST = """
schema_version = 1
name = "Sphere sanitisation"
role = "learner"
framework = "torch"
entry = "player.py:SphereSanitisation"
family = "convolutional net"
description = "Drops points outside their class's sphere and slabs, or at odds with neighbours."
"""

Array = NDArray[np.float64]


class SphereSanitisation(Learner):
    """Poison that does not look like its class is gone before training sees it."""

    deviations = 5.0
    neighbours = 10
    epochs = 6
    batch = 64
    rate = 3e-3

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int64], seed: int) -> None:
        torch.manual_seed(seed)
        kept = plausible(x, y, deviations=self.deviations)
        kept[kept] = agreeing(x[kept], y[kept], neighbours=self.neighbours)
        inputs, labels = torch.from_numpy(x[kept]), torch.from_numpy(y[kept])
        self.model = _net(self.task.shape, len(self.task.classes))
        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.rate)
        for _ in range(self.epochs):
            for rows in torch.randperm(len(inputs)).split(self.batch):
                optimizer.zero_grad()
                nn.functional.cross_entropy(self.model(inputs[rows]), labels[rows]).backward()
                optimizer.step()

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            scores: NDArray[np.float32] = self.model(torch.from_numpy(np.array(x))).numpy()
        return scores


def plausible(
    x: NDArray[np.float32], y: NDArray[np.int64], *, deviations: float
) -> NDArray[np.bool_]:
    """(m,) whether each point lies in the sphere and the slabs of its own class."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    centres = {int(label): np.median(flat[y == label], axis=0) for label in np.unique(y)}
    kept = np.ones(len(x), bool)
    for label, centre in centres.items():
        members = np.flatnonzero(y == label)
        offsets = flat[members] - centre
        kept[members] &= _usual(np.linalg.norm(offsets, axis=1), deviations)
        for axis in (other - centre for rival, other in centres.items() if rival != label):
            kept[members] &= _usual(offsets @ axis / max(axis @ axis, 1e-12), deviations)
    return kept


def agreeing(x: NDArray[np.float32], y: NDArray[np.int64], *, neighbours: int) -> NDArray[np.bool_]:
    """(m,) whether more than half of the nearest other points, in L2, carry the same label."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    squares = (flat**2).sum(axis=1)
    gaps = squares[:, None] + squares[None] - 2 * flat @ flat.T
    np.fill_diagonal(gaps, np.inf)
    nearest = np.argpartition(gaps, neighbours, axis=1)[:, :neighbours]
    return np.asarray((y[nearest] == y[:, None]).mean(axis=1) > 0.5)


def _usual(values: Array, deviations: float) -> NDArray[np.bool_]:
    """Not far above the median, in median absolute deviations."""
    middle = np.median(values)
    spread = np.median(np.abs(values - middle))
    return np.asarray(values <= middle + deviations * spread)


def _net(shape: tuple[int, ...], classes: int) -> nn.Module:
    """conv 4x4 s2 x8, conv 4x4 s2 x16, dense; of flat inputs one hidden layer."""
    if len(shape) == 1:
        return nn.Sequential(nn.Linear(shape[0], 64), nn.ReLU(), nn.Linear(64, classes))
    channels = shape[0] if len(shape) == 3 else 1
    return nn.Sequential(
        nn.Unflatten(1, (1, shape[0])) if len(shape) == 2 else nn.Identity(),
        nn.Conv2d(channels, 8, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * (shape[-2] // 4) * (shape[-1] // 4), classes),
    )
