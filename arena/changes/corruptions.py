"""Common corruptions: twelve kinds at five severities, made by the referee (numpy alone).

Hendrycks & Dietterich 2019 (arXiv:1903.12261) define the benchmark and most of these kinds; noise,
brightness, contrast and pixelate have their figures, fog those of CIFAR-10-C. Blurs and the elastic
field are given in pixels of a picture 28 high, as MNIST's, and grow with the picture. Kinds
that draw at random draw from the row's own seed alone: a row's picture hangs on that row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.changes.warp import sampled

SEVERITIES: Final = 5
USUAL_HEIGHT: Final = 28.0
"""The picture in whose pixels lengths are given."""
STEPS: Final = 9
"""Pictures that a motion or zoom blur is the mean of."""

Images = NDArray[np.float32]
Floats = NDArray[np.float64]
Corruption = Callable[[Floats, int, np.random.RandomState], Floats]
"""One picture (channels, height, width), a severity 0..4 and the row's stream -> the same."""


def corrupted(x: NDArray[Any], moves: NDArray[Any], seeds: NDArray[np.uint64]) -> Images:
    """(n, channels, height, width), each corrupted by its own kind and severity.

    ``moves`` (n, 2): place in :data:`KINDS`, then severity 1 to 5; severity 0 changes nothing.
    ``seeds`` (n,): what a row draws from. The referee's are secret.
    """
    made = np.array(x, np.float32)
    for row, (kind, severity) in enumerate(np.asarray(moves).astype(np.int64)):
        if severity > 0:
            stream = np.random.RandomState(_words(int(seeds[row])))
            found = _MADE[KINDS[kind]](made[row].astype(np.float64), severity - 1, stream)
            made[row] = np.clip(found, 0.0, 1.0)
    return made


def _words(seed: int) -> list[int]:
    """RandomState takes 32 bits at a time; its numbers stay the same under every numpy."""
    return [seed & 0xFFFFFFFF, seed >> 32]


# ── noise ──────────────────────────────────────────────────────────────────────────────────


def _gaussian_noise(x: Floats, severity: int, stream: np.random.RandomState) -> Floats:
    """x + σ n."""
    return x + (0.08, 0.12, 0.18, 0.26, 0.38)[severity] * stream.standard_normal(x.shape)


def _shot_noise(x: Floats, severity: int, stream: np.random.RandomState) -> Floats:
    """Poisson(c x) / c: as many quanta of light."""
    light = (60, 25, 12, 5, 3)[severity]
    return np.asarray(stream.poisson(light * x) / light, np.float64)


def _impulse_noise(x: Floats, severity: int, stream: np.random.RandomState) -> Floats:
    """A share of the pixels becomes black or white."""
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[severity]
    drawn = stream.random_sample(x.shape)
    return np.where(drawn < share, (drawn < share / 2).astype(np.float64), x)


def _speckle_noise(x: Floats, severity: int, stream: np.random.RandomState) -> Floats:
    """x + σ x n."""
    return x + (0.15, 0.2, 0.35, 0.45, 0.6)[severity] * x * stream.standard_normal(x.shape)


# ── blur ───────────────────────────────────────────────────────────────────────────────────


