"""A small convolutional net trained from scratch on whatever it is given: undefended."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from arena.players import Learner

MANIFEST = """
schema_version = 1
name = "Small CNN, undefended"
role = "learner"
framework = "torch"
entry = "player.py:CnnLearner"
family = "convolutional net"
description = "Two strided convolutions and a dense layer, Adam, on all points it is given."
"""


class CnnLearner(Learner):
    """conv 4x4 s2 x8, conv 4x4 s2 x16, dense; Adam (Kingma & Ba 2015)."""

    epochs = 6
    batch = 64
    rate = 3e-3

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int64], seed: int) -> None:
        torch.manual_seed(seed)
        inputs, labels = torch.from_numpy(np.array(x)), torch.from_numpy(np.array(y))
        self.model = _net(self.task.shape, len(self.task.classes))
        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.rate)
        for _ in range(self.epochs):
            for rows in torch.randperm(len(inputs)).split(self.batch):
                _step(self.model, optimizer, inputs[rows], labels[rows])

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            scores: NDArray[np.float32] = self.model(torch.from_numpy(np.array(x))).numpy()
        return scores


def _net(shape: tuple[int, ...], classes: int) -> nn.Module:
    """As the class says; of flat inputs one hidden layer."""
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


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
