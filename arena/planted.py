"""The planted example: a defense on which every honest attack must succeed.

A linear model with fresh random weights, and examples whose margin is half of what the budget can
move. That an adversarial example exists is a theorem, so an attack that finds none is unreliable:
its failures elsewhere prove nothing. Weights, examples and sides are drawn anew each time, so that
they cannot be learned by heart.

For turns, shifts and corruptions a move is drawn in secret, and the linear model is solved so that
it is right on every example and wrong on what that move makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena.changes.corruptions import KINDS, corrupted
from arena.changes.warp import warped
from arena.packages import Package
from arena.rounds import MOVES, PIXELS_PER_DEGREE, Norm
from arena.tasks import Split, Task
from arena.tasks.split import Splits
from arena.tensors import as_safetensors

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
NOISES: Final = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise")
DECOYS: Final = 8
BUMPS: Final = 8
SMOOTH: Final = ("gaussian_blur", "zoom_blur", "pixelate")
"""Corruptions without chance, and linear in the picture: what they do can be planted."""
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
    if norm in MOVES:
        return _plant_move(task, norm=norm, epsilon=epsilon, examples=examples, rng=rng)
    features = int(np.prod(task.shape))
    w = _weights(task.shape, rng, smooth=by_probes)
    x = rng.uniform(LOW, HIGH, (examples, features))
    side = np.where(np.arange(examples) % 2 == 0, 1.0, -1.0)
    reach = REACH_OF_PROBES if by_probes else REACH
    margin = reach * largest_change(w, norm=norm, epsilon=epsilon, shape=task.shape)
    # Shift each example along w until its score is exactly side * margin.
    x = _at_score(x, w, side * margin)
    return _planted(task, x, side, CONFIDENCE / margin * w)


def _planted(
    task: Task, x: NDArray[np.float64], side: NDArray[np.float64], w: NDArray[np.float64]
) -> Planted:
    """Examples (n, features) whose logit gap <w, x - 1/2> has the sign of ``side`` (n,)."""
    y = np.where(side > 0, 0, 1).astype(np.int64)
    classes, features = len(task.classes), x.shape[1]
    weight = np.zeros((classes, features), np.float32)
    slope = w / 2
    weight[0], weight[1] = slope, -slope
    bias = np.full(classes, OTHERS, np.float32)
    bias[:2] = -slope.sum() / 2, slope.sum() / 2
    points = Split("practice", x.reshape(-1, *task.shape).astype(np.float32), y)
    splits = Splits(train=replace(points, name="train"), practice=points)
    planted = replace(task, read=lambda: splits, mutable=None, add_only=None, grid=None)
    return Planted(planted, _package(task.name, features, classes, weight, bias))


def _plant_move(
    task: Task, *, norm: Norm, epsilon: float, examples: int, rng: np.random.Generator
) -> Planted:
    """One secret move for all examples, and the least w with <w, x> = s and <w, move(x)> = -s.

    Smooth pictures, so that moves near the secret one do nearly the same; and as many decoys,
    moves that change nothing, as the picture has pixels for.
    """
    side = np.where(np.arange(examples) % 2 == 0, 1.0, -1.0)
    x = np.stack([_smooth(task.shape, rng) for _ in range(examples)]).astype(np.float32)
    count = min(DECOYS, max(0, x[0].size // examples // 2 - 2))
    decoys = [_moved(x, _decoy(norm, epsilon, rng), norm) for _ in range(count)]
    pictures = [_moved(x, _secret_move(norm, epsilon, rng), norm), x, *decoys]
    rows = np.concatenate(pictures).reshape(len(pictures) * examples, -1).astype(np.float64)
    gaps = np.concatenate([-side, *[side] * (1 + count)])
    w, *_ = np.linalg.lstsq(rows - 0.5, CONFIDENCE * gaps, rcond=None)
    return _planted(task, rows[examples : 2 * examples], side, np.asarray(w, np.float64))


def _secret_move(norm: Norm, epsilon: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Far from no move at all, within the bounds."""
    if norm is Norm.CORRUPTION:
        return np.array([KINDS.index(str(rng.choice(SMOOTH))), epsilon])
    most = epsilon * np.array([1.0, PIXELS_PER_DEGREE, PIXELS_PER_DEGREE])
    return np.asarray(rng.choice([-1.0, 1.0], 3) * rng.uniform(0.6, 0.9, 3) * most)


def _decoy(norm: Norm, epsilon: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise of some kind; or a small turn and shift."""
    if norm is Norm.CORRUPTION:
        return np.array([KINDS.index(str(rng.choice(NOISES))), epsilon])
    most = 0.4 * epsilon * np.array([1.0, PIXELS_PER_DEGREE, PIXELS_PER_DEGREE])
    return rng.uniform(-most, most)


def _moved(x: NDArray[np.float32], move: NDArray[np.float64], norm: Norm) -> NDArray[np.float32]:
    moves = np.repeat(move[None], len(x), axis=0)
    if norm is Norm.SPATIAL:
        return warped(x, moves)
    return corrupted(x, moves, np.arange(len(x), dtype=np.uint64))


def _smooth(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """A few broad bumps on black, like strokes of a pen."""
    channels, height, width = shape
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.zeros((height, width))
    for _ in range(BUMPS):
        at = rng.uniform(0.2, 0.8, 2) * (height, width)
        reach = rng.uniform(0.08, 0.16) * height
        picture += np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / (2 * reach**2))
    return np.broadcast_to(np.clip(picture, 0.0, 1.0), (channels, height, width))


def largest_change(
    w: NDArray[np.float64], *, norm: Norm, epsilon: float, shape: tuple[int, ...]
) -> float:
    """The largest <w, delta> over ||delta|| <= epsilon with |delta_j| <= LOW.

    Every planted example can be moved by LOW either way without leaving [0, 1].
    """
    if norm is Norm.PATCH:
        return LOW * _heaviest_rectangle(np.abs(w).reshape(shape), epsilon)
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


def _heaviest_rectangle(weight: NDArray[np.float64], share: float) -> float:
    """The largest sum of ``weight`` over a rectangle of at most that share of the picture."""
    picture = weight.sum(axis=0) if weight.ndim == 3 else weight.reshape(1, -1)
    height, width = picture.shape
    total = np.pad(picture.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    best = 0.0
    for rows in range(1, height + 1):
        columns = min(width, int(share * height * width + 1e-6) // rows)
        if columns:
            sums = total[rows:, columns:] - total[:-rows, columns:]
            sums = sums - total[rows:, :-columns] + total[:-rows, :-columns]
            best = max(best, float(sums.max()))
    return best


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
            "weights.safetensors": as_safetensors({"1.weight": weight, "1.bias": bias}),
        }
    )
