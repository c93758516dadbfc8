"""Transfer from an ensemble: what fools several models of other kinds often fools the defense too.

Liu, Chen, Liu & Song 2017 (arXiv:1611.02770), section 4, with the momentum steps of Dong et al.
2018 (arXiv:1710.06081):

    g_{k+1} = μ g_k + ∇ L(x_k) / |∇ L(x_k)|1,   L(x) = mean_m [loss of the true label under model m]

Sources are the related models that the round shows, and, where it grants training data, models of
four families trained on the spot: a deep net, softmax regression, a linear support vector machine,
and soft nearest neighbours (-log Σ_{same label} exp(-|x - x_i|² / τ) against the rest), since
adversarial examples cross between families unevenly (Papernot, McDaniel & Goodfellow 2016,
arXiv:1605.07277). Gradients are averaged over small shifts (Dong et al. 2019). No probe is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from arena.players import EvasionAttack, EvasionChallenge
from arena.torch_players import load_module

MANIFEST = """
schema_version = 1
name = "Ensemble transfer"
role = "attack"
framework = "torch"
entry = "player.py:EnsembleTransfer"
description = "Fools an ensemble of related and freshly trained models; asks no probe."

[needs]
norms = ["linf", "l2"]
games = ["evasion", "transfer"]
"""

Images = NDArray[np.float32]
Labels = NDArray[np.int64]
Loss = Callable[[Tensor, Tensor], Tensor]

LEAST_TRAINING = 300
"""Fewer examples than this teach a model too little to add to the related ones."""


class EnsembleTransfer(EvasionAttack):
    """``steps`` of momentum ``momentum``; ``epochs`` of training; at most ``examples`` of them.

    ``families``: which models are trained on the spot.
    """

    steps = 20
    momentum = 1.0
    epochs = 6
    examples = 2000
    families = ("net", "linear", "svm", "neighbours")

    def attack(self, challenge: EvasionChallenge) -> Images:
        for option in ("steps", "momentum", "epochs", "examples", "families"):
            setattr(self, option, self.options.get(option, getattr(self, option)))
        torch.set_num_threads(1)
        with torch.random.fork_rng():
            torch.manual_seed(challenge.seed % 2**63)
            models = list(self._models(challenge))
        if not models:
            return challenge.x
        given = challenge.targets if challenge.targets is not None else challenge.y
        labels = _guessed(models, challenge.x) if given is None else torch.tensor(given)
        candidates = self._climb(challenge, models, labels)
        return challenge.clip(candidates.numpy())

    def _models(self, challenge: EvasionChallenge) -> Iterator[nn.Module]:
        yield from (load_module(folder) for folder in challenge.related)
        if challenge.training is None or len(challenge.training[0]) < (
            0 if not challenge.related else LEAST_TRAINING
        ):
            return
        rng = challenge.rng()
        rows = rng.permutation(len(challenge.training[0]))[: self.examples]
        x, y = (torch.tensor(part[rows]) for part in challenge.training)
        classes = len(challenge.task.classes) or int(y.max()) + 1
        for family in self.families:
            yield trained(family, x, y, classes, self.epochs, rng)

    def _climb(
        self, challenge: EvasionChallenge, models: list[nn.Module], labels: Tensor
    ) -> Tensor:
        assert challenge.epsilon is not None, "A transfer attack needs a radius."
        x, linf = torch.tensor(challenge.x), challenge.norm == "linf"
        sign = -1.0 if challenge.targeted else 1.0
        delta, velocity = torch.zeros_like(x), torch.zeros_like(x)
        for step in range(self.steps):
            slope = sign * _shifted(_slope(models, (x + delta).clamp(0, 1), labels))
            slope = torch.from_numpy(challenge.task.allowed(slope.numpy()))
            velocity = self.momentum * velocity + slope / _lengths(slope, 1)
            move = velocity.sign() if linf else velocity / _lengths(velocity, 2)
            size = challenge.epsilon * (1.0 if step == 0 else 0.5 * (1 - step / self.steps))
            delta = torch.from_numpy(challenge.task.allowed((delta + size * move).numpy()))
            delta = _projected(x, delta, challenge.epsilon, linf=linf)
        return x + delta


def trained(
    family: str, x: Tensor, y: Tensor, classes: int, epochs: int, rng: np.random.Generator
) -> nn.Module:
    """A source model of that family: "net", "linear", "svm" or "neighbours"."""
    shape = tuple(x.shape[1:])
    if family == "neighbours":
        return SoftNeighbours(x[:800], y[:800], classes)
    model = _net(shape, classes) if family == "net" else _linear(shape, classes)
    loss: Loss = _hinge if family == "svm" else functional.cross_entropy
    rate, decay = (2e-3, 0.0) if family == "net" else (5e-3, 1e-3)
    adam = _Adam(list(model.parameters()), rate)
    for _ in range(epochs):
        order = torch.from_numpy(rng.permutation(len(x)))
        for start in range(0, len(x), 64):
            rows = order[start : start + 64]
            size = sum((weight**2).sum() for weight in adam.weights)
            adam.step(loss(model(x[rows]), y[rows]) + decay / 2 * size)
    return model.eval().requires_grad_(False)


class _Adam:
    """Kingma & Ba 2015 by hand: importing torch.optim takes longer than the training here."""

    def __init__(self, weights: list[nn.Parameter], rate: float) -> None:
        self.weights, self.rate, self.time = weights, rate, 0
        self.mean = [torch.zeros_like(weight) for weight in weights]
        self.square = [torch.zeros_like(weight) for weight in weights]

    def step(self, loss: Tensor) -> None:
        self.time += 1
        slopes = torch.autograd.grad(loss, self.weights)
        rate = self.rate * (1 - 0.999**self.time) ** 0.5 / (1 - 0.9**self.time)
        with torch.no_grad():
            for weight, slope, mean, square in zip(
                self.weights, slopes, self.mean, self.square, strict=True
            ):
                mean.lerp_(slope, 0.1)
                square.lerp_(slope**2, 0.001)
                weight.sub_(rate * mean / (square.sqrt() + 1e-8))


class SoftNeighbours(nn.Module):
    """Scores log Σ_i exp(-|x - x_i|² / τ) over each class's examples: nearest neighbours, soft."""

    def __init__(self, x: Tensor, y: Tensor, classes: int) -> None:
        super().__init__()
        order = y.argsort(stable=True)
        self.points, self.sizes = x.flatten(1)[order], torch.bincount(y, minlength=classes).tolist()
        distance = torch.cdist(x[:200].flatten(1), x[:200].flatten(1)) ** 2
        distance.fill_diagonal_(torch.inf)
        self.warmth = float(distance.amin(1).median()) / 10

    def forward(self, x: Tensor) -> Tensor:
        near = -(torch.cdist(x.flatten(1), self.points) ** 2) / self.warmth
        nothing = near.new_full((len(x), 1), -1e9)
        classes = (torch.cat([part, nothing], 1) for part in near.split(self.sizes, dim=1))
        return torch.stack([torch.logsumexp(part, dim=1) for part in classes], dim=1)


