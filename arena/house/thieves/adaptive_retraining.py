"""Adaptive retraining: ask where the copy is least sure, train it anew, and again.

Tramer et al. 2016 (arXiv:1609.02943), section 6, after Cohn, Atlas & Ladner 1994. A first share of
the probes goes to the round's own training points and to uniform ones; then, in rounds, to points
on the copy's decision boundaries: from a seed point along the line to one of another class, halved
until both ends lie together. It needs labels alone. Two copies are trained, a softmax regression
and a net with one hidden layer; the one that predicts more of the answers it did not see is kept.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from arena.players import ExtractionChallenge, Images, Labels, Surrogate, Thief

MANIFEST = """
schema_version = 1
name = "Adaptive retraining"
role = "thief"
framework = "torch"
entry = "player.py:AdaptiveRetraining"
family = "adaptive retraining"
description = "Asks on the copy's own decision boundaries and trains it anew; labels suffice."

[needs]
probes = true
"""

FIRST = 0.5
"""Share of the probes of a call that is asked before the copy guides the others."""
ROUNDS = 3
HALVINGS = 12
HIDDEN = 64
HELD_OUT = 0.1
STEPS = 150
DECAY = 1e-6

NET_MANIFEST = b"""schema_version = 1
name = "Stolen net"
role = "defense"
weights = "weights.npz"
entry = "player.py:Stolen"
"""
NET_PLAYER = b"""import numpy as np

import arena.players


class Stolen(arena.players.Defense):
    def load(self):
        stored = np.load(self.package / "weights.npz")
        self.layers = [(stored[f"w{i}"], stored[f"b{i}"]) for i in range(2)]

    def predict(self, x):
        (w0, b0), (w1, b1) = self.layers
        return np.maximum(x.reshape(len(x), -1) @ w0 + b0, 0.0) @ w1 + b1
"""


class AdaptiveRetraining(Thief):
    """Keeps every answer from call to call."""

    x: Images
    y: Labels

    def steal(self, challenge: ExtractionChallenge) -> Surrogate:
        rng = challenge.rng()
        torch.manual_seed(challenge.seed)
        if not hasattr(self, "x"):
            self.x = np.zeros((0, *challenge.task.shape), np.float32)
            self.y = np.zeros(0, np.int64)
        wanted = challenge.queries - len(self.x)
        self._ask(challenge, _seeds(challenge, int(np.ceil(FIRST * wanted)), rng, len(self.x)))
        for turn in range(ROUNDS):
            left = challenge.queries - len(self.x)
            count = left if turn == ROUNDS - 1 else left // (ROUNDS - turn)
            copy = self._trained(_linear, challenge)
            self._ask(challenge, _between(copy, self.x, self.y, count, rng))
        return _packed(self._chosen(challenge, rng))

    def _ask(self, challenge: ExtractionChallenge, points: Images) -> None:
        """Replies of every kind come down to labels; refusals (-1) teach nothing."""
        if len(points) == 0:
            return
        replies = challenge.defense.ask(points)
        if replies.ndim == 1:
            labels = replies.astype(np.int64)
        elif challenge.output == "top_k":
            labels = replies[:, 0].astype(np.int64)
        else:
            labels = replies.argmax(axis=1).astype(np.int64)
            labels[labels >= _classes(challenge, labels)] = -1
        self.x = np.concatenate([self.x, points])
        self.y = np.concatenate([self.y, labels])

    def _trained(self, build: _Builder, challenge: ExtractionChallenge) -> nn.Module:
        told = self.y >= 0
        return _fit(build, self.x[told], self.y[told], _classes(challenge, self.y))

    def _chosen(self, challenge: ExtractionChallenge, rng: np.random.Generator) -> nn.Module:
        """The kind of copy that predicts the answers it did not see, trained on all of them."""
        told = rng.permutation(np.flatnonzero(self.y >= 0))
        cut = max(1, int(HELD_OUT * len(told)))
        kept, hidden = told[cut:], told[:cut]
        classes = _classes(challenge, self.y)
        scores = [
            _agreement(_fit(build, self.x[kept], self.y[kept], classes), self.x[hidden],
                       self.y[hidden])
            for build in (_linear, _net)
        ]  # fmt: skip
        return self._trained((_linear, _net)[int(np.argmax(scores))], challenge)


def _classes(challenge: ExtractionChallenge, labels: Labels) -> int:
    """Named by the round, or as many as were seen."""
    return len(challenge.task.classes) or int(labels.max(initial=1)) + 1


def _seeds(
    challenge: ExtractionChallenge, count: int, rng: np.random.Generator, asked: int
) -> Images:
    """The round's own points as far as they go, then mixtures of two of them, or uniform points."""
    shape = challenge.task.shape
    if challenge.training is None:
        return rng.uniform(size=(count, *shape)).astype(np.float32)
    known = challenge.training[0]
    own = known[asked : asked + count]
    one, other = (known[rng.integers(len(known), size=count - len(own))] for _ in range(2))
    share = rng.uniform(size=(len(one), *[1] * len(shape)))
    mixed = share * one + (1 - share) * other
    return np.concatenate([own, mixed]).astype(np.float32)


