"""The planted example: a defense on which every honest attack must succeed.

A linear model with fresh random weights, and examples whose margin is half of what the budget can
move. That an adversarial example exists is a theorem, so an attack that finds none is unreliable:
its failures elsewhere prove nothing. Weights, examples and sides are drawn anew each time, so that
they cannot be learned by heart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena.packages import Package
from arena.rounds import Norm
from arena.tasks import Split, Task
from arena.tasks.split import Splits

LOW: Final = 0.3
HIGH: Final = 0.7
"""Planted examples keep this far from the walls of the box, so that the room to move is known."""
REACH: Final = 0.5
"""The margin, as a share of the largest change of score within the budget."""
REACH_OF_PROBES: Final = 0.25
"""The same for attacks that see answers alone: they cannot know the slope at every feature."""
CELLS: Final = 4
"""For them the weights are alike in each of 4 x 4 cells of an image (or 16 runs of features)."""
CONFIDENCE: Final = 4.0
"""The logit gap of a planted example: sure, and far from where float32 gradients vanish."""
OTHERS: Final = -20.0
"""The logit of every class but the two that are played."""

ARCHITECTURE: Final = """
import torch
from torch import nn


def build() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear({features}, {classes}))
"""
MANIFEST: Final = """
schema_version = 1
name = "Planted example"
role = "defense"
framework = "torch"
task = "{task}"
architecture = "architecture.py"
weights = "weights.safetensors"
differentiable = true
family = "linear"
"""


@dataclass(frozen=True)
class Planted:
    """A task of planted examples and the defense they are planted in."""

    task: Task
    defense: Package


def plant(
    task: Task,
    *,
    norm: Norm,
    epsilon: float,
    examples: int,
    rng: np.random.Generator,
    by_probes: bool = False,
) -> Planted:
    """``examples`` planted examples of the task's shape, all reachable within (norm, epsilon).

    ``by_probes``: for attacks without gradients; smoother weights and a smaller margin, so that a
    few hundred probes an example are enough.
    """
    features = int(np.prod(task.shape))
    w = _weights(task.shape, rng, smooth=by_probes)
    x = rng.uniform(LOW, HIGH, (examples, features))
    side = np.where(np.arange(examples) % 2 == 0, 1.0, -1.0)
    reach = REACH_OF_PROBES if by_probes else REACH
    margin = reach * largest_change(w, norm=norm, epsilon=epsilon)
    # Shift each example along w until its score is exactly side * margin.
    x = _at_score(x, w, side * margin)
    y = np.where(side > 0, 0, 1).astype(np.int64)
    classes = len(task.classes)
    weight = np.zeros((classes, features), np.float32)
    slope = CONFIDENCE / margin * w / 2
    weight[0], weight[1] = slope, -slope
    bias = np.full(classes, OTHERS, np.float32)
    bias[:2] = -slope.sum() / 2, slope.sum() / 2
    points = Split("practice", x.reshape(-1, *task.shape).astype(np.float32), y)
    splits = Splits(train=replace(points, name="train"), practice=points)
    planted = replace(task, read=lambda: splits, mutable=None, add_only=None, grid=None)
    return Planted(planted, _package(task.name, features, classes, weight, bias))


def largest_change(w: NDArray[np.float64], *, norm: Norm, epsilon: float) -> float:
    """The largest <w, delta> over ||delta|| <= epsilon with |delta_j| <= LOW.

    Every planted example can be moved by LOW either way without leaving [0, 1].
    """
    sizes = np.sort(np.abs(w))[::-1]
    if norm is Norm.LINF:
        return float(min(epsilon, LOW) * sizes.sum())
    if norm is Norm.L2:
        step = epsilon / float(np.linalg.norm(sizes))
        return float((np.minimum(step * sizes, LOW) * sizes).sum())
    whole = int(epsilon) if norm is Norm.L0 else int(epsilon / LOW)
    change = LOW * sizes[:whole].sum()
    if norm is Norm.L1 and whole < len(sizes):
        change += (epsilon - whole * LOW) * sizes[whole]
    return float(change)


def _weights(
    shape: tuple[int, ...], rng: np.random.Generator, *, smooth: bool
) -> NDArray[np.float64]:
    """(features,) of random sign and size between 1/2 and 3/2."""
    features = int(np.prod(shape))
    count = CELLS * CELLS if smooth else features
    drawn = rng.choice([-1.0, 1.0], count) * rng.uniform(0.5, 1.5, count)
    if not smooth:
        return drawn
    if len(shape) != 3:
        return np.asarray(drawn[np.arange(features) * count // features])
    rows, columns = (np.arange(size) * CELLS // size for size in shape[1:])
    image = drawn.reshape(CELLS, CELLS)[np.ix_(rows, columns)]
    return np.asarray(np.broadcast_to(image, shape).ravel())


def _at_score(
    x: NDArray[np.float64], w: NDArray[np.float64], score: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Move x along w, inside [LOW, HIGH], until <w, x - 1/2> is ``score`` (bisection)."""
    low, high = np.full(len(x), -2.0), np.full(len(x), 2.0)
    for _ in range(60):
        middle = (low + high) / 2
        moved = np.clip(x + middle[:, None] * w, LOW, HIGH)
        below = (moved - 0.5) @ w < score
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(np.clip(x + high[:, None] * w, LOW, HIGH))


def _package(
    task: str,
    features: int,
    classes: int,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
) -> Package:
    return Package.of(
        {
            "manifest.toml": MANIFEST.format(task=task).encode(),
            "architecture.py": ARCHITECTURE.format(features=features, classes=classes).encode(),
            "weights.safetensors": _safetensors({"1.weight": weight, "1.bias": bias}),
        }
    )


def _safetensors(tensors: dict[str, NDArray[np.float32]]) -> bytes:
    """The file as the library writes it, which the referee's jail does not show.

    Length of the header (8 bytes, little-endian), header as JSON padded to 8, then the numbers.
    """
    header, data = {}, b""
    for name, tensor in tensors.items():
        begin, data = len(data), data + tensor.astype("<f4").tobytes()
        shape, offsets = list(tensor.shape), [begin, len(data)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data