def _net(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Two convolutions for images, one hidden layer for anything else."""
    if len(shape) != 3 or min(shape[1:]) < 16:
        return nn.Sequential(
            nn.Flatten(), nn.Linear(int(np.prod(shape)), 200), nn.ReLU(), nn.Linear(200, classes)
        )
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * -(-height // 4) * -(-width // 4), classes),
    )


def _linear(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes))


def _hinge(scores: Tensor, labels: Tensor) -> Tensor:
    """Crammer & Singer's multiclass hinge."""
    return functional.multi_margin_loss(scores, labels)


def _guessed(models: list[nn.Module], x: Images) -> Tensor:
    """The label that the models together take for the true one."""
    votes = torch.stack([torch.softmax(model(torch.tensor(x)), dim=1) for model in models])
    return votes.mean(0).argmax(1)


def _slope(models: list[nn.Module], point: Tensor, labels: Tensor) -> Tensor:
    """The gradient of each model's loss, each made of length 1, averaged.

    Lengths differ by orders of magnitude between families; one model must not drown the others.
    """
    total = torch.zeros_like(point)
    for model in models:
        place = point.clone().requires_grad_()
        scores = model(place)
        mine = scores.gather(1, labels[:, None])[:, 0]
        others = scores.scatter(1, labels[:, None], -torch.inf).amax(1)
        (slope,) = torch.autograd.grad((others - mine).sum(), place)
        total += slope / _lengths(slope, 2)
    return total / len(models)


def _shifted(slope: Tensor) -> Tensor:
    """Averaged with its neighbours (binomial 3 x 3): the same as attacking shifted images."""
    if slope.ndim != 4 or min(slope.shape[2:]) < 16:
        return slope
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = (line[:, None] * line[None, :]).expand(slope.shape[1], 1, 3, 3)
    return functional.conv2d(slope, kernel, padding=1, groups=slope.shape[1])


def _projected(x: Tensor, delta: Tensor, epsilon: float, *, linf: bool) -> Tensor:
    delta = (x + delta).clamp(0, 1) - x
    if linf:
        return delta.clamp(-epsilon, epsilon)
    inside: Tensor = delta * (epsilon * (1 - 1e-6) / _lengths(delta, 2)).clamp(max=1.0)
    return inside


def _lengths(delta: Tensor, order: int) -> Tensor:
    flat: Tensor = torch.linalg.vector_norm(delta.flatten(1), ord=order, dim=1).clamp_min(1e-12)
    return flat.reshape(-1, *[1] * (delta.ndim - 1))
