"""Tree path finding: a decision tree's thresholds are found exactly, then its paths put together.

Tramer et al. 2016 (arXiv:1609.02943), section 4.2. A tree answers alike all over a leaf, and its
probabilities tell most leaves apart. Between two inputs that are answered differently, features are
changed from one's to the other's by halves until a single one is left that makes the difference
(log2 d probes); along it, halving finds the threshold to PRECISION (14 probes).

The paper walks from leaf to leaf and takes each answer for one leaf alone; leaves that answer alike
would be run together. Here a tree is grown, by entropy, on all answers with the thresholds that
were found and no others; wherever a path still ends in different answers, a new threshold is
sought between two of them. When all paths are pure, fresh points look for what was missed.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arena.players import ExtractionChallenge, Surrogate, Thief

MANIFEST = """
schema_version = 1
name = "Path finding"
role = "thief"
entry = "player.py:PathFinding"
family = "path finding"
description = "Finds the thresholds of a decision tree by halving, and puts its paths together."

[needs]
probes = true
"""

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

FIRST = 0.15
"""Share of the probes of a call that is asked before thresholds are sought."""
PRECISION = 14
"""Halvings along a feature."""
TOGETHER = 16
"""Thresholds sought at once: one question to the oracle asks for all."""
ROUNDED = 5

TREE_MANIFEST = b"""schema_version = 1
name = "Stolen tree"
role = "defense"
weights = "weights.npz"
entry = "player.py:Stolen"
"""
TREE_PLAYER = b"""import numpy as np

import arena.players


class Stolen(arena.players.Defense):
    def load(self):
        self.tree = dict(np.load(self.package / "weights.npz"))

    def predict(self, x):
        flat, at = x.reshape(len(x), -1), np.zeros(len(x), int)
        for _ in range(int(self.tree["depth"])):
            feature = self.tree["feature"][at]
            above = flat[np.arange(len(x)), np.maximum(feature, 0)] > self.tree["threshold"][at]
            below, over = self.tree["below"][at], self.tree["above"][at]
            at = np.where(feature < 0, at, np.where(above, over, below))
        return self.tree["scores"][at]
"""


class PathFinding(Thief):
    """Keeps every answer and every threshold from call to call."""

    _asked: _Asked

    def steal(self, challenge: ExtractionChallenge) -> Surrogate:
        if not hasattr(self, "_asked"):
            self._asked = _Asked(int(np.prod(challenge.task.shape)))
        asked, rng = self._asked, challenge.rng()
        asked.challenge = challenge
        first = int(np.ceil(FIRST * asked.left))
        asked.ask(_fresh(challenge, first, rng))
        while True:
            tree = _Tree.grown(asked)
            pairs = tree.impure(asked, rng)[: asked.affordable]
            if pairs:
                asked.seek(np.asarray(pairs))
            elif asked.left:
                asked.ask(_fresh(challenge, min(asked.left, 200), rng))
            else:
                break
        return tree.packed(_classes(challenge, asked))


def _fresh(challenge: ExtractionChallenge, count: int, rng: np.random.Generator) -> Floats:
    """The round's own points, each with some features of another; uniform points for the rest."""
    size = int(np.prod(challenge.task.shape))
    points = rng.uniform(size=(count, size))
    if challenge.training is not None and len(challenge.training[0]):
        known = challenge.training[0].reshape(len(challenge.training[0]), -1)
        like = count - count // 4
        one, other = (known[rng.integers(len(known), size=like)] for _ in range(2))
        points[:like] = np.where(rng.uniform(size=one.shape) < 0.8, one, other)
    return points


