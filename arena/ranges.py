"""Whether numbers from a stranger are in their range: at the price of one pass, mostly.

On both sides of the wall, for every question and every answer. What a single pass cannot vouch for
is looked at again, slowly.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_ONE: Final = int(np.float32(1).view(np.uint32))


def in_unit_interval(x: NDArray[np.float32]) -> bool:
    """Whether every number of a float32 array lies in [0, 1]; NaN does not.

    Positive floats are ordered like their bits; anything with a sign, infinities and NaN have
    larger ones than 1.0.
    """
    if not x.size or int(np.maximum.reduce(x.view(np.uint32), axis=None)) <= _ONE:
        return True
    return bool(x.min() >= 0 and x.max() <= 1)  # -0.0 is in it


def in_order(numbers: NDArray[np.integer[Any]], below: int) -> bool:
    """Whether every whole number lies in [0, below)."""
    if len(numbers) == 1:
        return bool(0 <= numbers[0] < below)
    return not len(numbers) or bool(numbers.min() >= 0 and numbers.max() < below)
