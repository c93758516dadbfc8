"""Attacks of the house by name, and small linear problems for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from arena import tasks

TOLERANCE = 1e-6
FOLDER: Any = None
SIDE = 5


def made(attack: Any, **options: Any) -> Any:
    return attack(FOLDER, options)


def small_task(classes: int) -> Any:
    """A task of 5 x 5 images for linear models; only its schema is read."""
    digits = tasks.load("digits")
    return replace(digits, shape=(1, SIDE, SIDE), classes=tuple("abcdefgh"[:classes]))


def linear_problem(linear: Any, seed: int, *, classes: int = 2, interior: bool = False) -> Any:
    """A linear defense, and examples that it gets right by construction."""
    rng = np.random.default_rng(seed)
    defense = linear(rng.normal(size=(classes, SIDE * SIDE)), rng.normal(size=classes) / 10)
    low, high = (0.35, 0.65) if interior else (0.0, 1.0)
    x = rng.uniform(low, high, (40, 1, SIDE, SIDE)).astype(np.float32)
    if not interior:
        x = np.where(rng.random(x.shape) < 0.3, np.round(x), x).astype(np.float32)
    return defense, x, defense.predict(x).argmax(1)
