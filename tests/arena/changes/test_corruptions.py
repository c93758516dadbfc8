"""The battery: within range, harder with severity, and drawn from the seed alone."""

from __future__ import annotations

import numpy as np
import pytest

from arena import tasks
from arena.changes.corruptions import CERTAIN, KINDS, SEVERITIES, corrupted

X = tasks.load("mnist5k").practice.x[:8]


def made(kind: str, severity: int, seed: int = 0, x: np.ndarray = X) -> np.ndarray:
    moves = np.repeat([[KINDS.index(kind), severity]], len(x), axis=0)
    return corrupted(x, moves, np.full(len(x), seed, np.uint64))


def test_severity_zero_changes_nothing() -> None:
    assert made("fog", 0).tobytes() == X.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_every_severity_changes_the_picture_more(kind: str) -> None:
    sizes = []
    for severity in range(1, SEVERITIES + 1):
        picture = made(kind, severity)
        assert picture.dtype == np.float32
        assert 0 <= picture.min() <= picture.max() <= 1
        sizes.append(float(np.linalg.norm(picture - X)))
    assert sizes == sorted(sizes)
    assert sizes[0] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_hangs_on_the_seed(kind: str) -> None:
    assert (made(kind, 3, seed=1) == made(kind, 3, seed=1)).all()
    same = (made(kind, 3, seed=1) == made(kind, 3, seed=2)).all()
    assert same == (kind in CERTAIN)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_hangs_on_itself_alone(kind: str) -> None:
    assert (made(kind, 4)[5] == made(kind, 4, x=X[5:6])[0]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_small_and_coloured_pictures_are_corrupted_too(kind: str) -> None:
    colours = np.random.default_rng(1).random((2, 3, 8, 10)).astype(np.float32)
    picture = made(kind, 5, x=colours)
    assert picture.shape == colours.shape
    assert np.isfinite(picture).all()


def test_blur_keeps_the_light_of_a_spot_and_pixels_keep_the_mean() -> None:
    spot = np.zeros((1, 1, 28, 28), np.float32)
    spot[0, 0, 14, 14] = 1
    assert made("gaussian_blur", 2, x=spot).sum() == pytest.approx(1, abs=1e-3)
    blocks = np.random.default_rng(2).random((1, 1, 28, 28)).astype(np.float32)
    assert made("pixelate", 2, x=blocks).mean() == pytest.approx(blocks.mean(), abs=1e-3)


def test_contrast_and_brightness_are_their_formulas() -> None:
    assert made("brightness", 1) == pytest.approx(np.clip(X + 0.1, 0, 1), abs=1e-6)
    mean = X.mean(axis=(1, 2, 3), keepdims=True)
    assert made("contrast", 5) == pytest.approx(mean + 0.05 * (X - mean), abs=1e-6)
