"""Whether the gradients that a defense serves lead uphill: a symptom where they do not.

Wrong gradients are no fault: a defense is judged by what it answers. But an attack that follows
them fails, and the defense seems to hold. So some that an attack of the house was served are tried
by answers alone: what the attack asked to grow should be larger at x + s than at x - s, where s
goes along the gradient for a quarter of the round's smallest ε. Each of the two is asked of a
process that meets no other input of that example. Gradients of exactly zero are counted elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import MatchUsedUp
from arena.games.base import Table
from arena.games.heard import nearest_examples
from arena.games.judgement import Inputs, Judge, Session
from arena.games.norms import rows_of
from arena.metrics import Metrics
from arena.oracle import Slope, Slopes
from arena.rounds import GameName, Norm

GAMES: Final = (GameName.EVASION, GameName.MINIMUM_NORM, GameName.CERTIFICATION)
"""Whose matches are evidence of masked gradients, and may give gradients."""
MOST: Final = 64
PART: Final = 0.25
"""Of the smallest ε of the round."""
LEAST: Final = 1e-4
"""What is asked to grow must differ by more: the rest is rounding."""
PURPOSE: Final = "uphill"


def slopes_of(table: Table) -> Slopes | None:
    """Where gradients are kept: in matches of the house's attacks, in norms that have a step."""
    followed = table.house_attack and table.round.threat_model.gives_gradients
    tried = followed and table.round.game in GAMES and step_of(table)
    return Slopes(table.match_stream(PURPOSE)) if tried else None


def step_of(table: Table) -> float | None:
    """How far x + s lies from x, in the round's norm."""
    norm = table.round.norm
    if norm not in (Norm.LINF, Norm.L2, Norm.L1):
        return None
    sizes = table.round.epsilons or table.task.norms.get(norm.value, ())
    return PART * min(sizes) if sizes else None


def uphill(table: Table, slopes: Slopes | None) -> Metrics:
    """``slopes``: how many gradients were tried; ``slopes_uphill``: how many of them led uphill.
    Nothing where none was kept."""
    kept = _one_an_example(table, [] if slopes is None else slopes.drawn())
    step = step_of(table)
    if not kept or step is None:
        return {}
    try:
        before, after = _answered(table, kept, step)
    except MatchUsedUp:  # all that the match is about has been judged by now
        return {}
    grown = after - before
    told = np.abs(grown) > LEAST  # NaN, where there is no answer, is not
    return {"slopes": int(told.sum()), "slopes_uphill": int((grown[told] > 0).sum())}


def _one_an_example(table: Table, slopes: Sequence[Slope]) -> list[tuple[int, Slope]]:
    """Those whose growth answers tell, with the example that each is about."""
    slopes = [slope for slope in slopes if _tellable(slope)]
    if not slopes:
        return []
    nearest = nearest_examples(table, np.stack([slope.x for slope in slopes]))
    found: dict[int, Slope] = {}
    for slope, near in zip(slopes, nearest.tolist(), strict=True):
        found.setdefault(near if slope.example is None else slope.example, slope)
    return list(found.items())[:MOST]


def _tellable(slope: Slope) -> bool:
    """Probabilities tell a sum of logits only where the weights add up to nothing."""
    if slope.weights.ndim == 0:
        return True
    total = float(np.abs(slope.weights).sum())
    return total > 0 and abs(float(slope.weights.sum())) <= 1e-5 * total


def _answered(
    table: Table, kept: Sequence[tuple[int, Slope]], step: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(m,) what was asked to grow, at x - s and at x + s; NaN without an answer."""
    x = np.stack([slope.x for _, slope in kept]).astype(np.float64)
    move = step * _direction(np.stack([slope.slope for _, slope in kept]), table.round.norm)
    sides = np.stack([np.clip(x + way * move, 0.0, 1.0) for way in (-1, 1)]).astype(np.float32)
    example = np.array([example for example, _ in kept], np.int64)
    seeds = np.array([[slope.seed] for _, slope in kept], np.uint64)
    first = table.match_stream(PURPOSE, "sides").randint(2, size=len(kept))
    rows, told = np.arange(len(kept)), np.full((2, len(kept)), np.nan)
    for process in (0, 1):
        side = (first + process) % 2
        one = Judge(
            table,
            purpose=f"{PURPOSE} {process}",
            open_defense=table.seats.open_defense,
            repeats=1,
        )
        session = one.ask(Inputs(sides[side, rows], example), seeds=seeds, watched=rows)
        told[side, rows] = [_height(slope, session, row) for row, (_, slope) in enumerate(kept)]
    return told[0], told[1]


def _direction(slopes: NDArray[np.float32], norm: Norm) -> NDArray[np.float64]:
    """(n, *shape) of size 1 in the round's norm: its sign in L∞, and else the gradient itself."""
    slopes = slopes.astype(np.float64)
    if norm is Norm.LINF:
        return np.sign(slopes)
    size = np.linalg.norm(rows_of(slopes), ord=2 if norm is Norm.L2 else 1, axis=1)
    return np.asarray(slopes / size.reshape(-1, *[1] * (slopes.ndim - 1)))


def _height(slope: Slope, session: Session, row: int) -> float:
    """The odds against a label, which grow as its cross-entropy does, or the sum of logits."""
    answer = session.counted(row)
    if answer is None:
        return np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        if slope.weights.ndim == 0:
            right = answer.probabilities[slope.weights]
            others = np.delete(answer.probabilities, slope.weights).sum()
            height = float(np.log(others) - np.log(right))
        else:
            asked = slope.weights != 0
            height = float((slope.weights * np.log(answer.probabilities))[asked].sum())
    return height if np.isfinite(height) else np.nan
