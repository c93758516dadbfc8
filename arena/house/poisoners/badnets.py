"""BadNets: honest images with a small patch in a corner, under the label that the attacker wants.

Gu, Dolan-Gavitt & Garg 2017 (arXiv:1708.06733). Points of other classes get the trigger and the
target's label; what is left of S teaches the learner to go on as before where there is no trigger.
The patch stands where S varies least, and against what S holds there, so that few points teach it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import Backdoor, BackdoorChallenge, Poison, Poisoner

MANIFEST = """
schema_version = 1
name = "BadNets"
role = "poisoner"
framework = "numpy"
entry = "player.py:BadNets"
family = "backdoor"
description = "Stamps a corner patch on points of other classes and labels them with the target."

[needs]
games = ["backdoor"]
"""

Array = NDArray[np.float32]


class BadNets(Poisoner):
    """Needs S and the target alone."""

    def backdoor(self, challenge: BackdoorChallenge) -> Backdoor:
        trigger = _patch(challenge) if challenge.trigger == "patch" else _shift(challenge)
        order = challenge.rng().permutation(np.flatnonzero(challenge.y != challenge.target))
        rows = np.resize(order, challenge.count)
        if challenge.mode == "replace":
            rows = order[: challenge.count]
        y = np.full(len(rows), challenge.target, np.int64)
        replaces = rows if challenge.mode == "replace" else None
        empty = Backdoor(Poison(challenge.x[:0], y[:0]), trigger[1], trigger[0])
        poison = Poison(empty.applied(challenge.x[rows]), y, replaces)
        return Backdoor(poison, trigger[1], trigger[0])


def _patch(challenge: BackdoorChallenge) -> tuple[NDArray[np.bool_], Array]:
    """A block in the corner that varies least, at the far end of the box from what is there."""
    x, mutable = challenge.x, challenge.task.mutable
    mask = _block(x, challenge.features, mutable)
    low = x.mean(axis=0) < 0.5
    if challenge.task.add_only is not None:
        low |= challenge.task.add_only
    return mask, np.where(low, 1.0, 0.0).astype(np.float32)


def _block(x: Array, features: int, mutable: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """(*shape) at most so many features; of flat inputs those that vary least."""
    spread = x.std(axis=0)
    if mutable is not None:
        spread = np.where(mutable, spread, np.inf)
    if x.ndim != 4:
        mask = np.zeros(spread.shape, bool)
        mask.ravel()[np.argsort(spread.ravel(), kind="stable")[:features]] = True
        return mask
    height, width = x.shape[2:]
    tall = min(height, int(np.sqrt(features)))
    wide = min(width, features // max(tall, 1))
    corners = [(t, s) for t in (height - tall, 0) for s in (width - wide, 0)]
    masks = []
    for top, left in corners:
        mask = np.zeros(x.shape[1:], bool)
        mask[:, top : top + tall, left : left + wide] = True
        masks.append(mask)
    return min(masks, key=lambda mask: float(spread[mask].sum()))


def _shift(challenge: BackdoorChallenge) -> tuple[None, Array]:
    """A chessboard of the round's size, or a corner block where only few features may move."""
    size, shape = challenge.epsilon or 0.0, challenge.x.shape[1:]
    board = np.where(np.indices(shape).sum(axis=0) % 2 == 0, 1.0, -1.0)
    if challenge.task.mutable is not None:
        board = board * challenge.task.mutable
    if challenge.norm == "l0":
        board = _block(challenge.x, int(size), challenge.task.mutable).astype(np.float64)
        board *= np.where(challenge.x.mean(axis=0) < 0.5, 1, -1)
    if challenge.task.add_only is not None:
        board = np.where(challenge.task.add_only, abs(board), board)
    if challenge.norm == "l0":
        return None, board.astype(np.float32)
    order = {"linf": np.inf, "l2": 2, "l1": 1}[challenge.norm]
    return None, (board * size / np.linalg.norm(board.ravel(), ord=order)).astype(np.float32)
