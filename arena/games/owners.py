"""Whose a row is that an attack asks about without saying so: of the example that lies nearest.

To measure every row against every example costs as much as a small net. So the rows are looked at
first in the few directions in which the examples differ most (their leading principal components,
found by the randomized range finder of Halko, Martinsson & Tropp 2011, algorithm 4.4); a
perturbation is spread over all directions and all but vanishes there. Of the two that seem nearest
the one is taken that is.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arena.games.norms import rows_of

DIRECTIONS: Final = 96
FEW_FEATURES: Final = 2 * DIRECTIONS
FEW_EXAMPLES: Final = 5 * DIRECTIONS
"""With no more, everything is measured: that takes no longer than to find the directions."""

Rows = NDArray[np.float32]


class _Sketch(NamedTuple):
    """``basis`` (d, k); of the examples ``seen`` (n, k) in it, and ``sizes`` (n,) squared."""

    basis: Rows
    seen: Rows
    sizes: Rows


class Nearest:
    """``clean`` (n, *shape), n > 0. Called with x (m, *shape): (m,) the nearest example's number.

    The numbers of the examples are their places in ``clean``.
    """

    def __init__(self, clean: NDArray[Any]) -> None:
        self._clean = rows_of(np.asarray(clean, np.float32))
        self._center = self._clean.mean(axis=0)
        self._sizes = np.einsum("ij,ij->i", self._clean, self._clean)

    def __call__(self, x: NDArray[Any]) -> NDArray[np.int64]:
        examples, features = self._clean.shape
        if examples <= FEW_EXAMPLES or features <= FEW_FEATURES:
            return self.measured(x)
        flat = rows_of(np.asarray(x, np.float32))
        basis, seen, sizes = self._sketch
        apart = sizes - 2 * ((flat - self._center) @ basis) @ seen.T
        line, first = np.arange(len(flat)), apart.argmin(axis=1)
        apart[line, first] = np.inf
        second = apart.argmin(axis=1)
        nearer = self._apart(flat, first) <= self._apart(flat, second)
        return np.asarray(np.where(nearer, first, second))

    def measured(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """The same by measuring everything: where there is one such question."""
        flat = rows_of(np.asarray(x, np.float32))
        return np.asarray((self._sizes - 2 * flat @ self._clean.T).argmin(axis=1))

    @cached_property
    def _sketch(self) -> _Sketch:
        """Where the examples lie in those directions; what is left counts in their sizes."""
        differing = self._clean - self._center
        drawn = np.random.RandomState(0).standard_normal((len(differing), DIRECTIONS))
        basis = np.linalg.qr(differing.T @ drawn.astype(np.float32))[0]
        basis = np.linalg.qr(differing.T @ (differing @ basis))[0]
        sizes = np.einsum("ij,ij->i", differing, differing)
        return _Sketch(basis, differing @ basis, sizes)

    def _apart(self, flat: Rows, examples: NDArray[np.int64]) -> Rows:
        """(m,) squared distances, less what is the same for all examples."""
        meeting = np.einsum("ij,ij->i", flat, self._clean[examples])
        return np.asarray(self._sizes[examples] - 2 * meeting, np.float32)
