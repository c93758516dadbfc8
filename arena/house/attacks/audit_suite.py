"""The audit: four attacks after one another, each on what the others left standing.

AutoAttack's standard protocol (Croce & Hein 2020, arXiv:2003.01690, section 5):

    APGD on the cross-entropy                       100 steps, one start
    APGD on the targeted ratio of logits            100 steps, one start for each of 9 targets
    FAB, targeted (Croce & Hein 2020, 1907.02044)   100 steps, one start for each of 9 targets
    Square                                          5,000 queries

Targets are the likeliest wrong classes. Nothing is computed for an example that has fallen, within
a run too, and a larger ε begins with what fell at a smaller one.

What the verdict does not hang on is left out: a run whose slope is zero, which cannot move; a run
whose last gains, kept up, would not reach a mistake (``hopeless`` in Square).
What that saves pays for a second start of the targeted APGD where a ratio came close to zero. Where
time runs short, what is left of the protocol is left out, and what was found is handed in.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arena.house.attacks.apgd import apgd
from arena.house.attacks.audit import Audit, Bools, Images, Labels, Scores
from arena.house.attacks.ball import Ball, Points
from arena.house.attacks.fab import BACK, sizes, stepped
from arena.house.attacks.square import Square, doubled, hopeless
from arena.players import EvasionAttack, EvasionChallenge, QueryBudgetExceeded

MANIFEST = """
schema_version = 1
name = "Audit suite"
role = "attack"
entry = "player.py:AuditSuite"
family = "iterative gradient"
description = "APGD on two losses, FAB and Square after one another: AutoAttack's protocol."

