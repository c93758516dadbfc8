"""Attacks on inputs: adversarial examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.changes import candidate_shape
from arena.changes.corruptions import corrupted
from arena.changes.warp import warped
from arena.players.task import Images, Labels, TaskInfo
from arena.players.view import DefenseView


@dataclass(frozen=True)
class EvasionChallenge:
    """What an evasion attack receives, as far as the threat model grants it.

    ``norm`` says what bounds a change: ``linf``, ``l2``, ``l1``, ``l0``, or ``patch`` (``epsilon``
    is the share of the picture that the smallest upright rectangle around all that changed may
    cover). In rounds of ``spatial`` changes and ``corruption`` a candidate is no picture but a
    *move* (see :meth:`applied`). ``epsilon`` is None in minimum-norm rounds, and in rounds with
    several where the manifest says ``nearest``: find the smallest perturbation. ``shift``: spatial
    rounds, the most pixels of a shift. ``targets`` (n,) in targeted rounds. ``y`` is None where the
    round withholds true labels. ``queries`` is the probes granted in all. ``training`` is (x, y).
    ``package`` is the directory of the opponent's package (white), ``architecture`` that of its
    untrained builder (grey), ``related`` directories of
    house models. ``family`` and ``structure`` are shown "as declared" by the opponent.
    """

    task: TaskInfo
    x: Images
    y: Labels | None
    targets: Labels | None
    norm: str
    epsilon: float | None
    defense: DefenseView
    output: str
    seed: int
    training: tuple[Images, Labels] | None = None
    package: Path | None = None
    architecture: Path | None = None
    related: tuple[Path, ...] = ()
    family: str | None = None
    structure: str | None = None
    randomness: str | None = None
    game: str = "evasion"
    shift: float = 0.0
    submit_candidates: Callable[[Images, NDArray[np.int64]], None] = field(
        default=lambda x, examples: None, repr=False
    )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def targeted(self) -> bool:
        return self.targets is not None

    @property
    def candidate_shape(self) -> tuple[int, ...]:
        """Of one candidate: of an example, or of a move."""
        return candidate_shape(self.norm, self.x.shape[1:])

    def applied(
        self, moves: NDArray[Any], examples: NDArray[np.int64] | None = None, *, draw: int = 0
    ) -> Images:
        """The pictures (n, *shape) that the referee makes of moves, for ``examples`` (n,).

        Spatial rounds: a move is (degrees counter-clockwise, pixels right, pixels down), at most
        ``epsilon`` degrees and ``shift`` pixels either way. Corruption rounds: (place of the kind
        in ``arena.changes.corruptions.KINDS``, severity 1 to ``epsilon``); kinds that draw at
        random are drawn here anew for each ``draw``, and by the referee once more, in secret.
        A move of zeros changes nothing. Elsewhere ``moves`` are pictures and come back as such.
        """
        rows = np.arange(len(moves)) if examples is None else np.asarray(examples)
        if self.norm == "spatial":
            return warped(self.x[rows], moves)
        if self.norm == "corruption":
            seeds = np.random.default_rng((self.seed, draw)).integers(2**63, size=len(self))
            return corrupted(self.x[rows], moves, seeds.astype(np.uint64)[rows])
        return np.asarray(moves, np.float32)

    def clip(self, x: NDArray[Any]) -> Images:
        """``x`` clipped to [0, 1] as float32. The referee rejects, it never clips."""
        return np.asarray(np.clip(x, 0.0, 1.0), np.float32)

    def submit(self, x: Images, examples: NDArray[np.int64] | None = None) -> None:
        """Hand in candidates early: at a timeout the last ones handed in are judged."""
        rows = np.arange(len(self)) if examples is None else examples
        self.submit_candidates(x, rows)

    def rng(self) -> np.random.Generator:
        """A generator seeded by the referee."""
        return np.random.default_rng(self.seed)


class EvasionAttack:
    """Finds adversarial examples: untargeted, targeted, minimum-norm or by transfer."""

    def __init__(self, package: Path, options: Mapping[str, Any] | None = None) -> None:
        self.package = package
        self.options = dict(options or {})

    def attack(self, challenge: EvasionChallenge) -> Images:
        """Candidates in the order of ``challenge.x``; the example itself where there is none.

        (n, *shape), or moves (n, 3) in spatial rounds and (n, 2) in corruption rounds.
        """
        raise NotImplementedError("An attack implements attack(challenge).")
