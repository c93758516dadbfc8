"""What an attack holds of its opponent."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from arena.players.task import Images, Labels, Scores


class DefenseView(Protocol):
    """The metered, filtered view of the opponent that an attack holds.

    Every call is charged by the referee before it is answered. ``examples`` (n,) names which of
    the round's examples each row belongs to; it may be left out when ``len(x)`` equals the number
    of examples, in the same order, and where there is only one. A thief has none to name.
    """

    @property
    def probes_left(self) -> float:
        """Probes left in this round (``inf`` where only time binds)."""

    def probes_left_for(self, examples: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n,) probes left for each named example."""

    def ask(self, x: Images, examples: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Oracle replies, charged one probe a row.

        (n,) labels for label oracles, (n, k) labels for top-k, else (n, classes) scores; the kind
        is ``challenge.output``. An abstention is the label -1 or an extra last column.

        Raises:
            QueryBudgetExceeded: more rows than probes left; nothing was charged.
            Withheld: the round grants no probes.
        """

    def logits(self, x: Images) -> Scores:
        """White-box rounds: logits, free of charge. Raises Withheld elsewhere."""

    def gradient(self, x: Images, y: Labels) -> Images:
        """White-box rounds: d cross-entropy(logits(x), y) / dx per example, free of charge.

        Raises NotDifferentiable for a defense without gradients, Withheld in other rounds.
        """

    def logits_and_gradient(self, x: Images, weights: Scores | Labels) -> tuple[Scores, Images]:
        """One forward and one backward pass: the logits, and a gradient with respect to x.

        ``weights`` (n,) int: the gradient of the cross-entropy with these labels.
        ``weights`` (n, classes) float: the gradient of sum_k weights[i, k] logits[i, k].
        """

    def check(self, x: Images, examples: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
        """Feedback on candidates (S11): (n,) whether each is a success; charged as probes."""
