"""What a loaded player does in its jail: answers requests, or plays a challenge.

Each handler turns whatever the player returns into an array of the right dtype and shape, or
raises :class:`WrongAnswer`. The referee holds every frame against the same figures again.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.changes import candidate_shape
from arena.errors import ArenaError
from arena.manifest import Manifest
from arena.players import (
    Backdoor,
    BackdoorChallenge,
    EvasionChallenge,
    ExtractionChallenge,
    Images,
    Labels,
    OnlineChallenge,
    Poison,
    PoisoningChallenge,
    Scores,
    Surrogate,
    TargetedChallenge,
    TaskInfo,
    TrendChallenge,
)
from arena.sandbox.guest_loader import reseed
from arena.sandbox.guest_view import RefereeView
from arena.wire import MAX_SURROGATE, Array, Failure, Frame, Op, Trusting, Wire


class WrongAnswer(ArenaError):
    """The player returned something that is no answer; ``failure`` says of what kind."""

    def __init__(self, message: str, failure: Failure = Failure.SHAPE) -> None:
        super().__init__(message)
        self.failure = failure


@dataclass(frozen=True)
class Guest:
    """A loaded player and what it was loaded with. ``base`` holds package, opponent, ..."""

    player: Any
    manifest: Manifest
    task: TaskInfo
    base: Path
    wire: Wire

    @property
    def columns(self) -> int:
        if self.task.regression:
            return 1
        return len(self.task.classes) + int(self.manifest.abstains)


REQUESTS: Final = {
    op: Trusting()
    for op in (
        Op.PREDICT,
        Op.BACKWARD,
        Op.BACKWARD_WEIGHTED,
        Op.FIT,
        Op.EVADE,
        Op.POISON,
        Op.STEAL,
        Op.CERTIFY,
        Op.BACKDOOR,
    )
}
_REPLIES: Final = {
    Op.PREDICT: Op.SCORES,
    Op.BACKWARD: Op.GRADIENTS,
    Op.BACKWARD_WEIGHTED: Op.GRADIENTS,
    Op.FIT: Op.FITTED,
    Op.EVADE: Op.CANDIDATES,
    Op.POISON: Op.POISONED,
    Op.STEAL: Op.STOLEN,
    Op.CERTIFY: Op.CERTIFIED,
    Op.BACKDOOR: Op.BACKDOORED,
}


def answer(guest: Guest, frame: Frame) -> tuple[Op, tuple[Array, ...]]:
    """Let the player answer one request; whatever it raises comes through."""
    if frame.op is Op.PREDICT:
        arrays: tuple[Array, ...] = _predict(guest, *frame.arrays)
    elif frame.op is Op.FIT:
        arrays = _fit(guest, frame)
    elif frame.op is Op.EVADE:
        arrays = _evade(guest, frame)
    elif frame.op is Op.POISON:
        arrays = _poison(guest, frame)
    elif frame.op is Op.STEAL:
        arrays = _steal(guest, frame)
    elif frame.op is Op.CERTIFY:
        arrays = _certify(guest, frame)
    elif frame.op is Op.BACKDOOR:
        arrays = _backdoor(guest, frame)
    else:
        arrays = _backward(guest, *frame.arrays)
    return _REPLIES[frame.op], arrays


def _predict(guest: Guest, x: Images, seeds: NDArray[np.uint64]) -> tuple[Array, ...]:
    given = (x, seeds) if guest.manifest.stochastic else (x,)
    scores = guest.player.predict(*given)
    return (shaped(scores, np.float32, (len(x), guest.columns), "predict"),)


def _backward(
    guest: Guest, x: Images, weights: Scores | Labels, seeds: NDArray[np.uint64]
) -> tuple[Array, ...]:
    given = (x, weights, seeds) if guest.manifest.stochastic else (x, weights)
    logits, gradient = guest.player.gradient(*given)
    return (
        shaped(logits, np.float32, (len(x), guest.columns), "gradient"),
        shaped(gradient, np.float32, x.shape, "gradient"),
    )


def _fit(guest: Guest, frame: Frame) -> tuple[Array, ...]:
    seed, meta = int(frame.meta["seed"]), frame.meta
    x, y = frame.arrays
    if "batch" in meta:
        if meta["batch"] == 0:
            reseed(seed)
            guest.player.start(seed)
        guest.player.update(x, y)
        return ()
    reseed(seed)
    if "share" in meta:
        guest.player.choose(x, y, share=float(meta["share"]), mode=str(meta["mode"]))
    guest.player.fit(x, y, seed)
    return ()


def _evade(guest: Guest, frame: Frame) -> tuple[Array, ...]:
    meta, arrays = frame.meta, _named(frame)
    x = arrays["x"]
    row = candidate_shape(meta["norm"], x.shape[1:])
    view = _view(guest, meta, examples=len(x), shape=x.shape[1:], candidate=row)
    challenge = EvasionChallenge(
        task=guest.task,
        x=x,
        y=arrays.get("y"),
        targets=arrays.get("targets"),
        norm=meta["norm"],
        epsilon=meta["epsilon"],
        defense=view,
        output=meta["output"],
        seed=meta["seed"],
        training=_training(arrays),
        package=_revealed(guest.base / "opponent"),
        architecture=_revealed(guest.base / "architecture"),
        related=_related(guest.base / "related"),
        family=meta["family"],
        structure=meta["structure"],
        randomness=meta["randomness"],
        game=meta["game"],
        shift=meta.get("shift", 0.0),
        submit_candidates=view.submit,
    )
    return (shaped(guest.player.attack(challenge), np.float32, (len(x), *row), "attack"),)


def _poison(guest: Guest, frame: Frame) -> tuple[Array, ...]:
    given = _poisoning(guest, frame)
    if frame.meta.get("game") == "trend_poisoning":
        return _trend(guest, given, frame.meta)
    method, ask = _POISONS.get(frame.meta.get("game", ""), _POISONS["poisoning"])
    poison = ask(guest, given, frame)
    if not isinstance(poison, Poison):
        raise WrongAnswer(f"{method} must return an arena.players.Poison.")
    return _points(poison, count=given["count"], row=given["x"].shape[1:])


def _trend(guest: Guest, given: dict[str, Any], meta: dict[str, Any]) -> tuple[Array, ...]:
    """The same points with other values."""
    told = {key: meta[key] for key in ("norm", "epsilon")}
    y = guest.player.poison_trend(TrendChallenge(**given, **told))
    values = shaped(y, np.float64, given["y"].shape, "poison_trend")
    return given["x"], values, np.zeros(0, np.int64)


def _target_poison(guest: Guest, given: dict[str, Any], frame: Frame) -> Any:
    meta = frame.meta
    told = {key: meta[key] for key in ("target", "label", "norm", "epsilon")}
    target_x = _named(frame)["target_x"][0]
    return guest.player.poison_target(TargetedChallenge(**given, target_x=target_x, **told))


def _batch_poison(guest: Guest, given: dict[str, Any], frame: Frame) -> Any:
    told: dict[str, Any] = {key: int(frame.meta[key]) for key in ("batch", "batches")}
    training = _training(_named(frame))
    return guest.player.poison_batch(OnlineChallenge(**given, training=training, **told))


_POISONS: Final[dict[str, tuple[str, Callable[[Guest, dict[str, Any], Frame], Any]]]] = {
    "poisoning": (
        "poison",
        lambda guest, given, _: guest.player.poison(PoisoningChallenge(**given)),
    ),
    "targeted_poisoning": ("poison_target", _target_poison),
    "online_poisoning": ("poison_batch", _batch_poison),
}
"""By game: the method that a poisoner is asked by, and how it is asked."""


def _backdoor(guest: Guest, frame: Frame) -> tuple[Array, ...]:
    given, meta = _poisoning(guest, frame), frame.meta
    told = {key: meta[key] for key in ("target", "trigger", "features", "norm", "epsilon")}
    found = guest.player.backdoor(BackdoorChallenge(**given, **told))
    if not isinstance(found, Backdoor) or not isinstance(found.poison, Poison):
        raise WrongAnswer("backdoor must return an arena.players.Backdoor.")
    row = given["x"].shape[1:]
    mask = np.zeros(row, bool) if found.mask is None else found.mask
    return (
        *_points(found.poison, count=given["count"], row=row),
        shaped(mask, np.bool_, row, "backdoor: mask")[None],
        shaped(found.pattern, np.float32, row, "backdoor: pattern")[None],
    )


def _poisoning(guest: Guest, frame: Frame) -> dict[str, Any]:
    """The fields that both kinds of poisoning challenge have."""
    meta, arrays = frame.meta, _named(frame)
    x = arrays["x"]
    return {
        "task": guest.task,
        "x": x,
        "y": arrays["y"],
        "count": int(meta["count"]),
        "mode": meta["mode"],
        "defense": _view(guest, meta, examples=int(meta["examples"]), shape=x.shape[1:]),
        "output": meta["output"],
        "seed": meta["seed"],
        "package": _revealed(guest.base / "opponent"),
        "family": meta["family"],
        "structure": meta["structure"],
    }


def _points(poison: Poison, *, count: int, row: tuple[int, ...]) -> tuple[Array, ...]:
    points = _converted(poison.x, np.float32, "poison.x")
    if len(points) > count:
        raise WrongAnswer(f"{len(points)} points where {count} are allowed.", Failure.POISON)
    n = len(points)
    replaces = np.zeros(0, np.int64) if poison.replaces is None else poison.replaces
    return (
        shaped(points, np.float32, (n, *row), "poison.x"),
        shaped(poison.y, np.int64, (n,), "poison.y"),
        shaped(replaces, np.int64, (len(replaces) and n,), "poison.replaces"),
    )


def _steal(guest: Guest, frame: Frame) -> tuple[Array, ...]:
    meta, arrays = frame.meta, _named(frame)
    challenge = ExtractionChallenge(
        task=guest.task,
        queries=int(meta["queries"]),
        queries_in_all=int(meta["queries_in_all"]),
        defense=_view(guest, meta, examples=1, shape=guest.task.shape),
        output=meta["output"],
        seed=meta["seed"],
        training=_training(arrays),
        architecture=_revealed(guest.base / "architecture"),
        related=_related(guest.base / "related"),
        family=meta["family"],
        structure=meta["structure"],
    )
    surrogate = guest.player.steal(challenge)
    if not isinstance(surrogate, Surrogate):
        raise WrongAnswer("steal must return an arena.players.Surrogate.", Failure.SURROGATE)
    return (np.frombuffer(_zipped(surrogate), np.uint8),)


def _certify(guest: Guest, frame: Frame) -> tuple[Array, ...]:
    x, seeds = frame.arrays
    claim = guest.player.certify(
        x, str(frame.meta["norm"]), effort=int(frame.meta["effort"]), seeds=seeds
    )
    if not isinstance(claim, tuple) or len(claim) != 2:
        raise WrongAnswer("certify must return (labels, radii).")
    return (
        shaped(claim[0], np.int64, (len(x),), "certify: labels"),
        shaped(claim[1], np.float32, (len(x),), "certify: radii"),
    )


def _zipped(surrogate: Surrogate) -> bytes:
    """The copy's files as the zip that the referee reads, under the caps of any upload."""
    buffer = io.BytesIO()
    try:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in sorted(surrogate.files.items()):
                archive.writestr(zipfile.ZipInfo(name), bytes(content))
    except (AttributeError, TypeError, ValueError) as error:
        message = f"Surrogate.files must map relative paths to bytes: {error}"
        raise WrongAnswer(message, Failure.SURROGATE) from error
    if buffer.tell() > MAX_SURROGATE:
        raise WrongAnswer(
            f"The surrogate's zip has {buffer.tell():,} bytes; at most {MAX_SURROGATE:,}.",
            Failure.SURROGATE,
        )
    return buffer.getvalue()


