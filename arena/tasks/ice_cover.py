"""Days of ice cover on lakes, year by year: a *synthetic* series, made by the formula below.

No lake was measured. The series look like published records of ice cover (a base of some months, a
slow decline, mild and hard winters that come in runs), so that an attack on a trend has something
to hide, and everybody may make them again. For lake i and year k = 0 .. YEARS - 1:

    days = base_i - decline_i k + e_ik,   e_ik = RHO e_i,k-1 + n_ik,   n_ik normal, SIGMA days

rounded to whole days and kept within [0, LONGEST]. base_i is uniform in [80, 120] days, decline_i
in [0.15, 0.4] days a year. Drawn from a stream that numpy promises never to change, and rounded, so
that the task's pinned hashes hold on every machine.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.tasks.seeds import frozen_stream

YEARS: Final = 80
LONGEST: Final = 160.0
TRAIN_LAKES: Final = 20
PRACTICE_LAKES: Final = 40
BASE: Final = (80.0, 120.0)
DECLINE: Final = (0.15, 0.4)
RHO: Final = 0.3
SIGMA: Final = 8.0


def read_ice_cover() -> dict[str, NDArray[Any]]:
    """x (n, 2): the year and the lake, both scaled to [0, 1]; y (n,): days / LONGEST."""
    train, practice = (
        _lakes(count, frozen_stream(b"ice cover", name))
        for count, name in ((TRAIN_LAKES, b"train"), (PRACTICE_LAKES, b"practice"))
    )
    return {"x_train": train[0], "y_train": train[1], "x_test": practice[0], "y_test": practice[1]}


def _lakes(
    count: int, stream: np.random.RandomState
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    base = stream.uniform(*BASE, size=(count, 1))
    decline = stream.uniform(*DECLINE, size=(count, 1))
    noise = stream.normal(0.0, SIGMA, size=(count, YEARS))
    for k in range(1, YEARS):
        noise[:, k] += RHO * noise[:, k - 1]
    days = np.clip(np.rint(base - decline * np.arange(YEARS) + noise), 0.0, LONGEST)
    year, lake = np.meshgrid(np.arange(YEARS) / (YEARS - 1), np.arange(count) / (count - 1))
    x = np.stack([year.ravel(), lake.ravel()], axis=1).astype(np.float32)
    return x, days.ravel() / LONGEST
