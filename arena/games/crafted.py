"""What an attack that asks nothing has handed in, kept for every defense that shows it the same.

The file holds arrays alone, written by one referee and read by others: each takes it for what an
attack says, measures every candidate itself, and crafts anew where the name is not the one that
its own table gives (:func:`arena.games.blind.blind_secret`).
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

FILE: Final = "crafted.npz"


@dataclass(frozen=True, eq=False)
class Crafted:
    """``candidates`` (levels, cases, *row) float32 in the round's order of cases; ``seconds``
    (levels,) that the attack spent on each, ``spent`` in all; ``log``: what it printed.

    ``source`` (levels, cases): what the first related model answers, in transfer rounds that show
    one. ``name`` says what it was crafted for; empty for a crafting that failed.
    """

    name: str
    candidates: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    seconds: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    spent: float = 0.0
    log: str = ""
    source: NDArray[np.int64] | None = None

    def write(self, path: Path) -> None:
        np.savez(
            path,
            source=np.zeros(0, np.int64) if self.source is None else self.source,
            name=_bytes(self.name),
            candidates=self.candidates,
            seconds=self.seconds,
            spent=np.array(self.spent),
            log=_bytes(self.log),
        )

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """None of what is no such file: nothing was crafted, then."""
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                return cls(
                    name=_text(file["name"]),
                    candidates=file["candidates"],
                    seconds=file["seconds"],
                    spent=float(file["spent"]),
                    log=_text(file["log"]),
                    source=file["source"] if file["source"].size else None,
                )
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None

    def fits(self, *, name: str, levels: int, shape: tuple[int, ...]) -> bool:
        """Whether it was crafted for this; ``shape``: of all candidates of one level."""
        rows = self.candidates.dtype == np.float32 and self.candidates.shape == (levels, *shape)
        source = self.source is None or self.source.shape == (levels, shape[0])
        return self.name == name and rows and source and self.seconds.shape == (levels,)


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode("utf-8", "backslashreplace"), np.uint8)


def _text(content: NDArray[np.uint8]) -> str:
    return content.astype(np.uint8).tobytes().decode("utf-8", "replace")
