"""Changes that are told and not painted: the attack names a move, the referee makes the picture.

What runs in a jail may import these files, so that an attack sees what the referee will make.
A move is a row of numbers; a row of zeros leaves its example as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SPATIAL: Final = ("degrees", "right", "down")
CORRUPTION: Final = ("kind", "severity")
NUMBERS: Final[Mapping[str, tuple[str, ...]]] = {"spatial": SPATIAL, "corruption": CORRUPTION}
"""What the numbers of a move are, by what stands in the place of a norm."""


def candidate_shape(norm: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of one candidate in a round of that norm; ``shape`` is that of an example."""
    return (len(NUMBERS[norm]),) if norm in NUMBERS else shape