@dataclass
class _Asked:
    """What was asked, the answers as numbers of distinct replies, and the thresholds found."""

    size: int
    x: NDArray[np.float32] = field(init=False)
    answer: Labels = field(default_factory=lambda: np.zeros(0, np.int64))
    replies: dict[tuple[float, ...], int] = field(default_factory=dict)
    features: list[int] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    challenge: ExtractionChallenge = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.x = np.zeros((0, self.size), np.float32)

    @property
    def left(self) -> int:
        return self.challenge.queries - len(self.x)

    @property
    def affordable(self) -> int:
        """How many thresholds may be sought at once with the probes that are left."""
        each = int(np.ceil(np.log2(self.size))) + 1 + PRECISION
        return min(TOGETHER, self.left // each)

    def ask(self, points: Floats) -> Labels:
        """(n,) numbers of the replies; a refused answer is a reply like others."""
        if not len(points):
            return np.zeros(0, np.int64)
        x = points.astype(np.float32)
        told = self.challenge.defense.ask(x.reshape(-1, *self.challenge.task.shape))
        rows = np.round(told.reshape(len(x), -1).astype(np.float64), ROUNDED)
        numbers = [self.replies.setdefault(tuple(row), len(self.replies)) for row in rows.tolist()]
        answers = np.asarray(numbers, np.int64)
        self.x = np.concatenate([self.x, x])
        self.answer = np.concatenate([self.answer, answers])
        return answers

    def seek(self, pairs: Labels) -> None:
        """A threshold between each pair (k, 2) of points that were answered differently."""
        near, far = (self.x[pairs[:, side]].astype(np.float64) for side in (0, 1))
        here, line = self.answer[pairs[:, 0]], np.arange(len(pairs))
        open_ = near != far
        while (several := np.flatnonzero(open_.sum(1) > 1)).size:
            rank = np.cumsum(open_[several], axis=1)
            half = open_[several] & (rank <= rank[:, -1:] // 2)
            mixed = np.where(half, far[several], near[several])
            same = self.ask(mixed) == here[several]
            near[several[same]] = mixed[same]
            open_[several] = np.where(same[:, None], open_[several] & ~half, half)
        feature = open_.argmax(1)
        low, high = near[line, feature], far[line, feature]
        for _ in range(PRECISION):
            middle, point = (low + high) / 2, near.copy()
            point[line, feature] = middle
            same = self.ask(point) == here
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        self.features += feature.tolist()
        self.thresholds += ((low + high) / 2).tolist()


@dataclass
class _Tree:
    """Nodes by number; a leaf has feature -1 and the points that end in it."""

    feature: list[int] = field(default_factory=list)
    threshold: list[float] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    above: list[int] = field(default_factory=list)
    answer: list[int] = field(default_factory=list)
    rows: list[Labels] = field(default_factory=list)
    depth: int = 0

    @classmethod
    def grown(cls, asked: _Asked) -> _Tree:
        """By entropy, on the thresholds that were found."""
        tree = cls()
        features = np.asarray(asked.features, np.int64)
        thresholds = np.asarray(asked.thresholds)
        over = asked.x[:, features] > thresholds
        waiting = [(np.arange(len(asked.x)), tree._leaf(), 0)]
        while waiting:
            rows, node, depth = waiting.pop()
            tree.depth = max(tree.depth, depth)
            answers = asked.answer[rows]
            tree.rows[node], tree.answer[node] = rows, int(np.bincount(answers).argmax())
            if (answers == answers[0]).all() or not len(features):
                continue
            split = _best(over[rows], answers)
            if split is None:
                continue
            tree.feature[node], tree.threshold[node] = int(features[split]), thresholds[split]
            beyond = over[rows, split]
            tree.below[node], tree.above[node] = tree._leaf(), tree._leaf()
            waiting.append((rows[~beyond], tree.below[node], depth + 1))
            waiting.append((rows[beyond], tree.above[node], depth + 1))
        return tree

    def _leaf(self) -> int:
        self.feature.append(-1)
        self.threshold.append(0.0)
        self.below.append(0)
        self.above.append(0)
        self.answer.append(0)
        self.rows.append(np.zeros(0, np.int64))
        return len(self.feature) - 1

    def impure(self, asked: _Asked, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Two points answered differently of each leaf that has such, fullest leaves first."""
        pairs = []
        leaves = [n for n, feature in enumerate(self.feature) if feature < 0]
        for node in sorted(leaves, key=lambda n: -len(self.rows[n])):
            rows = rng.permutation(self.rows[node])
            other = np.flatnonzero(asked.answer[rows] != asked.answer[rows[:1]])
            if other.size and (asked.x[rows[0]] != asked.x[rows[other[0]]]).any():
                pairs.append((int(rows[0]), int(rows[other[0]])))
        return pairs

    def packed(self, scores: Floats) -> Surrogate:
        """As a package; ``scores`` (replies, classes) is what each answer says."""
        stored = io.BytesIO()
        np.savez(
            stored,
            feature=np.asarray(self.feature),
            threshold=np.asarray(self.threshold),
            below=np.asarray(self.below),
            above=np.asarray(self.above),
            scores=scores[np.asarray(self.answer)],
            depth=np.asarray(self.depth),
        )
        return Surrogate(
            {
                "manifest.toml": TREE_MANIFEST,
                "player.py": TREE_PLAYER,
                "weights.npz": stored.getvalue(),
            }
        )


def _best(over: NDArray[np.bool_], answers: Labels) -> int | None:
    """The threshold that leaves the least entropy; None where none parts the points."""
    _, named = np.unique(answers, return_inverse=True)
    kinds = np.eye(named.max() + 1)[named]
    above = over.T.astype(float) @ kinds
    below = kinds.sum(0) - above
    parts = (above.sum(1) > 0) & (below.sum(1) > 0)
    if not parts.any():
        return None
    cost = _entropy(above) + _entropy(below)
    return int(np.where(parts, cost, np.inf).argmin())


def _entropy(counts: Floats) -> Floats:
    """(n,) counts (n, kinds) times the logarithm of their share, in nats."""
    total = counts.sum(1, keepdims=True)
    share = counts / np.maximum(total, 1)
    bits: Floats = -(counts * np.log(np.maximum(share, 1e-300))).sum(1)
    return bits


def _classes(challenge: ExtractionChallenge, asked: _Asked) -> Floats:
    """(replies, classes) scores: probabilities as told, a label as its unit vector."""
    replies = np.asarray(list(asked.replies))
    classes = len(challenge.task.classes) or max(replies.shape[1], int(replies[:, 0].max()) + 1)
    if challenge.output in ("label", "top_k"):
        units: Floats = np.eye(classes)[np.clip(replies[:, 0].astype(int), 0, classes - 1)]
        return units
    scores: Floats = replies[:, :classes]
    return scores
