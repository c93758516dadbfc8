"""What a defense answers to the controls of a round, kept for all its matches there.

Noise of the round's size and the battery of corruptions hang on the round and the defense alone,
and are asked in a process that gets nothing else. The file holds arrays alone, written by one
referee and read by others: each asks anew where the name is not the one that its own table gives
(:func:`arena.games.control.controls_name`), or where the arrays do not fit its questions.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

FILE: Final = "controls.npz"
_NAME: Final = "name"
Said = tuple[NDArray[np.int64], NDArray[np.float64]]
"""(m, k) labels and confidence of m inputs judged k times."""


@dataclass(frozen=True, eq=False)
class Controls:
    """``said``: by the purpose for which it was asked. ``name`` says of whom and in which round;
    empty where the defense failed, which decides nothing for later matches."""

    name: str
    said: Mapping[str, Said] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        arrays: dict[str, NDArray[np.generic]] = {
            _NAME: np.frombuffer(self.name.encode(), np.uint8)
        }
        for purpose, (labels, confidence) in self.said.items():
            arrays |= {f"{purpose}.labels": labels, f"{purpose}.confidence": confidence}
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """None of what is no such file: nothing was asked, then."""
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                purposes = [n.removesuffix(".labels") for n in file if n.endswith(".labels")]
                said = {p: (file[f"{p}.labels"], file[f"{p}.confidence"]) for p in purposes}
                return cls(file[_NAME].astype(np.uint8).tobytes().decode("utf-8", "replace"), said)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None

    def answers(self, purpose: str, *, name: str, shape: tuple[int, int]) -> Said | None:
        """Those to ``shape`` (inputs, repeats) questions, if it was asked for just this."""
        labels, confidence = self.said.get(purpose, (np.zeros(0, np.int64), np.zeros(0)))
        kinds = (labels.dtype.kind, confidence.dtype.kind) == ("i", "f")
        fits = self.name == name and labels.shape == confidence.shape == shape
        return (labels, confidence) if kinds and fits else None
