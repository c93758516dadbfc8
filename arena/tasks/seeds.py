"""Random streams that stay the same on every machine and under every version of numpy."""

from __future__ import annotations

import hashlib

import numpy as np


def frozen_stream(*seed: bytes) -> np.random.RandomState:
    """A generator seeded by the SHA-256 of the parts of ``seed``, each with its length before it.

    ``RandomState`` and not ``default_rng``: numpy promises never to change the numbers of the
    former (NEP 19), and splits are published by their hash.
    """
    digest = hashlib.sha256()
    for part in seed:
        digest.update(len(part).to_bytes(8, "big") + part)
    return np.random.RandomState(np.frombuffer(digest.digest(), dtype=">u4").astype(np.uint32))


def stratified_sample(
    labels: np.ndarray, *, size: int, stream: np.random.RandomState
) -> np.ndarray:
    """``size`` distinct indices into ``labels``, ascending, classes in their own proportions.

    Seats left over by rounding go to the classes with the largest remainders.
    """
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * size / len(labels)
    seats = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(seats - exact, kind="stable")
    seats[by_remainder[: size - int(seats.sum())]] += 1
    chosen = [
        stream.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in zip(classes, seats, strict=True)
    ]
    return np.sort(np.concatenate(chosen))