def _gaussian_blur(x: Floats, severity: int, _stream: np.random.RandomState) -> Floats:
    """A normal kernel of σ pixels, in both directions."""
    sigma = (0.5, 0.75, 1.0, 1.5, 2.0)[severity] * _scale(x)
    for axis in (1, 2):
        gaps = np.subtract.outer(np.arange(x.shape[axis]), np.arange(x.shape[axis]))
        kernel = np.exp(-(gaps**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
        kernel /= np.maximum(kernel.sum(axis=0), 1.0)
        x = np.moveaxis(np.tensordot(kernel, x, (1, axis)), 0, axis)
    return x


def _motion_blur(x: Floats, severity: int, stream: np.random.RandomState) -> Floats:
    """The mean along a path of so many pixels in a random direction."""
    length = (2, 3, 4, 6, 8)[severity] * _scale(x)
    angle = stream.uniform(0, np.pi)
    down, right = _grid(x)
    steps = np.linspace(-length / 2, length / 2, STEPS)
    return _mean([(down + s * np.sin(angle), right + s * np.cos(angle)) for s in steps], x)


def _zoom_blur(x: Floats, severity: int, _stream: np.random.RandomState) -> Floats:
    """The mean over magnifications from 1 on."""
    most = (1.1, 1.2, 1.3, 1.4, 1.5)[severity]
    down, right = _grid(x)
    middle_down, middle_right = (x.shape[1] - 1) / 2, (x.shape[2] - 1) / 2
    zooms = np.linspace(1.0, most, STEPS)
    places = [
        (middle_down + (down - middle_down) / z, middle_right + (right - middle_right) / z)
        for z in zooms
    ]
    return _mean(places, x)


def _mean(places: list[tuple[Floats, Floats]], x: Floats) -> Floats:
    """Of the picture read at each of these places."""
    rows, columns = (np.stack([place[i] for place in places]) for i in (0, 1))
    every = np.broadcast_to(x, (len(places), *x.shape))
    return np.asarray(sampled(every, rows, columns).mean(axis=0), np.float64)


# ── weather, light and lens ────────────────────────────────────────────────────────────────


def _brightness(x: Floats, severity: int, _stream: np.random.RandomState) -> Floats:
    """x + c."""
    return x + (0.1, 0.2, 0.3, 0.4, 0.5)[severity]


def _contrast(x: Floats, severity: int, _stream: np.random.RandomState) -> Floats:
    """Closer to the mean of the picture."""
    mean = x.mean()
    return np.asarray(mean + (0.4, 0.3, 0.2, 0.1, 0.05)[severity] * (x - mean))


def _fog(x: Floats, severity: int, stream: np.random.RandomState) -> Floats:
    """(x + a f) m / (m + a), f a cloud of random octaves in [0, 1] and m the brightest pixel."""
    thickness = (0.2, 0.5, 0.75, 1.0, 1.5)[severity]
    cloud = np.sum([_field(x, cells, stream) / cells for cells in (2, 4, 8)], axis=0)
    cloud = (cloud - cloud.min()) / max(float(np.ptp(cloud)), 1e-12)
    brightest = max(float(x.max()), 1e-12)
    return np.asarray((x + thickness * cloud) * brightest / (brightest + thickness))


def _pixelate(x: Floats, severity: int, _stream: np.random.RandomState) -> Floats:
    """The mean of each block, with so many blocks a pixel in either direction."""
    share = (0.6, 0.5, 0.4, 0.3, 0.25)[severity]
    for axis in (1, 2):
        size = x.shape[axis]
        block = np.arange(size) * max(2, round(share * size)) // size
        same = (block[:, None] == block[None, :]).astype(np.float64)
        x = np.moveaxis(np.tensordot(same / same.sum(axis=1), x, (1, axis)), 0, axis)
    return x


def _elastic(x: Floats, severity: int, stream: np.random.RandomState) -> Floats:
    """Every pixel read from a place that a smooth random field moves, by so many pixels at most."""
    reach = (0.75, 1.25, 1.75, 2.5, 3.5)[severity] * _scale(x)
    down, right = _grid(x)
    moved = [2 * _field(x, 4, stream) - 1 for _ in range(2)]
    return _mean([(down + reach * moved[0], right + reach * moved[1])], x)


def _field(x: Floats, cells: int, stream: np.random.RandomState) -> Floats:
    """(height, width) in [0, 1]: random knots, ``cells`` a side, and straight lines between."""
    knots = stream.random_sample((1, 1, cells + 1, cells + 1))
    down, right = (np.linspace(0, cells, size) for size in x.shape[1:])
    rows, columns = np.meshgrid(down, right, indexing="ij")
    return np.asarray(sampled(knots, rows[None], columns[None])[0, 0], np.float64)


def _grid(x: Floats) -> tuple[Floats, Floats]:
    """The place of every pixel: (height, width) rows, and columns."""
    rows, columns = np.meshgrid(
        *(np.arange(size, dtype=float) for size in x.shape[1:]), indexing="ij"
    )
    return rows, columns


def _scale(x: Floats) -> float:
    return float(x.shape[1] / USUAL_HEIGHT)


_MADE: Final[dict[str, Corruption]] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "speckle_noise": _speckle_noise,
    "gaussian_blur": _gaussian_blur,
    "motion_blur": _motion_blur,
    "zoom_blur": _zoom_blur,
    "brightness": _brightness,
    "contrast": _contrast,
    "fog": _fog,
    "pixelate": _pixelate,
    "elastic": _elastic,
}
KINDS: Final = tuple(_MADE)
"""A move's first number is a place in this list."""
CERTAIN: Final = ("gaussian_blur", "zoom_blur", "brightness", "contrast", "pixelate")
"""Kinds that draw nothing: whoever knows the example knows the picture."""