def shaped(value: Any, dtype: Any, shape: tuple[int, ...], what: str) -> Array:
    """``value`` as a contiguous array of this dtype and shape, or :class:`WrongAnswer`."""
    if type(value) is np.ndarray and value.dtype == dtype:
        array: Array = np.ascontiguousarray(value)
    else:
        array = _converted(value, dtype, what)
    if array.shape != shape:
        raise WrongAnswer(f"{what} returned shape {array.shape} where {shape} is due.")
    return array


def _converted(value: Any, dtype: Any, what: str) -> Array:
    try:
        with np.errstate(all="ignore"):  # an overflow becomes inf, and is told as not finite
            return np.ascontiguousarray(value, dtype)
    except (TypeError, ValueError) as error:
        raise WrongAnswer(f"{what} returned no array of numbers: {error}") from error


def _view(
    guest: Guest,
    meta: dict[str, Any],
    *,
    examples: int,
    shape: tuple[int, ...],
    candidate: tuple[int, ...] | None = None,
) -> RefereeView:
    """``candidate``: shape of what is handed in, where that is no input of the defense."""
    return RefereeView(
        guest.wire,
        examples=examples,
        shape=shape,
        candidate=shape if candidate is None else candidate,
        columns=meta["columns"],
    )


def _named(frame: Frame) -> dict[str, Array]:
    return dict(zip(frame.meta["arrays"], frame.arrays, strict=True))


def _training(arrays: dict[str, Array]) -> tuple[Images, Labels] | None:
    return (arrays["training_x"], arrays["training_y"]) if "training_x" in arrays else None


def _revealed(directory: Path) -> Path | None:
    """What was not sent is not there."""
    return directory if directory.is_dir() else None


def _related(directory: Path) -> tuple[Path, ...]:
    if not directory.is_dir():
        return ()
    return tuple(sorted(directory.iterdir(), key=lambda path: int(path.name)))
