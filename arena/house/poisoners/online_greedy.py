"""Greedy online poisoning: each batch gets the points whose gradient step hurts most, now.

Zhang, Zhu & Lessard 2020 (arXiv:1903.01666), greedy; Wang & Chaudhuri 2018 (arXiv:1808.08994). The
poisoner trains softmax regression along with the learner, on the clean points and its own. A step
on (x, y) changes the loss on the clean points seen so far, of gradient G, by

    - η <G, x^T (softmax(x W) - onehot(y))>

to first order: of the points seen and of the corners of the box that a label makes worst, those
are handed in that make this largest. Corners stand only where S ever does, so that they cannot be
set apart by features that are dead. A learner that drops what lies far away is met by the points
that were seen: half of the budget is theirs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import OnlineChallenge, Poison, Poisoner

MANIFEST = """
schema_version = 1
name = "Online greedy"
role = "poisoner"
framework = "numpy"
entry = "player.py:OnlineGreedy"
family = "greedy gradient"
description = "Keeps a model along with the learner; hands in the points whose step hurts it most."

[needs]
games = ["online_poisoning"]
"""

Array = NDArray[np.float64]


class OnlineGreedy(Poisoner):
    """Needs the batches alone."""

    passes = 30
    spread = 4
    """How many different points share the budget of a batch."""

    def poison_batch(self, challenge: OnlineChallenge) -> Poison:
        c = challenge
        classes = max(len(c.task.classes), int(c.y.max(initial=0)) + 1)
        flat = _with_ones(c.x)
        if c.batch == 0:
            self.seen, self.labels = flat, c.y
            self.mine, self.mine_y = flat[:0], c.y[:0]
        else:
            self.seen = np.concatenate([self.seen, flat])
            self.labels = np.concatenate([self.labels, c.y])
        classes = max(classes, int(self.labels.max(initial=0)) + 1)
        weights = self._trained(classes)
        points, labels = self._worst(weights, classes, c.count)
        self.mine = np.concatenate([self.mine, points])
        self.mine_y = np.concatenate([self.mine_y, labels])
        x = points[:, :-1].reshape(-1, *c.x.shape[1:]).astype(np.float32)
        replaces = None
        if c.mode == "replace":
            replaces = c.rng().choice(len(c.x), len(x), replace=False)
        return Poison(x, labels, replaces)

    def _trained(self, classes: int) -> Array:
        """Softmax regression on everything so far, its own poison too."""
        x = np.concatenate([self.seen, self.mine])
        onehot = np.eye(classes)[np.concatenate([self.labels, self.mine_y])]
        weights = np.zeros((x.shape[1], classes))
        step = 2.0 / max(1.0, float((x**2).sum(axis=1).mean()))
        for _ in range(self.passes):
            weights -= step * (x.T @ (_softmax(x @ weights) - onehot) / len(x))
        return weights

    def _worst(self, weights: Array, classes: int, count: int) -> tuple[Array, NDArray[np.int64]]:
        onehot = np.eye(classes)
        clean = self.seen.T @ (_softmax(self.seen @ weights) - onehot[self.labels])
        clean /= len(self.seen)
        near = self._best_of(self.seen, weights, clean, onehot, count - count // 2)
        far = self._best_of(self._corners(weights, classes), weights, clean, onehot, count // 2)
        return np.concatenate([near[0], far[0]]), np.concatenate([near[1], far[1]])

    def _best_of(
        self, x: Array, weights: Array, clean: Array, onehot: Array, count: int
    ) -> tuple[Array, NDArray[np.int64]]:
        """``count`` of these points under the worst labels, ``spread`` of them distinct."""
        pull = x @ clean
        residual_part = (_softmax(x @ weights) * pull).sum(axis=1, keepdims=True)
        harm = -(residual_part - pull)  # (n, classes): by label
        order = np.argsort(-harm, axis=None, kind="stable")[: self.spread]
        rows, labels = np.unravel_index(np.resize(order, count), harm.shape)
        return x[rows], labels.astype(np.int64)

    def _corners(self, weights: Array, classes: int) -> Array:
        """For each pair of classes the corner of the box that the model is surest of."""
        live = self.seen[:, :-1].max(axis=0) > 0
        slopes = [
            weights[:-1, k] - weights[:-1, j]
            for k in range(classes)
            for j in range(classes)
            if j != k
        ]
        corners = np.stack([(slope > 0) & live for slope in slopes]).astype(np.float64)
        return np.concatenate([corners, np.ones((len(corners), 1))], axis=1)


def _with_ones(x: NDArray[np.float32]) -> Array:
    flat = x.reshape(len(x), -1).astype(np.float64)
    return np.concatenate([flat, np.ones((len(x), 1))], axis=1)


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares
