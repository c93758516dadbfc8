"""Random noise of the round's size: what any other attack has to beat.

    L∞: x + ε s, s uniform in {-1, 1}^d     L2: x + ε n / |n|2, n standard normal
    L1: x + ε e / |e|1, e double exponential (uniform on the sphere of L1)
    L0: ε pixels drawn at random become black or white, whichever is farther
    patch: a random rectangle of that share is filled at random
    spatial: a turn and a shift, uniform within the bounds     corruption: any kind at severity ε

Clipped to [0, 1]. Where the round grants probes, it draws again for examples that still stand.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.changes.corruptions import KINDS
from arena.players import EvasionAttack, EvasionChallenge

MANIFEST = """
schema_version = 1
name = "Random noise"
role = "attack"
entry = "player.py:RandomNoise"
family = "random noise"
description = "Draws noise of the round's size; with probes, up to ten times an example."

[needs]
norms = ["linf", "l2", "l1", "l0", "patch", "spatial", "corruption"]
games = ["evasion", "transfer"]
"""

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


class RandomNoise(EvasionAttack):
    """``draws``: at most so many an example, where probes tell which ones still stand."""

    draws = 10

    def attack(self, challenge: EvasionChallenge) -> Images:
        rng = challenge.rng()
        labels, best = challenge.y, unchanged(challenge)
        open_ = np.arange(len(challenge))
        for draw in range(int(self.options.get("draws", self.draws))):
            if not len(open_):
                break
            best[open_] = noisy(challenge, open_, rng)
            needed = 2 - min(draw, 1)
            open_ = open_[challenge.defense.probes_left_for(open_) >= needed]
            open_ = open_[: int(min(len(open_), challenge.defense.probes_left // needed))]
            if not len(open_):
                break
            if labels is None:
                labels = np.full(len(challenge), -1)
                labels[open_] = predicted(challenge, challenge.x[open_], open_)
            pictures = challenge.applied(best[open_], open_, draw=draw)
            answers = predicted(challenge, pictures, open_)
            open_ = open_[~succeeded(challenge, answers, labels, open_)]
        return best


def unchanged(challenge: EvasionChallenge) -> Images:
    """Candidates that leave every example as it is."""
    if challenge.candidate_shape == challenge.x.shape[1:]:
        return challenge.x.copy()
    return np.zeros((len(challenge), *challenge.candidate_shape), np.float32)


def noisy(challenge: EvasionChallenge, rows: Labels, rng: np.random.Generator) -> Images:
    """The examples ``rows`` with noise of norm at most ε; in rounds of moves, random moves."""
    epsilon = challenge.epsilon
    assert epsilon is not None, "Noise needs a size."
    x = challenge.x[rows]
    if challenge.norm in ("spatial", "corruption"):
        return _moves(challenge, len(rows), rng)
    if challenge.norm == "patch":
        return challenge.clip(x + challenge.task.allowed(_patched(x, epsilon, rng) - x))
    if challenge.norm == "l0":
        flipped = _flipped(x, int(epsilon), challenge.task.mutable, rng)
        return challenge.clip(x + challenge.task.allowed(flipped - x))
    if challenge.norm == "linf":
        delta = epsilon * rng.choice([-1.0, 1.0], x.shape)
    elif challenge.norm == "l2":
        delta = _of_size(rng.standard_normal(x.shape), epsilon, order=2)
    else:
        delta = _of_size(rng.laplace(size=x.shape), epsilon, order=1)
    if challenge.task.add_only is not None:
        delta = np.where(challenge.task.add_only, abs(delta), delta)
    return challenge.clip(x + challenge.task.allowed(delta))


def _moves(challenge: EvasionChallenge, count: int, rng: np.random.Generator) -> Images:
    if challenge.norm == "corruption":
        kinds = rng.integers(len(KINDS), size=count)
        return np.stack([kinds, np.full(count, challenge.epsilon)], axis=1).astype(np.float32)
    most = np.array([challenge.epsilon, challenge.shift, challenge.shift], np.float64)
    return rng.uniform(-most, most, (count, 3)).astype(np.float32)


def _patched(x: Images, share: float, rng: np.random.Generator) -> Images:
    """A rectangle of at most that share, anywhere; a vector is a picture one pixel high."""
    height, width = x.shape[-2:] if x.ndim > 2 else (1, x.shape[-1])
    pixels = max(1, int(share * height * width + 1e-6))
    rows = min(height, max(1, int(pixels**0.5)))
    columns = min(width, pixels // rows)
    painted = x.reshape(len(x), -1, height, width).copy()
    for image in painted:
        top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
        part = image[:, top : top + rows, left : left + columns]
        part[:] = rng.random(part.shape)
    return painted.reshape(x.shape)


def _of_size(noise: NDArray[np.float64], epsilon: float, *, order: int) -> NDArray[np.float64]:
    """Scaled to the norm ε, a hair less so that rounding to float32 stays inside the ball."""
    flat = noise.reshape(len(noise), -1)
    size = np.linalg.norm(flat, ord=order, axis=1, keepdims=True)
    slack = 1e-7 * flat.shape[1] ** (1 / order)
    sized: NDArray[np.float64] = flat / size * max(0.0, epsilon - slack)
    return sized.reshape(noise.shape)


def _flipped(
    x: Images, count: int, mutable: NDArray[np.bool_] | None, rng: np.random.Generator
) -> Images:
    """``count`` pixels of each example, all channels alike, become 0 or 1."""
    grouped = x.reshape(len(x), x.shape[1] if x.ndim == 4 else 1, -1).copy()
    order = rng.random((len(x), grouped.shape[2]))
    if mutable is not None:
        order[:, ~mutable.reshape(grouped.shape[1:]).all(0)] = 2.0
    chosen = order.argsort(axis=1)[:, :count]
    rows = np.arange(len(x))[:, None]
    chosen_rows = order[rows, chosen] < 2.0
    old = grouped[rows, :, chosen]
    new = np.where(chosen_rows[:, :, None], (old < 0.5).astype(np.float32), old)
    grouped[rows, :, chosen] = new
    return grouped.reshape(x.shape)


def predicted(challenge: EvasionChallenge, x: Images, rows: Labels) -> Labels:
    """Labels by one probe a row; an abstention is -1."""
    reply = challenge.defense.ask(x, rows)
    if challenge.output == "label":
        return reply.astype(np.int64)
    if challenge.output == "top_k":
        return reply[:, 0].astype(np.int64)
    labels = reply.argmax(1)
    classes = len(challenge.task.classes) or reply.shape[1]
    return np.where(labels < classes, labels, -1)


def succeeded(
    challenge: EvasionChallenge, answers: Labels, labels: Labels, rows: Labels
) -> NDArray[np.bool_]:
    if challenge.targets is not None:
        hit: NDArray[np.bool_] = answers == challenge.targets[rows]
        return hit
    wrong: NDArray[np.bool_] = (answers != labels[rows]) & (answers >= 0)
    return wrong
