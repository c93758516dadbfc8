"""The house's softmax regression for tasks that it ships no weights for: an organizer's own.

Fitted to the training split when it is first asked for, so that guests of every task have somebody
to meet: at qualification, in a first match, as a related model. Accelerated gradient descent
(Nesterov 1983) on the cross-entropy of centred inputs with a little weight decay: convex, so that
it needs no tuning, and the same on every machine but for rounding. Plain numpy, since it runs where
players are read, not where they play.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena import tasks
from arena.errors import PackageError
from arena.house.registry import BASELINE
from arena.tasks import Task
from arena.tensors import as_safetensors

ARCHITECTURE: Final = "softmax.py"
ROWS: Final = 4000
STEPS: Final = 300
POWERS: Final = 30
DECAY: Final = 1e-4

Floats = NDArray[np.float64]


def weights(task: Task, *, seed: int) -> bytes:
    """The parameters of :data:`ARCHITECTURE` as safetensors.

    ``seed`` 0: fitted to the training split; another: to as many examples drawn from it with
    replacement, a model related to the first.

    Raises:
        PackageError: the task has values, and no classes.
    """
    if task.is_regression:
        raise PackageError(
            f"Task {task.name!r} has values and no classes: {BASELINE} tells classes apart."
        )
    return _weights(task.name, task.digest, seed)


@lru_cache(maxsize=16)
def _weights(name: str, _digest: str, seed: int) -> bytes:
    task = tasks.load(name)
    stream = np.random.RandomState(seed)
    n = len(task.train)
    rows = stream.randint(0, n, n) if seed else stream.permutation(n)
    rows = rows[:ROWS]
    x = task.train.x[rows].reshape(len(rows), -1).astype(np.float64)
    weight, bias = fitted(x, np.eye(len(task.classes))[task.train.y[rows]])
    return as_safetensors(
        {"1.weight": weight.astype(np.float32), "1.bias": bias.astype(np.float32)}
    )


def fitted(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """weight (classes, features) and bias (classes,) for ``x`` (n, features), ``y`` one-hot."""
    centre = x.mean(axis=0)
    design = np.c_[x - centre, np.ones(len(x))]
    # The Hessian of softmax is at most half of the design's second moment (Böhning 1992).
    step = 1 / (0.5 * _largest(design) + DECAY)
    theta = ahead = np.zeros((y.shape[1], design.shape[1]))
    for k in range(STEPS):
        scores = design @ ahead.T
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        told = scores / scores.sum(axis=1, keepdims=True)
        moved = ahead - step * ((told - y).T @ design / len(x) + DECAY * ahead)
        ahead = moved + k / (k + 3) * (moved - theta)
        theta = moved
    weight = theta[:, :-1]
    return weight, theta[:, -1] - weight @ centre


def _largest(design: Floats) -> float:
    """The largest eigenvalue of design^T design / n by the power method, and a tenth for safety."""
    direction = np.ones(design.shape[1])
    for _ in range(POWERS):
        direction = design.T @ (design @ direction)
        direction /= np.linalg.norm(direction)
    return float(1.1 * np.square(design @ direction).sum() / len(design))
