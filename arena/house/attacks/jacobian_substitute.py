"""Black-box attack through a substitute: probes label synthetic data, the net they train is broken.

Papernot et al. 2017 (arXiv:1602.02697), algorithm 1. From a few points S_0 of the distribution,
ask the oracle for labels, train the substitute F, and augment along its Jacobian:

    S_{ρ+1} = S_ρ ∪ {x + λ_ρ sign(∂F_{O(x)}(x) / ∂x) : x in S_ρ},   λ's sign turns every τ rounds

from round σ on with at most κ points drawn by reservoir sampling (section 6.2). The paper crafts
with one step; here momentum steps (Dong et al. 2018) climb the cross-entropy of the *true* label on
the substitute, which transfers much better. It weighs every class that may win by its chance, where
the margin bets on one.

A round with several ε asks for the same examples again: one substitute serves them all. Training
ends early when the share SHARE of the time is over; after each round of labels, quick candidates
are handed in, so that a slow machine costs quality and never the match.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from arena.players import EvasionAttack, EvasionChallenge, QueryBudgetExceeded
from arena.torch_players import load_module

MANIFEST = """
schema_version = 1
name = "Jacobian substitute"
role = "attack"
framework = "torch"
entry = "player.py:JacobianSubstitute"
description = "Trains a substitute on labels of synthetic points and attacks that (Papernot 2017)."

[needs]
probes = true
output = "label"
training_data = true
norms = ["linf", "l2"]
games = ["evasion"]
"""

Images = NDArray[np.float32]
Labels = NDArray[np.int64]

SHARE = 0.6
"""Of the time that the round grants: crafting for each ε has to fit into the rest."""
USUAL_SECONDS = 120.0
"""Where nothing limits this process."""


class JacobianSubstitute(EvasionAttack):
    """``labels``: at most so many probes; ``rounds``: ρ; ``step``: λ; ``reservoir``: κ from σ on.

    ``turn``: τ. ``decay``: weight of |w|²/2 beside the sum of the losses over S: a Gaussian prior,
    for few labels. ``substitute``: "net" or "linear".
    ``quick_steps``: of the candidates that are handed in early.
    ``seconds``: after which training ends; 0 for SHARE of what the process may use.
    """

    labels = 4800
    seeds = 150
    rounds = 6
    step = 0.1
    turn = 3
    reservoir_from = 5
    reservoir = 1600
    epochs = 5
    decay = 0.0
    substitute = "net"
    craft_steps = 40
    quick_steps = 4
    seconds = 0.0

    _learned: tuple[Images, nn.Module, Labels] | None = None
    """The examples of the last challenge, the substitute, the examples' labels."""

    def attack(self, challenge: EvasionChallenge) -> Images:
        for option in vars(JacobianSubstitute):
            if option in self.options:
                setattr(self, option, self.options[option])
        torch.set_num_threads(1)
        if self._learned is None or not np.array_equal(self._learned[0], challenge.x):
            clock = _Clock(self.seconds)
            with torch.random.fork_rng():
                torch.manual_seed(challenge.seed % 2**63)
                asked = _Oracle(challenge, self.labels)
                model = self._learn(challenge, asked, challenge.rng(), clock)
            self._learned = challenge.x.copy(), model, asked.own_labels(model)
        _, model, labels = self._learned
        return crafted(challenge, model, labels, self.craft_steps)

    def _learn(
        self,
        challenge: EvasionChallenge,
        asked: _Oracle,
        rng: np.random.Generator,
        clock: _Clock,
    ) -> nn.Module:
        assert challenge.training is not None
        pool = challenge.training[0]
        chosen = rng.permutation(len(pool))[: self.seeds]
        x = pool[chosen]
        y = asked.labels(x)
        x = x[: len(y)]
        classes = len(challenge.task.classes) or int(max(y.max(initial=1), 1)) + 1
        model = self._untrained(challenge, classes)
        rate = 1e-3 if self.substitute == "net" else 1e-2
        for round_ in range(self.rounds + 1):
            _fit(model, rate, x, y, self.epochs, self.decay, rng, clock)
            if round_ == self.rounds or not asked.left or clock.over:
                break
            challenge.submit(crafted(challenge, model, asked.own_labels(model), self.quick_steps))
            sources = self._sources(len(x), round_, rng)
            sign = -1.0 if (round_ // self.turn) % 2 else 1.0
            fresh = _augmented(model, x[sources], y[sources], sign * self.step)
            answers = asked.labels(fresh)
            x, y = np.concatenate([x, fresh[: len(answers)]]), np.concatenate([y, answers])
        _fit(model, rate, x, y, self.epochs, self.decay, rng, clock)
        return model.eval().requires_grad_(False)

    def _sources(self, count: int, round_: int, rng: np.random.Generator) -> Labels:
        """All points; from round σ on κ at random, as a reservoir holds them at the end."""
        if round_ < self.reservoir_from - 1:
            return np.arange(count)
        return rng.permutation(count)[: self.reservoir]

    def _untrained(self, challenge: EvasionChallenge, classes: int) -> nn.Module:
        """The opponent's own builder where the round gives it, else a net of our own."""
        if challenge.architecture is not None:
            return load_module(challenge.architecture).requires_grad_(True).train()
        shape = challenge.x.shape[1:]
        if self.substitute == "linear":
            return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes))
        if len(shape) == 3 and min(shape[1:]) >= 16:
            return _convolutional(shape, classes)
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(int(np.prod(shape)), 200),
            nn.ReLU(),
            nn.Linear(200, 100),
            nn.ReLU(),
            nn.Linear(100, classes),
        )


