"""
number = 3
name = "Heap bomb: arrays of 40 GB, then all that there is"
roles = ["attack", "defense"]
stopped_by = ["rlimits", "cgroup"]
ends = "out_of_memory"
"""

import numpy as np
from hostile import players, through


def attempt():
    yield from through("40 GB", lambda: np.zeros(10**10, np.float32).shape, MemoryError)
    held = []
    while len(held) < 64:
        held.append(np.ones(2**21))  # 16 MiB, written to
    yield f"{16 * len(held)} MiB"


Attack, Defense = players(attempt)
