"""What is attacked: classifiers, and algorithms that train one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.players.task import Images, Labels, Scores, TaskInfo


class Defense:
    """A classifier. Subclass it, or ship weights alone (torch, ONNX, scikit-learn).

    ``package`` is the read-only directory of the submission's own files.
    A torch defense subclasses :class:`arena.torch_players.TorchDefense` instead.
    """

    def __init__(self, package: Path, task: TaskInfo) -> None:
        self.package = package
        self.task = task
        self.load()

    def load(self) -> None:
        """Read weights from ``self.package``. Called once, before the clock starts."""

    def predict(self, x: Images) -> Scores:
        """Scores (n, classes) of ``x``; one more column, the last, when the manifest says abstains.

        Rows must not depend on one another. A stochastic defense (``stochastic = true``) is called
        as ``predict(x, seeds)`` with ``seeds`` (n,) uint64 and draws row i's randomness from
        ``seeds[i]`` alone (:func:`row_noise`): same input and seed, same answer.
        """
        raise NotImplementedError("A defense implements predict(x).")

    def certify(
        self, x: Images, norm: str, *, effort: int, seeds: NDArray[np.uint64]
    ) -> tuple[Labels, NDArray[np.float32]]:
        """Certification rounds: labels (n,) and radii (n,), both of the claim.

        The claim on row i: every input within ``radii[i]`` of ``x[i]``, in that norm, is answered
        ``labels[i]``. Label -1 and radius 0 claim nothing. ``effort`` is 1, or 10 where a claim is
        looked at again: a defense that samples takes so many times its samples. ``seeds`` (n,)
        are what row i may draw from. Rows must not depend on one another. The manifest names the
        norms (``certifies``) and the chance that a claim is wrong (``alpha``, 0 for none).
        """
        raise NotImplementedError("A defense that certifies implements certify(x, norm, ...).")


class Learner:
    """A training algorithm. It is committed as code; the poisoner moves after."""

    def __init__(self, package: Path, task: TaskInfo) -> None:
        self.package = package
        self.task = task

    def fit(self, x: Images, y: NDArray[Any], seed: int) -> None:
        """Train from scratch on (x, y). Called again with other data: forget what was before.

        ``y`` (n,) int64; in a regression task values, float64, and ``predict`` gives (n, 1).
        """
        raise NotImplementedError("A learner implements fit(x, y, seed).")

    def choose(self, x: Images, y: Labels, *, share: float, mode: str) -> None:
        """Rounds in which the attacker moves first: look at the set, and choose how to train.

        Called once, before ``fit`` gets the same set: up to ``share`` of it was added (``mode``
        "add") or replaced ("replace") by a poisoner who knew nothing of you, or nothing was. Keep
        what you choose on ``self``. Left as it is: nothing is chosen.
        """

    def start(self, seed: int) -> None:
        """Online rounds: forget everything; a stream of batches begins."""
        self._stream_seed, self._stream = seed, list[tuple[Images, Labels]]()

    def update(self, x: Images, y: Labels) -> None:
        """Online rounds: learn from one more batch (n, *shape).

        Left as they are, ``start`` and ``update`` fit anew on all batches so far, with the seed.
        """
        self._stream.append((x, y))
        seen_x, seen_y = zip(*self._stream, strict=True)
        self.fit(np.concatenate(seen_x), np.concatenate(seen_y), self._stream_seed)

    def predict(self, x: Images) -> Scores:
        """Scores (n, classes) of the model trained last."""
        raise NotImplementedError("A learner implements predict(x).")
