"""Whether numbers from a stranger are in their range: at the price of one pass, mostly.

On both sides of the wall, for every question and every answer. What a single pass cannot vouch for
is looked at again, slowly.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_ONE: Final = int(np.float32(1).view(np.uint32))
FEW: Final = 32
"""Numbers that are handled faster one by one than as an array."""


def in_unit_interval(x: NDArray[np.float32]) -> bool:
    """Whether every number of a float32 array lies in [0, 1]; NaN does not.

    Positive floats are ordered like their bits; anything with a sign, infinities and NaN have
    larger ones than 1.0.
    """
    if not x.size:
        return True
    bits = x.reshape(-1).view(np.uint32)
    if bits.item(bits.argmax()) <= _ONE:
        return True
    return bool(x.min() >= 0 and x.max() <= 1)  # -0.0 is in it


def all_finite(x: NDArray[Any]) -> bool:
    """Whether no number is NaN or infinite: of the few that answer one question, at a glance."""
    if x.size <= FEW:
        return all(map(math.isfinite, x.ravel().tolist()))
    return bool(np.isfinite(x).all())


def in_order(numbers: NDArray[np.int64], below: int) -> bool:
    """Whether every whole number lies in [0, below): the bits of a negative one are a huge one."""
    if not len(numbers):
        return True
    bits = numbers.view(np.uint64)
    return bool(bits.item(bits.argmax()) < below)
