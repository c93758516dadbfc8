"""The control of a round: random noise of the same size, which any attack must beat.

It tells how often a defense abstains on harmless inputs near the clean ones, and what a transferred
perturbation does beyond noise. It is judged as candidates are, among clean examples and beside no
twin: a defense that could tell the control from the judgement would abstain in the latter alone.
It hangs on the round and the defense alone: so does the order in which it is asked, and what was
answered once can be kept for all matches of the defense (:mod:`arena.controls`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import numpy as np

from arena.errors import PlayerError
from arena.games.admission import Budget, admit, admit_moves, random_moves
from arena.games.base import Table
from arena.games.draws import derive
from arena.games.judgement import Ballots, judge, repeats_of
from arena.games.moves import budget_of, draws
from arena.games.norms import random_perturbation
from arena.manifest import Manifest
from arena.players import Images
from arena.rounds import MOVES, GameName, Norm, RoundSpec

NOISE: Final = "noise"
KEPT_IN: Final = frozenset((GameName.EVASION, GameName.TRANSFER, GameName.GOOD_WORDS))
"""Games over the round's epsilons, whose controls can be kept."""


def judge_noise(
    table: Table, epsilons: Sequence[float | None]
) -> tuple[tuple[Ballots, ...], tuple[PlayerError, ...]]:
    """Ballots (n) for noise of each level's size on every example, and the defense's faults."""
    n = len(table.examples)
    said, faults = noise_answers(table, epsilons)
    return tuple(said.take(np.arange(at, at + n)) for at in range(0, len(said), n)), faults


def noise_answers(
    table: Table, epsilons: Sequence[float | None]
) -> tuple[Ballots, tuple[PlayerError, ...]]:
    """The same in one piece (levels * n), as it is kept."""
    n = len(table.examples)
    kept = kept_answers(table, NOISE, shape=(len(epsilons) * n, repeats_of(table)))
    if kept is not None:
        return kept, ()

    def draw(*purpose: str | int) -> np.random.RandomState:
        return table.round_stream(NOISE, table.defense.sha256, *purpose)

    sizes = [usual_epsilon(table) if e is None else e for e in epsilons]
    judged = judge(table, [noisy(table, size) for size in sizes], np.arange(n), draw=draw)
    return Ballots.joined(judged.attacked), judged.faults


def asks_noise(round_: RoundSpec, defense: Manifest) -> bool:
    """Where it is a figure of the game, and of a defense that may abstain too often."""
    return round_.game in (GameName.TRANSFER, GameName.GOOD_WORDS) or defense.abstains


def has_controls(round_: RoundSpec, defense: Manifest) -> bool:
    """Whether a match of this round asks anything that can be kept for the defense's others."""
    if round_.game not in KEPT_IN:
        return False
    return asks_noise(round_, defense) or round_.norm is Norm.CORRUPTION


def kept_answers(table: Table, purpose: str, *, shape: tuple[int, int]) -> Ballots | None:
    """What was answered before to just this."""
    if table.controls is None or table.round.game not in KEPT_IN:
        return None
    said = table.controls.answers(purpose, name=controls_name(table), shape=shape)
    return None if said is None else Ballots(*said)


def controls_name(table: Table) -> str:
    """Of what is asked at this table, without telling what seeds hang on."""
    return derive(
        table.secret,
        "controls",
        table.defense.sha256,
        json.dumps(table.round.to_json(), sort_keys=True),
        table.task.digest,
        table.examples.index.tobytes(),
    ).hex()


def usual_epsilon(table: Table) -> float:
    """The middle of the task's epsilons for this norm: the size of a minimum-norm round."""
    usual = table.task.norms.get(table.round.norm.value, (0.1,))
    return float(usual[len(usual) // 2])


def noisy(table: Table, epsilon: float) -> Images:
    """The examples plus random noise of that size, within what a candidate may be.

    In rounds of moves a random one: any turn and shift within the bounds, or any corruption.
    """
    clean, task, norm = table.examples.x, table.task, table.round.norm
    if norm in MOVES:
        budget = budget_of(table, epsilon)
        moves = random_moves(len(clean), budget, table.round_stream("noise", str(epsilon)))
        return admit_moves(moves, clean, budget, draws(table, np.arange(len(clean)), epsilon)).x
    delta = random_perturbation(
        clean.shape,
        norm=norm,
        epsilon=epsilon,
        stream=table.round_stream("noise", str(epsilon)),
    )
    if task.grid is not None and norm is Norm.L0:
        delta = np.sign(delta)  # to a wall: a step within the box would be truncated
    if task.mutable is not None:
        delta = delta * task.mutable
    if task.add_only is not None:
        delta = np.where(task.add_only, abs(delta), delta)
    moved = np.clip(clean + delta, 0.0, 1.0).astype(np.float32)
    return admit(moved, clean, Budget(norm, None, table.task.grid)).x
