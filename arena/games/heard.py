"""What was answered once must be what the defense answers anyone: a sample is asked afresh.

The process that the attack asks knows, by the many inputs around the same few, that it is attacked.
A defense that remembers could mislead it there and be honest in the judgement. So the referee keeps
a few of the answers, drawn at random from all that were given, and puts the same inputs with the
same seeds to a process that has met no attack. It cannot tell that it is not judging: every input
lies within the round's budget of another example, and clean examples are asked in between. What
lies farther off, as no judge's input does, is put to another process, so that it gives the first
one nothing away. What was said of replays, and what a thief's process said, is held to the
judgement alike (:func:`differing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arena.answers import MOST_ROUNDED, NO_ANSWER
from arena.errors import FaultCode, PlayerError, Side
from arena.games.admission import Budget, within
from arena.games.base import Table
from arena.games.judgement import Ballots, Inputs, Judge, Session
from arena.games.owners import Nearest
from arena.oracle import Heard
from arena.rounds import MOVES
from arena.seats import DefenseSeat

MOST: Final = 48
ONE_IN: Final = 12
"""Of so many inputs one may differ, as in the judgement."""


@dataclass(frozen=True, eq=False)
class Doubt:
    """How many of ``asked`` inputs were answered otherwise than before: to the attack, to a thief
    who copied them, or where the replays of a mistake were held against its judgement."""

    asked: int = 0
    differing: int = 0
    faults: tuple[PlayerError, ...] = ()

    @property
    def distrusted(self) -> PlayerError | None:
        """The fault of a defense that tells one process what it tells no other."""
        if self.differing <= max(1, self.asked // ONE_IN):
            return None
        return misled(self.differing, self.asked)


def misled(differing: int, asked: int) -> PlayerError:
    """The fault of a defense, or a learner, that said something else to whoever asked before: an
    attack, a thief, or the judge of what was played again."""
    return PlayerError(
        Side.DEFENSE,
        FaultCode.NOT_DETERMINISTIC,
        f"{differing} of {asked} inputs were answered otherwise in a fresh process, with the same "
        "seeds, than before; answers must hang on nothing but input and seed.",
    )


def asked_again(table: Table, heard: Sequence[Heard], budget: Budget) -> tuple[Doubt, ...]:
    """Put a sample of what was ``heard`` to fresh processes, as a judgement would: what lies within
    the budget to one, and the rest to another."""
    placed = _placed(table, heard, budget)
    near, far = ([p for p in placed if p.near is where] for where in (True, False))
    groups = (("heard", _one_each(near)), ("heard elsewhere", _one_each(far)))
    return tuple(_put_afresh(table, purpose, told) for purpose, told in groups if told)


def _put_afresh(table: Table, purpose: str, told: Sequence[_Placed]) -> Doubt:
    owners = np.array([placed.owner for placed in told], np.int64)
    apart = [*owners, *(placed.nearest for placed in told)]
    others = np.setdiff1d(np.arange(len(table.examples)), apart)
    sampled = [placed.heard for placed in told]
    inputs = Inputs(
        np.concatenate([np.stack([heard.x for heard in sampled]), table.examples.x[others]]),
        np.concatenate([owners, others]),
    )
    one = Judge(table, purpose=purpose, open_defense=table.seats.open_defense)
    session, doubt = compared(one, inputs, sampled)
    return replace(doubt, faults=tuple(session.faults))


def compared(
    one: Judge,
    inputs: Inputs,
    sampled: Sequence[Heard],
    opened: DefenseSeat | PlayerError | None = None,
) -> tuple[Session, Doubt]:
    """Ask about ``inputs``, the first of which are those of ``sampled``, and hold them together."""
    seeds = one.seeds(inputs)
    seeds[: len(sampled), 0] = [heard.seed for heard in sampled]
    first = one.repeats * np.arange(len(sampled))
    session = one.ask(inputs, opened, seeds=seeds, watched=first)
    differing = sum(
        counted.differs(heard.answer)
        for pair, heard in zip(first.tolist(), sampled, strict=True)
        if (counted := session.counted(pair)) is not None
    )
    return session, Doubt(len(sampled), differing)


def differing(said: Ballots, judged: Ballots) -> Doubt:
    """Hold ``said`` (m, j) against the first j of k answers (m, k) to the same inputs and seeds,
    where both are answers. Ballots do not tell how large the scores were, so a confidence may
    differ by the most that rounding ever makes of it; labels are what such rounds count.
    """
    before, _ = judged.split(said.labels.shape[1])
    both = (said.labels != NO_ANSWER) & (before.labels != NO_ANSWER)
    apart = np.abs(said.confidence - before.confidence) > MOST_ROUNDED
    otherwise = both & ((said.labels != before.labels) | apart)
    return Doubt(int(both.sum()), int(otherwise.sum()))


@dataclass(frozen=True, eq=False)
class _Placed:
    """``owner``: the judged example in whose place it is asked; ``nearest``: the one whose picture
    lies nearest, whatever was said; ``near``: whether it is one that could be handed in."""

    heard: Heard
    owner: int
    nearest: int
    near: bool


def _placed(table: Table, heard: Sequence[Heard], budget: Budget) -> list[_Placed]:
    """As the attack says, and else by what lies nearest: a turned picture may lie nearer to another
    example than to its own, and so may a mail with words that its class has not."""
    if not heard:
        return []
    x = np.stack([each.x for each in heard])
    nearest = nearest_examples(table, x)
    said = np.array([-1 if each.example is None else each.example for each in heard])
    owners = np.where(said < 0, nearest, said)
    if budget.norm in MOVES:
        near = said >= 0
    else:
        near = within(x, table.examples.x[owners], budget)
        elsewhere = ~near & within(x, table.examples.x[nearest], budget)
        owners, near = np.where(elsewhere, nearest, owners), near | elsewhere
    rows = zip(heard, owners.tolist(), nearest.tolist(), near.tolist(), strict=True)
    return [_Placed(*row) for row in rows]


def _one_each(placed: Sequence[_Placed]) -> list[_Placed]:
    """The first of each owner, no more than :data:`MOST`."""
    found: dict[int, _Placed] = {}
    for each in placed:
        found.setdefault(each.owner, each)
    return list(found.values())[:MOST]


def nearest_examples(table: Table, x: NDArray[np.float32]) -> NDArray[np.int64]:
    """(m,) the judged example that lies nearest to each of ``x`` (m, *shape)."""
    return Nearest(table.examples.x).measured(x)


def stand_ins(
    table: Table, heard: Sequence[Heard], *, most: int = MOST
) -> tuple[NDArray[np.int64], list[Heard]]:
    """The (k,) judged examples in whose place some of what was ``heard``, wherever it lies, can be
    asked, and that: one an example, at most ``most``, and half of the examples."""
    if not heard:
        return np.zeros(0, np.int64), []
    told: dict[int, Heard] = {}
    nearest = nearest_examples(table, np.stack([each.x for each in heard]))
    for owner, each in zip(nearest.tolist(), heard, strict=True):
        told.setdefault(owner, each)
    found = list(told.items())[: min(most, MOST, len(table.examples) // 2)]
    return np.array([row for row, _ in found], np.int64), [each for _, each in found]
