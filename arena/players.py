"""What a submission implements. This is the whole interface; it needs numpy alone.

Every array is float32 in [0, 1] with the examples along the first axis, ``(n, *shape)``. Players
run inside a jail, are built once per process, and talk to nobody but the referee. A round's
threat model decides which fields of a challenge are filled: what is withheld is ``None``, and is
nowhere else in the jail either.

A defense (``role = "defense"``)::

    class Defense(arena.players.Defense):
        def predict(self, x):                       # (n, *shape) -> (n, classes)
            return x.reshape(len(x), -1) @ self.w

An attack (``role = "attack"``)::

    class Attack(arena.players.EvasionAttack):
        def attack(self, challenge):                # -> candidates (n, *shape)
            slope = challenge.defense.gradient(challenge.x, challenge.y)
            return challenge.clip(challenge.x + challenge.epsilon * np.sign(slope))
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from arena.changes import candidate_shape
from arena.changes.corruptions import corrupted
from arena.changes.warp import warped
from arena.errors import NotDifferentiable, QueryBudgetExceeded, Withheld

__all__ = [
    "Backdoor",
    "BackdoorChallenge",
    "Defense",
    "DefenseView",
    "EvasionAttack",
    "EvasionChallenge",
    "ExtractionChallenge",
    "Learner",
    "NotDifferentiable",
    "OnlineChallenge",
    "Poison",
    "Poisoner",
    "PoisoningChallenge",
    "QueryBudgetExceeded",
    "Surrogate",
    "TargetedChallenge",
    "TaskInfo",
    "Thief",
    "TrendChallenge",
    "Withheld",
    "row_noise",
]

Step = TypeVar("Step", bound=np.floating)
Images = NDArray[np.float32]
"""(n, *shape) float32 in [0, 1]."""
Scores = NDArray[np.float32]
"""(n, classes) float32: logits or probabilities, as the manifest declares."""
Labels = NDArray[np.int64]
"""(n,) int64 in [0, classes)."""


@dataclass(frozen=True)
class TaskInfo:
    """The schema of the task, as far as switch S2 (task knowledge) shows it.

    ``shape``: of one example; () when withheld. ``classes``: names; () when withheld.
    ``grid``: number of levels of the input grid, None for none. ``cost``: C[y, ŷ] or None.
    ``mutable``: (shape) bool, the features that may change, None for all.
    ``add_only``: (shape) bool, the features that may only grow, None for none.
    ``regression``: whether y are values (n,) float64 in [0, 1] rather than classes; never withheld.
    ``device``: "cpu", or "cuda" where the task lets its players use a GPU; never withheld.
    """

    name: str
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    grid: int | None = None
    cost: NDArray[np.float64] | None = None
    mutable: NDArray[np.bool_] | None = None
    add_only: NDArray[np.bool_] | None = None
    device: str = "cpu"
    regression: bool = False

    def allowed(self, delta: NDArray[Step]) -> NDArray[Step]:
        """``delta`` (n, *shape) or (n, features) without what the task forbids.

        0 where a feature is fixed, and nothing taken away where it may only grow. ``delta``
        itself where the task allows everything.
        """
        if self.mutable is not None:
            delta = delta * self.mutable.reshape(1, *delta.shape[1:])
        if self.add_only is not None:
            lowers = self.add_only.reshape(1, *delta.shape[1:]) & (delta < 0)
            delta = np.where(lowers, np.zeros((), delta.dtype), delta)
        return delta


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


@dataclass(frozen=True)
class PoisoningChallenge:
    """What a poisoner receives: the training set S, and what the threat model shows.

    ``count`` is floor(share * len(S)), the number of points he must return.
    ``mode`` is "add" or "replace". ``package`` is the directory of the learner's code (white);
    ``defense`` answers probes of the model trained on clean S (black).
    """

    task: TaskInfo
    x: Images
    y: Labels
    count: int
    mode: str
    defense: DefenseView
    output: str
    seed: int
    package: Path | None = None
    family: str | None = None
    structure: str | None = None

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


@dataclass(frozen=True)
class Poison:
    """``count`` points: x (count, *shape), y (count,). ``replaces`` (count,) indices into S."""

    x: Images
    y: Labels
    replaces: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class BackdoorChallenge(PoisoningChallenge):
    """A poisoning challenge with a target: T(x) is to be answered ``target``, whatever x was.

    ``trigger`` is "patch": T(x) sets at most ``features`` features (a pixel with all its channels
    is one) to values of yours; or "shift": T(x) = clip(x + δ), |δ| <= ``epsilon`` in ``norm``.
    """

    target: int = 0
    trigger: str = "patch"
    features: int = 0
    norm: str = "linf"
    epsilon: float | None = None


@dataclass(frozen=True)
class Backdoor:
    """Poison and the trigger that it teaches; the referee applies it.

    A patch: ``mask`` (*shape) bool says where, ``pattern`` (*shape) in [0, 1] what T(x) holds
    there. A shift: ``pattern`` is δ, and ``mask`` is left out.
    """

    poison: Poison
    pattern: NDArray[np.float32]
    mask: NDArray[np.bool_] | None = None

    def applied(self, x: Images) -> Images:
        """T(x), as the referee will apply it."""
        if self.mask is not None:
            return np.asarray(np.where(self.mask, self.pattern, x), np.float32)
        return np.asarray(np.clip(x + self.pattern, 0.0, 1.0), np.float32)


@dataclass(frozen=True)
class TrendChallenge(PoisoningChallenge):
    """Series whose trend is to go away: x (n, features), y (n,) float64 in [0, 1].

    The first feature of x is time, the second (if any) says which series a point is of. Each series
    may be changed by at most ``epsilon`` in ``norm`` (L0: so many of its points).
    """

    norm: str = "l2"
    epsilon: float = 0.0

    @property
    def values(self) -> NDArray[np.float64]:
        """``y`` as values, a copy of your own."""
        return np.array(self.y, np.float64)

    def series(self) -> list[NDArray[np.int64]]:
        """The rows of each series, in the order of time."""
        key = self.x[:, 1] if self.x.shape[1] > 1 else np.zeros(len(self.x), np.float32)
        rows = [np.flatnonzero(key == value) for value in np.unique(key)]
        return [members[np.argsort(self.x[members, 0], kind="stable")] for members in rows]


@dataclass(frozen=True)
class TargetedChallenge(PoisoningChallenge):
    """A poisoning challenge about one chosen point: it is to be answered ``target``.

    ``target_x`` (*shape) is the point, ``label`` its class (None where true labels are withheld).
    ``epsilon``: None, or the poison is clean-label: each point lies within it, in ``norm``, of a
    point of S under the same label; with mode "replace", of the very point that it replaces.
    """

    target_x: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    target: int = 0
    label: int | None = None
    norm: str = "linf"
    epsilon: float | None = None


@dataclass(frozen=True)
class OnlineChallenge(PoisoningChallenge):
    """One batch of a stream: ``x``, ``y`` are its clean points, before the learner sees them.

    ``batch`` counts from 0 to ``batches`` - 1. The same poisoner is asked for each batch of a
    stream, so keep on ``self`` what came before. ``mode`` "replace": ``replaces`` are indices into
    this batch. ``defense`` is the learner as this stream has made it so far. ``training`` is
    (x, y) where the round gives training data.
    """

    batch: int = 0
    batches: int = 1
    training: tuple[Images, Labels] | None = None


class Poisoner:
    """Returns poisoned points; he never sees the data the learner is judged on.

    One that plays another game than ``poisoning`` implements its method and says so:
    ``games = ["backdoor"]`` and ``backdoor``, ``["targeted_poisoning"]`` and ``poison_target``,
    ``["online_poisoning"]`` and ``poison_batch``.
    """

    def __init__(self, package: Path, options: Mapping[str, Any] | None = None) -> None:
        self.package = package
        self.options = dict(options or {})

    def poison(self, challenge: PoisoningChallenge) -> Poison:
        raise NotImplementedError("A poisoner implements poison(challenge).")

    def backdoor(self, challenge: BackdoorChallenge) -> Backdoor:
        """Backdoor rounds: poison, and the trigger that it teaches."""
        raise NotImplementedError("A poisoner that plants backdoors implements backdoor().")

    def poison_target(self, challenge: TargetedChallenge) -> Poison:
        """Targeted rounds: poison for one chosen point."""
        raise NotImplementedError("A poisoner of chosen points implements poison_target().")

    def poison_batch(self, challenge: OnlineChallenge) -> Poison:
        """Online rounds: poison for the batch that is about to come."""
        raise NotImplementedError("A poisoner of streams implements poison_batch().")

    def poison_trend(self, challenge: TrendChallenge) -> NDArray[np.float64]:
        """Trend rounds: the changed y (n,), in the order of ``challenge.y``.

        A player of trends says ``games = ["trend_poisoning"]`` in [needs], learners as well.
        """
        raise NotImplementedError("A poisoner of trends implements poison_trend().")


@dataclass(frozen=True)
class ExtractionChallenge:
    """What a thief receives. The same thief is called again at each stop of the round.

    ``queries`` is how many probes may have been asked by the end of this call, earlier calls
    counted; ``queries_in_all`` how many by the end of the last one. So keep on ``self`` what was
    learned. ``defense.ask(x)`` takes any number of rows. ``training`` is (x, y) where the round
    gives data; the other fields are as in :class:`EvasionChallenge`.
    """

    task: TaskInfo
    queries: int
    queries_in_all: int
    defense: DefenseView
    output: str
    seed: int
    training: tuple[Images, Labels] | None = None
    architecture: Path | None = None
    related: tuple[Path, ...] = ()
    family: str | None = None
    structure: str | None = None

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


@dataclass(frozen=True)
class Surrogate:
    """A stolen copy: the files of a defense's package, by relative path.

    ``manifest.toml`` says role = "defense"; the copy answers every input and draws nothing at
    random. It is unpacked and judged in a jail of its own, on inputs that nobody has seen.
    """

    files: Mapping[str, bytes]

    @classmethod
    def linear(cls, weights: NDArray[Any], offsets: NDArray[Any]) -> Surrogate:
        """Scores ``x @ weights + offsets``: weights (features, classes), offsets (classes,)."""
        stored = io.BytesIO()
        np.savez(stored, w=np.asarray(weights), b=np.asarray(offsets))
        return cls(
            {
                "manifest.toml": _LINEAR_MANIFEST.encode(),
                "player.py": _LINEAR_PLAYER.encode(),
                "weights.npz": stored.getvalue(),
            }
        )


_LINEAR_MANIFEST = """schema_version = 1
name = "Stolen linear model"
role = "defense"
weights = "weights.npz"
entry = "player.py:Stolen"
"""
_LINEAR_PLAYER = """import numpy as np

import arena.players


class Stolen(arena.players.Defense):
    def load(self):
        stored = np.load(self.package / "weights.npz")
        self.w, self.b = stored["w"], stored["b"]

    def predict(self, x):
        return x.reshape(len(x), -1).astype(self.w.dtype) @ self.w + self.b
"""


class Thief:
    """Copies a defense from its answers alone (model extraction)."""

    def __init__(self, package: Path, options: Mapping[str, Any] | None = None) -> None:
        self.package = package
        self.options = dict(options or {})

    def steal(self, challenge: ExtractionChallenge) -> Surrogate:
        """The best copy so far, after at most ``challenge.queries`` probes in all."""
        raise NotImplementedError("A thief implements steal(challenge).")


def row_noise(shape: Sequence[int], seeds: NDArray[np.uint64]) -> Images:
    """Standard normal noise (n, *shape) float32 where row i depends on ``seeds[i]`` alone."""
    rows = [
        np.random.Generator(np.random.Philox(key=int(seed))).standard_normal(
            tuple(shape), dtype=np.float32
        )
        for seed in seeds
    ]
    return np.stack(rows) if rows else np.zeros((0, *shape), np.float32)