[needs]
gradients = true
norms = ["linf", "l2"]
games = ["evasion"]
goals = ["untargeted"]
"""

SHARE = 0.85
"""Of the time that the round grants; each level may use half of what is left."""
USUAL_SECONDS = 120.0


class AuditSuite(EvasionAttack):
    """``steps`` a run, ``targets`` classes, ``queries`` of Square; ``parts`` that are played.

    ``slack``: runs that are hopeless by it are given up; infinite plays all to the end.
    """

    steps = 100
    targets = 9
    queries = 5000
    slack = 1.0
    parts = ("apgd-ce", "apgd-t", "fab-t", "square")

    _ends = 0.0
    _fallen: tuple[Images, Images, Bools] | None = None
    """The examples of the level before, their candidates, and which of them fell."""

    def attack(self, challenge: EvasionChallenge) -> Images:
        for option in ("steps", "targets", "queries", "slack", "parts"):
            setattr(self, option, self.options.get(option, getattr(self, option)))
        try:
            audit = Audit.of(challenge, until=self._until(), before=self._fallen, slack=self.slack)
        except QueryBudgetExceeded:  # the defense has no time at all: what fell before stands
            return self._before(challenge)
        try:
            for part in self.parts:
                for run in self._runs(part, audit):
                    if not len(audit.open) or audit.late:
                        break
                    run()
                    challenge.submit(audit.best)
        except QueryBudgetExceeded:  # the defense's time is up: what was found stands
            pass
        self._fallen = challenge.x.copy(), audit.best.copy(), audit.done.copy()
        return audit.best

    def _before(self, challenge: EvasionChallenge) -> Images:
        """What fell at a smaller ε, if these are its examples."""
        best = challenge.x.copy()
        if self._fallen is not None and np.array_equal(self._fallen[0], best):
            _, candidates, fell = self._fallen
            best[fell] = candidates[fell]
        return best

    def _runs(self, part: str, audit: Audit) -> Iterator[Callable[[], None]]:
        targets = range(min(self.targets, audit.classes - 1))
        if part == "apgd-ce":
            yield lambda: apgd(audit, audit.cross_entropy, self.steps, audit.open)
        elif part == "apgd-t":
            for rows in (lambda: audit.open, lambda: audit.near):
                yield from (
                    lambda k=k, rows=rows: apgd(audit, audit.ratio(k), self.steps, rows())
                    for k in targets
                )
        elif part == "fab-t":
            yield from (lambda k=k: fab(audit, k, self.steps) for k in targets)
        else:
            yield lambda: square(audit, self.queries)

    def _until(self) -> float:
        """When this level has to hand in."""
        now = time.monotonic()
        if not self._ends:
            granted = float(resource.getrlimit(resource.RLIMIT_CPU)[0])
            usual = granted if granted != resource.RLIM_INFINITY else USUAL_SECONDS
            self._ends = now + SHARE * usual
        return now + max(0.0, self._ends - now) / 2


# ── FAB ────────────────────────────────────────────────────────────────────────────────────────


def fab(audit: Audit, rank: int, steps: int) -> None:
    """FAB towards each example's ``rank``-th likeliest wrong class (algorithm 1 of its paper).

    It looks for the nearest mistake; what comes to lie within ε has fallen.
    """
    rows, norm = audit.open, audit.challenge.norm
    ball, point = audit.ball.only(rows), audit.ball.x[rows]
    checks, far = doubled(steps), sizes(np.ones_like(point), norm)
    nearest, before = far, np.full(len(rows), np.inf)
    for step in range(steps):
        if not len(rows) or audit.late:
            return
        line, aim = np.arange(len(rows)), audit.rivals[rows, rank]
        weights = np.zeros((len(rows), audit.first.shape[1]), np.float32)
        weights[line, aim], weights[line, audit.labels[rows]] = 1.0, -1.0
        logits, normal = audit.slopes(point, weights)
        gap = logits[line, aim] - logits[line, audit.labels[rows]]
        normal = normal * (ball.low < ball.high)
        keep = (normal != 0).any(1)
        fallen, size = _settled(audit, rows, ball, point, gap)
        nearest = np.minimum(nearest, size)
        keep &= ~fallen
        if step in checks:
            far = nearest - audit.epsilon
            keep &= ~hopeless(far, before, left=checks[step], slack=audit.slack)
            before = far
        point = stepped(ball.x, point, gap, normal, norm)
        if audit.challenge.task.mutable is not None or audit.challenge.task.add_only is not None:
            point = ball.x + audit.challenge.task.allowed(point - ball.x)
        if not keep.all():
            _look_again(audit, rows, ball, point, ~keep & ~fallen)
            rows, ball, point = rows[keep], ball.only(keep), point[keep]
            nearest, before = nearest[keep], before[keep]
    _look_again(audit, rows, ball, point, np.ones(len(rows), bool))


def _settled(
    audit: Audit, rows: Labels, ball: Ball, point: Points, gap: Points
) -> tuple[Bools, Points]:
    """Which points fell, and how far those that are mistakes are from x; they step back towards it.

    Those that are near enough are judged within the ball.
    """
    wrong, fallen = gap > 0, np.zeros(len(rows), bool)
    size = np.where(wrong, sizes(point - ball.x, ball.norm), np.inf)
    near = size <= 1.02 * audit.epsilon
    if near.any():
        within = ball.only(near).project(point[near])
        fallen[near] = audit.keep(rows[near], within, audit.logits(within))
    point[wrong] = (1 - BACK) * ball.x[wrong] + BACK * point[wrong]
    return fallen, size


def _look_again(audit: Audit, rows: Labels, ball: Ball, point: Points, left: Bools) -> None:
    """Where a run has ended, within the ball: what the defense answers there."""
    if left.any():
        within = ball.only(left).project(point[left])
        audit.keep(rows[left], within, audit.logits(within))


# ── Square ─────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Free:
    """What Square sees of the defense: logits of the white-box handle, as many as it asks."""

    audit: Audit

    @property
    def probes_left(self) -> float:
        return np.inf

    def probes_left_for(self, examples: Labels) -> NDArray[np.float64]:
        return np.full(len(examples), np.inf)

    def ask(self, x: Images, _examples: Labels | None = None) -> Scores:
        if self.audit.late:
            raise QueryBudgetExceeded("The audit's time is up.")
        return self.audit.challenge.defense.logits(x)


def square(audit: Audit, queries: int) -> None:
    """Square on what stands, by the same handle."""
    rows, options = audit.open, {"queries": queries, "slack": audit.slack}
    part = replace(
        audit.challenge,
        x=audit.challenge.x[rows],
        y=audit.labels[rows],
        defense=_Free(audit),  # type: ignore[arg-type]
        output="logits",
        submit_candidates=lambda _x, _rows: None,
    )
    images = Square(audit.challenge.package or Path(), options).attack(part)
    points = images.reshape(len(rows), -1)
    try:
        audit.keep(rows, points, audit.logits(points))
    except QueryBudgetExceeded:  # Square has asked about each of them
        audit.best[rows] = images
        raise
