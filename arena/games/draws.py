"""Where every random number of a match comes from.

Nothing in a game draws from a global generator. What must be the same for every attack of a round
(examples, targets, the seeds of a stochastic defense) hangs on the round's secret; what must be
unknown to one opponent of another match (order of rows, seeds of probes) on the match's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from arena.tasks.seeds import frozen_stream

Part = bytes | str | int


def _bytes(part: Part) -> bytes:
    if isinstance(part, bytes):
        return b"b" + part
    return f"{type(part).__name__[0]}{part}".encode()


def derive(*parts: Part) -> bytes:
    """32 bytes that hang on every part, and from which no part can be read back."""
    state = hashlib.sha256(b"adversarium draw 1\n")
    for part in map(_bytes, parts):
        state.update(len(part).to_bytes(8, "big") + part)
    return state.digest()


def seed_of(*parts: Part) -> int:
    """A seed in [0, 2**31): numpy, torch and scikit-learn all take it."""
    return int.from_bytes(derive(*parts)[:4], "big") >> 1


def stream_of(*parts: Part) -> np.random.RandomState:
    """A generator whose numbers stay the same under every version of numpy."""
    return frozen_stream(derive(*parts))


def row_seeds(secret: bytes, defense: str, examples: Iterable[int], j: int) -> NDArray[np.uint64]:
    """(n,) seeds of the ``j``-th judgement of each example, common to all attacks of a round."""
    return np.array(
        [
            int.from_bytes(derive(secret, "judge", defense, int(example), j)[:8], "big")
            for example in examples
        ],
        np.uint64,
    )
