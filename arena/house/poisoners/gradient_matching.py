"""Gradient matching (Witches' Brew): clean-label poison that trains a net towards one mistake.

Geiping et al. 2021 (arXiv:2009.02276), eq. 3. For a net F of parameters θ trained on S, the poison
x_i + δ_i under its own label y_i is made such that its mean gradient points where the gradient of
the wanted mistake points, so that any training on it makes that mistake as well:

    min_δ  1 - cos( ∇θ loss(F(x_t), t),  mean_i ∇θ loss(F(x_i + δ_i), y_i) )   with |δ_i| <= ε

Bases are points of the wanted class whose gradients are longest; δ goes by signed Adam, projected
onto the L∞ ball and the box. The mean over a few nets of different seeds stands for the learner,
whose net, if it is another, is not needed. In rounds without ε the box alone bounds δ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from arena.players import Poison, Poisoner, TargetedChallenge

MANIFEST = """
schema_version = 1
name = "Gradient matching"
role = "poisoner"
framework = "torch"
entry = "player.py:GradientMatching"
family = "gradient matching"
description = "Clean-label points whose training gradient is that of the wanted mistake."

[needs]
games = ["targeted_poisoning"]
norms = ["linf"]
"""


class GradientMatching(Poisoner):
    """Trains its own nets on S once, and keeps them for every chosen point."""

    nets = 3
    epochs = 4
    steps = 60
    rate = 0.1
    """Of ε."""

    def poison_target(self, challenge: TargetedChallenge) -> Poison:
        c = challenge
        torch.manual_seed(c.seed)
        if not hasattr(self, "trained"):
            self.trained = [self._net(c) for _ in range(self.nets)]
        rows = self._bases(c)
        base = torch.from_numpy(c.x[rows].copy())
        labels = torch.full((len(rows),), c.target)
        delta = self._matched(c, base, labels)
        x = (base + delta).clamp(0, 1).numpy()
        return Poison(x, labels.numpy(), rows if c.mode == "replace" else None)

    def _net(self, c: TargetedChallenge) -> nn.Module:
        net = _small_net(c.x.shape[1:], int(c.y.max()) + 1)
        optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
        x, y = torch.from_numpy(np.array(c.x)), torch.from_numpy(np.array(c.y))
        for _ in range(self.epochs):
            for batch in torch.randperm(len(x)).split(64):
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
                optimizer.step()
        return net

    def _bases(self, c: TargetedChallenge) -> NDArray[np.int64]:
        """Points of the wanted class with the longest gradients, by the error of their scores."""
        members = np.flatnonzero(c.y == c.target)
        with torch.no_grad():
            x = torch.from_numpy(np.array(c.x[members]))
            errors = sum(1 - net(x).softmax(1)[:, c.target] for net in self.trained)
        order = members[np.argsort(-np.asarray(errors), kind="stable")]
        return order[: c.count] if c.mode == "replace" else np.resize(order, c.count)

    def _matched(self, c: TargetedChallenge, base: Tensor, labels: Tensor) -> Tensor:
        radius = 1.0 if c.epsilon is None else float(c.epsilon)
        point = torch.from_numpy(np.array(c.target_x))[None]
        wanted = [_gradient(net, point, labels[:1], create=False) for net in self.trained]
        mutable = torch.ones(base.shape[1:])
        if c.task.mutable is not None:
            mutable = torch.from_numpy(np.asarray(c.task.mutable, np.float32))
        delta = ((torch.rand_like(base) * 2 - 1) * radius * mutable).requires_grad_()
        optimizer = torch.optim.Adam([delta], lr=self.rate * radius)
        for step in range(self.steps):
            optimizer.param_groups[0]["lr"] = self.rate * radius * (1 - step / self.steps)
            loss = torch.stack([
                _misalignment(w, _gradient(net, base + delta, labels, create=True))
                for net, w in zip(self.trained, wanted, strict=True)
            ]).mean()  # fmt: skip
            (slope,) = torch.autograd.grad(loss, delta)
            delta.grad = slope.sign() * mutable
            optimizer.step()
            with torch.no_grad():
                delta.clamp_(-radius, radius)
                delta.copy_((base + delta).clamp(0, 1) - base)
        return delta.detach()


def _gradient(net: nn.Module, x: Tensor, y: Tensor, *, create: bool) -> Sequence[Tensor]:
    loss = nn.functional.cross_entropy(net(x), y)
    return torch.autograd.grad(loss, list(net.parameters()), create_graph=create)


def _misalignment(wanted: Sequence[Tensor], given: Sequence[Tensor]) -> Tensor:
    """1 - cosine over all parameters together."""
    products: Any = sum((w * g).sum() for w, g in zip(wanted, given, strict=True))
    lengths: Any = [sum((g**2).sum() for g in side).sqrt() for side in (wanted, given)]  # type: ignore[union-attr]
    loss: Tensor = 1 - products / (lengths[0] * lengths[1] + 1e-12)
    return loss


def _small_net(shape: tuple[int, ...], classes: int) -> nn.Module:
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
