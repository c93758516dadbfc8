"""What a defense says beside a gradient is a claim; what it answers decides.

The logits that come with a gradient are made by the defense's own code, and need not be those that
it is judged by: one that says "fallen" there would end every search at once, on an example that
stands. Some do so honestly, where the vote that is judged has no slope. So whatever a search
would leave an example for is asked about once more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import DefenseView

Images = NDArray[np.float32]
Scores = NDArray[np.float32]
Bools = NDArray[np.bool_]


def answered(defense: DefenseView, images: Images, logits: Scores, claimed: Bools) -> Scores:
    """``logits`` (n, columns), with those of the rows ``claimed`` (n,) as the defense answers."""
    if not claimed.any():
        return logits
    logits = logits.copy()
    logits[claimed] = defense.logits(images[claimed])
    return logits
