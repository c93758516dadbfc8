"""What one attack broke against what gradients broke, paired where both met the same images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from arena.evidence.trials import Trial
from arena.ranking.nesting import broken_within
from arena.ranking.statistics import holm, sign_test
from arena.rounds import Goal, RoundSpec, SplitName

ALPHA: Final = 0.01
"""Level of every test, after Holm's adjustment over the comparisons made for one symptom."""
LEAST_DISCORDANT: Final = 10
"""Fewer examples on which two attacks differ prove nothing, whatever the test says."""


@dataclass(frozen=True)
class Seen:
    """Examples that were answered right (ascending indices), and which of them fell."""

    examples: NDArray[np.int64]
    broken: NDArray[np.bool_]


def seen(trials: Sequence[Trial], epsilon: float) -> Seen:
    """What all these attacks together broke within ``epsilon``."""
    right = [trial.kills.examples[trial.kills.clean_right] for trial in trials]
    examples = reduce(np.intersect1d, right[1:], np.unique(right[0]))
    broken = np.zeros(len(examples), bool)
    for trial in trials:
        hit = broken_within(trial.kills, epsilon)
        broken |= np.isin(examples, trial.kills.examples[hit])
    return Seen(examples, broken)


@dataclass(frozen=True)
class Reference:
    """The gradient attacks of one white-box round; an iterated one of the house is among them."""

    round: str
    spec: RoundSpec
    trials: tuple[Trial, ...]
    _fallen: dict[float, Seen] = field(default_factory=dict, repr=False, compare=False)

    def fallen(self, epsilon: float) -> Seen:
        """What all of them together broke; asked for by every attack that is held against them."""
        if epsilon not in self._fallen:
            self._fallen[epsilon] = seen(self.trials, epsilon)
        return self._fallen[epsilon]

    def meets(self, trial: Trial, epsilon: float) -> bool:
        same = _contest(self.spec) == _contest(trial.spec)
        return same and all(mine.played(epsilon) for mine in self.trials)


def _contest(spec: RoundSpec) -> tuple[object, ...]:
    targets = spec.target_rule if spec.goal is Goal.TARGETED else None
    return (spec.task, spec.split, spec.norm, spec.goal, targets)


def references(trials: Iterable[Trial], *, iterated: bool = False) -> list[Reference]:
    """By round. ``iterated``: only the house's iterated attacks, to hold a single step against."""
    rounds: defaultdict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.by_iterated_gradients or (trial.by_gradients and not iterated):
            rounds[trial.round].append(trial)
    return [
        Reference(name, members[0].spec, tuple(members))
        for name, members in rounds.items()
        if any(member.by_iterated_gradients for member in members)
    ]


@dataclass(frozen=True)
class Comparison:
    """``wins``: what the attack alone broke; ``losses``: what gradients alone broke.

    Where the two sides played on different images (rounds draw their own), they cannot be paired:
    then these are all that each broke, of ``examples`` and ``others``.
    """

    trial: Trial
    epsilon: float
    paired: bool
    wins: int
    losses: int
    examples: int
    others: int
    p: float

    @property
    def tells(self) -> bool:
        """Whether enough examples speak for the attack; the test is another matter."""
        if self.paired:
            return self.wins > self.losses and self.wins + self.losses >= LEAST_DISCORDANT
        lead = self.wins * self.others - self.losses * self.examples
        return lead >= LEAST_DISCORDANT * min(self.examples, self.others)

    @property
    def figures(self) -> dict[str, Any]:
        spec = self.trial.spec
        return {
            "attack": self.trial.attacker.id,
            "round": self.trial.round,
            "norm": spec.norm.value,
            "epsilon": self.epsilon,
            "paired": self.paired,
            "wins": self.wins,
            "losses": self.losses,
            "examples": self.examples,
            "others": self.others,
        }

    @property
    def numbers(self) -> str:
        if self.paired:
            return (
                f"{self.wins} examples fell to it alone and {self.losses} to the other side alone, "
                f"of {self.examples}"
            )
        return (
            f"it broke {self.wins} of {self.examples} examples, the other side {self.losses} of "
            f"{self.others} of its own"
        )


def compare(trial: Trial, reference: Reference, epsilon: float) -> Comparison:
    """The exact sign test on shared examples; Fisher's exact test where hardly any are shared."""
    mine, theirs = seen([trial], epsilon), reference.fallen(epsilon)
    if _same_inputs(trial, reference):
        shared, i, j = np.intersect1d(mine.examples, theirs.examples, return_indices=True)
        if 2 * len(shared) >= len(mine.examples):
            a, b = mine.broken[i], theirs.broken[j]
            wins, losses = int((a & ~b).sum()), int((b & ~a).sum())
            p = float(sign_test(np.array(wins), np.array(losses)))
            return Comparison(trial, epsilon, True, wins, losses, len(shared), len(shared), p)
    wins, losses = int(mine.broken.sum()), int(theirs.broken.sum())
    n, m = len(mine.examples), len(theirs.examples)
    return Comparison(trial, epsilon, False, wins, losses, n, m, fisher(wins, n, losses, m))


def _same_inputs(trial: Trial, reference: Reference) -> bool:
    """Whether an index names the same image and target; rounds derive and draw their own."""
    if trial.round == reference.round:
        return True
    spec = trial.spec
    return spec.split is SplitName.PRACTICE and spec.goal is Goal.UNTARGETED


def fisher(hits: int, trials: int, other_hits: int, other_trials: int) -> float:
    """Twice the one-sided p of Fisher's exact test that the first share is the larger one."""
    total, marked = trials + other_trials, hits + other_hits
    k = np.arange(hits, min(trials, marked) + 1)
    if not len(k) or not total:
        return 1.0
    log_p = (
        _log_choose(marked, k)
        + _log_choose(total - marked, trials - k)
        - _log_choose(total, np.array(trials))
    )
    return float(min(1.0, 2 * np.exp(log_p).sum()))


def _log_choose(n: int, k: NDArray[Any]) -> NDArray[np.float64]:
    inside = (k >= 0) & (k <= n)
    k = np.where(inside, k, 0)
    value = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.where(inside, value, -np.inf)


def comparisons(trials: Iterable[Trial], against: Sequence[Reference]) -> Iterator[Comparison]:
    """At each epsilon the least telling comparison: every reference has to be beaten."""
    for trial in trials:
        levels = {e for r in against for e in (*trial.spec.epsilons, *r.spec.epsilons)}
        for epsilon in sorted(levels):
            met = [r for r in against if r.meets(trial, epsilon) and trial.played(epsilon)]
            made = [compare(trial, reference, epsilon) for reference in met]
            if made:
                yield max(made, key=lambda c: (not c.tells, c.p))


def strongest(made: Iterable[Comparison]) -> tuple[Comparison, float] | None:
    """The clearest of those that are significant together, with its adjusted p."""
    listed = list(made)
    if not listed:
        return None
    adjusted = holm(np.array([c.p for c in listed], np.float64))
    told = [(c, float(p)) for c, p in zip(listed, adjusted, strict=True) if c.tells and p <= ALPHA]
    return min(told, key=lambda pair: (pair[1], -pair[0].wins), default=None)