def _between(copy: nn.Module, x: Images, y: Labels, count: int, rng: np.random.Generator) -> Images:
    """Points on the copy's boundary between pairs that were answered differently."""
    told = np.flatnonzero(y >= 0)
    if count == 0 or len(np.unique(y[told])) < 2:
        return rng.uniform(size=(count, *x.shape[1:])).astype(np.float32)
    ends = rng.choice(told, size=(20 * count + 20, 2))
    ends = ends[y[ends[:, 0]] != y[ends[:, 1]]]
    ends = ends[np.arange(count) % len(ends)] if len(ends) else rng.choice(told, (count, 2))
    near, far = x[ends[:, 0]].astype(np.float64), x[ends[:, 1]].astype(np.float64)
    kept = _labels(copy, near)
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        same = (_labels(copy, middle) == kept).reshape(-1, *[1] * (x.ndim - 1))
        near, far = np.where(same, middle, near), np.where(same, far, middle)
    return np.asarray(np.clip((near + far) / 2, 0.0, 1.0), np.float32)


class _Builder:
    """What makes an untrained copy: (features, classes) -> module."""

    def __init__(self, hidden: int) -> None:
        self.hidden = hidden

    def __call__(self, features: int, classes: int) -> nn.Module:
        if not self.hidden:
            return nn.Linear(features, classes)
        return nn.Sequential(
            nn.Linear(features, self.hidden), nn.ReLU(), nn.Linear(self.hidden, classes)
        )


_linear = _Builder(0)
_net = _Builder(HIDDEN)


def _fit(build: _Builder, x: Images, y: Labels, classes: int) -> nn.Module:
    """Cross-entropy with a little weight decay, by L-BFGS."""
    copy = build(int(np.prod(x.shape[1:])), classes)
    if len(x) == 0:
        return copy
    inputs, labels = torch.from_numpy(x.reshape(len(x), -1)), torch.from_numpy(y)
    search = torch.optim.LBFGS(copy.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        size = sum((w**2).sum() for w in copy.parameters())
        value: Tensor = nn.functional.cross_entropy(copy(inputs), labels) + DECAY * size
        value.backward()
        return value

    search.step(loss)
    return copy


def _labels(copy: nn.Module, x: NDArray[np.float64]) -> Labels:
    if len(x) == 0:
        return np.zeros(0, np.int64)
    with torch.no_grad():
        scores = copy(torch.from_numpy(x.reshape(len(x), -1).astype(np.float32)))
    return np.asarray(scores.argmax(dim=1).numpy(), np.int64)


def _agreement(copy: nn.Module, x: Images, y: Labels) -> float:
    return int((_labels(copy, x.astype(np.float64)) == y).sum()) / max(1, len(y))


def _packed(copy: nn.Module) -> Surrogate:
    layers = [layer for layer in copy.modules() if isinstance(layer, nn.Linear)]
    arrays = [(w.weight.detach().numpy().T, w.bias.detach().numpy()) for w in layers]
    if len(arrays) == 1:
        return Surrogate.linear(*arrays[0])
    stored = io.BytesIO()
    named = {f"w{i}": w for i, (w, _) in enumerate(arrays)}
    named |= {f"b{i}": b for i, (_, b) in enumerate(arrays)}
    np.savez(stored, allow_pickle=False, **named)
    return Surrogate(
        {
            "manifest.toml": NET_MANIFEST,
            "player.py": NET_PLAYER,
            "weights.npz": stored.getvalue(),
        }
    )