def _convolutional(shape: tuple[int, ...], classes: int) -> nn.Module:
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * -(-height // 4) * -(-width // 4), 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    )


class _Clock:
    """Runs from when it is made, for ``seconds``, or for SHARE of the processor time granted."""

    def __init__(self, seconds: float) -> None:
        granted = float(resource.getrlimit(resource.RLIMIT_CPU)[0])
        usual = granted if granted != resource.RLIM_INFINITY else USUAL_SECONDS
        self.end = time.monotonic() + (seconds or SHARE * usual)

    @property
    def over(self) -> bool:
        return time.monotonic() > self.end


class _Oracle:
    """Labels by probes, charged to the examples that have the most left."""

    def __init__(self, challenge: EvasionChallenge, most: int) -> None:
        self.challenge = challenge
        everyone = np.arange(len(challenge))
        self.budget = challenge.defense.probes_left_for(everyone)
        self.own = challenge.y
        if self.own is None:
            self.own = np.full(len(challenge), -1)
            count = int(min(len(challenge), challenge.defense.probes_left))
            self.own[:count] = self._ask(challenge.x[:count], everyone[:count])
            self.budget[:count] -= 1
        total = min(float(self.budget.sum()), challenge.defense.probes_left)
        self.left = int(min(most, total))

    def own_labels(self, model: nn.Module) -> Labels:
        """The examples' labels: given, or by the first probe of each, else the substitute's."""
        assert self.own is not None
        unknown = np.flatnonzero(self.own < 0)
        labels = self.own.copy()
        if len(unknown):
            labels[unknown] = model(torch.from_numpy(self.challenge.x[unknown])).argmax(1).numpy()
        return labels

    def labels(self, x: Images) -> Labels:
        """Labels of the first rows of x, as many as the probes allow."""
        count = min(len(x), self.left)
        owners, parts = self._owners(count), []
        self.left -= count
        for start in range(0, count, 1000):
            rows = slice(start, min(start + 1000, count))
            try:
                parts.append(self._ask(x[rows], owners[rows]))
            except QueryBudgetExceeded:  # the defense's time is up: learn from what there is
                self.left = 0
                break
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def _owners(self, count: int) -> Labels:
        """Spread the charge: everyone's probes by turns."""
        each = np.zeros(len(self.budget), np.int64)
        while each.sum() < count:
            able = np.flatnonzero(self.budget - each >= 1)
            share = max(1, (count - int(each.sum())) // max(1, len(able)))
            most = np.minimum(self.budget[able] - each[able], share).astype(np.int64)
            running = np.minimum(np.cumsum(most), count - int(each.sum()))
            each[able] += np.diff(running, prepend=0)
        self.budget = self.budget - each
        return np.repeat(np.arange(len(each)), each)

    def _ask(self, x: Images, owners: Labels) -> Labels:
        reply = self.challenge.defense.ask(x, owners)
        if self.challenge.output == "label":
            answers = reply.astype(np.int64)
        elif self.challenge.output == "top_k":
            answers = reply[:, 0].astype(np.int64)
        else:
            answers = reply[:, : len(self.challenge.task.classes) or None].argmax(1)
        return np.maximum(answers, 0)


class _Adam:
    """Kingma & Ba 2015 by hand: importing torch.optim takes longer than the training here."""

    def __init__(self, weights: list[nn.Parameter], rate: float) -> None:
        self.weights, self.rate, self.time = weights, rate, 0
        self.share = 1.0
        self.mean = [torch.zeros_like(weight) for weight in weights]
        self.square = [torch.zeros_like(weight) for weight in weights]

    def step(self, loss: Tensor) -> None:
        self.time += 1
        slopes = torch.autograd.grad(loss, self.weights)
        rate = self.share * self.rate * (1 - 0.999**self.time) ** 0.5 / (1 - 0.9**self.time)
        with torch.no_grad():
            for weight, slope, mean, square in zip(
                self.weights, slopes, self.mean, self.square, strict=True
            ):
                mean.lerp_(slope, 0.1)
                square.lerp_(slope**2, 0.001)
                weight.sub_(rate * mean / (square.sqrt() + 1e-8))


def _fit(
    model: nn.Module,
    rate: float,
    x: Images,
    y: Labels,
    epochs: int,
    decay: float,
    rng: np.random.Generator,
    clock: _Clock,
) -> None:
    """So many epochs at a rate that falls to nothing, or as many as the clock allows."""
    adam = _Adam(list(model.parameters()), rate)
    matrices = [weight for weight in adam.weights if weight.ndim > 1]
    for epoch in range(epochs):
        if clock.over:
            return
        adam.share = 1 - epoch / epochs
        for rows in _batches(len(x), 64, rng):
            scores = model(torch.from_numpy(x[rows]))
            loss = functional.cross_entropy(scores, torch.from_numpy(y[rows]))
            if decay:
                prior = torch.stack([matrix.square().sum() for matrix in matrices]).sum()
                loss = loss + decay / (2 * len(x)) * prior
            adam.step(loss)


def _batches(count: int, size: int, rng: np.random.Generator) -> Iterator[Labels]:
    order = rng.permutation(count)
    yield from (order[start : start + size] for start in range(0, count, size))


def _augmented(model: nn.Module, x: Images, y: Labels, step: float) -> Images:
    """x + λ sign(∂F_y / ∂x), clipped."""
    point = torch.from_numpy(x.copy()).requires_grad_()
    chosen = model(point).gather(1, torch.from_numpy(y)[:, None]).sum()
    (slope,) = torch.autograd.grad(chosen, point)
    return np.clip(x + step * slope.sign().numpy(), 0, 1).astype(np.float32)


def crafted(challenge: EvasionChallenge, model: nn.Module, labels: Labels, steps: int) -> Images:
    """Momentum steps on the substitute's margin within ε, for all examples at once."""
    assert challenge.epsilon is not None, "The substitute attack needs a radius."
    x = torch.from_numpy(challenge.x.copy())
    aim = torch.from_numpy(labels if challenge.targets is None else challenge.targets)
    sign = 1.0 if challenge.targets is None else -1.0
    epsilon, linf = challenge.epsilon, challenge.norm == "linf"
    weights = list(model.parameters())
    learning = [weight.requires_grad for weight in weights]
    model.requires_grad_(False)
    delta, velocity = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(steps):
        point = (x + delta).clamp(0, 1).requires_grad_()
        (slope,) = torch.autograd.grad(sign * _doubt(model(point), aim).sum(), point)
        slope = torch.from_numpy(challenge.task.allowed(slope.numpy()))
        velocity = velocity + slope / _lengths(slope, 1)
        move = velocity.sign() if linf else velocity / _lengths(velocity, 2)
        size = epsilon * (1.0 if step == 0 else 0.5 * (1 - step / steps))
        delta = torch.from_numpy(challenge.task.allowed((delta + size * move).numpy()))
        delta = _projected(x, delta, epsilon, linf=linf)
    for weight, learns in zip(weights, learning, strict=True):
        weight.requires_grad_(learns)
    return challenge.clip((x + delta).numpy())


def _doubt(scores: Tensor, labels: Tensor) -> Tensor:
    """The log of the odds against the label: the cross-entropy's direction, never vanishing."""
    mine = scores.gather(1, labels[:, None])
    others = scores.scatter(1, labels[:, None], -torch.inf)
    return others.logsumexp(1) - mine[:, 0]


def _projected(x: Tensor, delta: Tensor, epsilon: float, *, linf: bool) -> Tensor:
    delta = (x + delta).clamp(0, 1) - x
    if linf:
        return delta.clamp(-epsilon, epsilon)
    inside: Tensor = delta * (epsilon * (1 - 1e-6) / _lengths(delta, 2)).clamp(max=1.0)
    return inside


def _lengths(delta: Tensor, order: int) -> Tensor:
    flat: Tensor = torch.linalg.vector_norm(delta.flatten(1), ord=order, dim=1).clamp_min(1e-12)
    return flat.reshape(-1, *[1] * (delta.ndim - 1))
