"""The 8x8 handwritten digits that come with scikit-learn (UCI, Alpaydin & Kaynak 1998)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import TaskError
from arena.tasks.seeds import frozen_stream, stratified_sample

TRAIN_SIZE: Final = 1_200  # of 1,797; the other 597 are practice
DARKEST: Final = 16  # a value counts the dark ones among 4x4 pixels


def read_digits() -> dict[str, NDArray[Any]]:
    """Images (n, 1, 8, 8) in [0, 1], split once and for all with the classes in proportion."""
    table = _bundled()
    x = (table[:, :-1].reshape(-1, 1, 8, 8) / DARKEST).astype(np.float32)
    y = table[:, -1].astype(np.int64)
    in_train = np.zeros(len(y), dtype=bool)
    in_train[stratified_sample(y, size=TRAIN_SIZE, stream=frozen_stream(b"digits split"))] = True
    return {
        "x_train": x[in_train],
        "y_train": y[in_train],
        "x_test": x[~in_train],
        "y_test": y[~in_train],
    }


def _bundled() -> NDArray[np.float64]:
    """(1797, 65): 64 values and the label. Importing scikit-learn's loader takes seconds, so its
    file is read without it; the task's pinned hashes say whether it is still the same."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise TaskError("Task 'digits' comes with scikit-learn: run `pip install scikit-learn`.")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if path.is_file():
        return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits  # the package keeps its data elsewhere

    return np.column_stack(load_digits(return_X_y=True))
