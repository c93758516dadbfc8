"""Evidence of masked gradients: symptoms in matches that one defense has already played.

A defense can look strong because attacks fail rather than because it holds (Athalye, Carlini &
Wagner 2018, arXiv:1802.00420; Carlini et al. 2019, arXiv:1902.06705, section 4). The signs are in
the bits: what needs less knowledge breaks more. docs/evidence.md states every rule.

Nobody can be accused by a guest's word: what an attack did not see is decided by the round that
withheld it, and what an attack *is* (one step, noise, a gradient attack that ought to work) is
believed of house players alone. A guest's gradient attack only adds to what gradients found.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import reduce
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, gammaln

from arena.manifest import Manifest
from arena.ranking.nesting import TOLERANCE, broken_within
from arena.ranking.statistics import holm, sign_test
from arena.rounds import Goal, Norm, RoundSpec, SplitName
from arena.verdict import Kills

ALPHA: Final = 0.01
"""Level of every test, after Holm's adjustment over the comparisons made for one symptom."""
LEAST_DISCORDANT: Final = 10
"""Fewer examples on which two attacks differ prove nothing, whatever the test says."""
HUGE_LINF: Final = 0.5
"""From here on every image of [0, 1]^d can become the same uniform grey: see ``huge``."""
ZERO_GRADIENTS: Final = "zero_gradients"
"""A metric, the share of gradients that were exactly zero, or a flag of that name."""
MOSTLY_ZERO: Final = 0.5
LATE: Final = 0.05
"""Of what stands after half of its iterations, an attack that has converged breaks less than this
in the other half."""
SPLIT_DROP: Final = 0.02
"""What an honest model may lose from practice to derived images (``arena.tasks.final``)."""


class Code(StrEnum):
    """What a symptom is called in the database and in addresses."""

    ONE_STEP = "one_step_beats_iterative"
    BLACK_BOX = "black_box_beats_gradients"
    NOISE = "noise_beats_gradients"
    RISING = "more_epsilon_does_not_help"
    HUGE = "huge_epsilon_short_of_chance"
    ZERO = "zero_gradients"
    DOUBLED = "doubled_iterations_change_the_result"
    SPLITS = "practice_and_final_differ"
    NO_GRADIENTS = "no_gradients"
    CERTIFICATE = "certificate_broken"


NOTES: Final = frozenset({Code.NO_GRADIENTS})
"""Codes that inform and accuse nobody."""
REFUTED: Final = frozenset({Code.CERTIFICATE})
"""Codes of claims that do not hold, which say nothing of gradients."""


class Means(StrEnum):
    """What an attack goes by, as the ``family`` of its manifest says."""

    ONE_STEP = "one-step gradient"
    ITERATIVE = "iterative gradient"
    NOISE = "random noise"


@dataclass(frozen=True)
class Symptom:
    """``figures`` hold the numbers behind the sentence, JSON values only."""

    code: Code
    sentence: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code.value, "sentence": self.sentence, "figures": dict(self.figures)}


@dataclass(frozen=True)
class Attacker:
    """``house``: the player is ours, so that its manifest can be believed."""

    id: str
    manifest: Manifest
    house: bool = False

    @property
    def name(self) -> str:
        return self.manifest.name

    def goes_by(self, means: Means) -> bool:
        return self.house and self.manifest.family.casefold() == means.value


@dataclass(frozen=True)
class Trial:
    """One match that the defense played to its end in a round over perturbations."""

    round: str
    spec: RoundSpec
    attacker: Attacker
    kills: Kills
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    @property
    def by_gradients(self) -> bool:
        """The round gave gradients and the attack lives on them."""
        return self.spec.threat_model.gives_gradients and self.attacker.manifest.needs.gradients

    @property
    def by_iterated_gradients(self) -> bool:
        """A gradient attack of the house that ought to find what there is to find."""
        return self.by_gradients and self.attacker.goes_by(Means.ITERATIVE)

    @property
    def without_gradients(self) -> bool:
        """Without them for certain: the round withheld them, or it is a house player's way."""
        if self.attacker.goes_by(Means.NOISE):
            return False
        if not self.spec.threat_model.gives_gradients:
            return True
        return self.attacker.house and not self.attacker.manifest.needs.gradients

    def played(self, epsilon: float) -> bool:
        """Minimum-norm rounds look at every size at once."""
        levels = self.spec.epsilons
        return not levels or any(abs(level - epsilon) <= TOLERANCE for level in levels)


@dataclass(frozen=True)
class Probed:
    """What qualification measured itself, on the practice split of ``task``."""

    task: str
    right: int
    examples: int
    zero_gradients: float | None = None

    @classmethod
    def of(cls, task: str, figures: Mapping[str, Any]) -> Probed | None:
        """From the figures of a qualification; None where they do not say."""
        accuracy, examples = figures.get("clean_accuracy"), figures.get("examples")
        if not isinstance(accuracy, float | int) or not isinstance(examples, int) or not examples:
            return None
        zero = figures.get(ZERO_GRADIENTS)
        known = float(zero) if isinstance(zero, float | int) else None
        return cls(task, round(accuracy * examples), examples, known)


def symptoms(
    defense: Manifest, trials: Iterable[Trial], *, classes: int, probed: Probed | None = None
) -> list[Symptom]:
    """What the matches of one defense on one task show, in the order of :class:`Code`.

    ``trials`` are matches that ended with a score; those of other contests (norm, goal, split)
    are never compared with each other. An honest defense gives an empty list.
    """
    ordered = sorted(trials, key=lambda t: (t.round, t.attacker.id))
    if not defense.differentiable:
        differing = _splits(ordered, probed)
        return [_without_gradients(defense), *([differing] if differing else [])]
    # No attack of the house on single pixels is strong enough that its failure proves anything;
    # turns, patches and corruptions say nothing of gradients.
    balls = [trial for trial in ordered if trial.spec.norm in _SHOWN]
    found = [
        _one_step(balls),
        _black_box(balls),
        _noise(balls),
        _rising(balls),
        _huge(balls, defense, classes),
        _zero(balls, probed),
        _doubled(balls),
        _splits(ordered, probed),
    ]
    return [symptom for symptom in found if symptom is not None]


def _without_gradients(defense: Manifest) -> Symptom:
    return Symptom(
        Code.NO_GRADIENTS,
        "Gives no gradients: met by score-based, decision-based and transfer attacks only.",
        {"framework": defense.framework.value},
    )


def certificate_broken(attacker: Attacker, round_: str, examples: int) -> Symptom:
    """A certificate is a claim about all inputs: counterexamples of one attack refute it."""
    some = "1 example" if examples == 1 else f"{examples} examples"
    sentence = f"{attacker.name} broke {some} within a radius that was certified."
    figures = {"attack": attacker.id, "round": round_, "examples": examples}
    return Symptom(Code.CERTIFICATE, sentence, figures)


# ── who fell to what ───────────────────────────────────────────────────────────────────────


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


# ── one attack against all gradients ───────────────────────────────────────────────────────


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


def _symptom(code: Code, made: Iterable[Comparison], claim: str) -> Symptom | None:
    found = strongest(made)
    if found is None:
        return None
    best, p = found
    where = f"{_SHOWN[best.trial.spec.norm]} ε = {best.epsilon:g}"
    sentence = f"{best.trial.attacker.name} {claim} ({where}): {best.numbers} ({_shown_p(p)})."
    return Symptom(code, sentence, {**best.figures, "p": p})


_SHOWN: Final = {Norm.LINF: "L∞", Norm.L2: "L2", Norm.L1: "L1"}


def _shown_p(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.4f}"


# ── the symptoms ───────────────────────────────────────────────────────────────────────────


def _one_step(trials: Sequence[Trial]) -> Symptom | None:
    steps = [t for t in trials if t.by_gradients and t.attacker.goes_by(Means.ONE_STEP)]
    made = comparisons(steps, references(trials, iterated=True))
    return _symptom(Code.ONE_STEP, made, "takes one step and beats the iterated attacks")


def _black_box(trials: Sequence[Trial]) -> Symptom | None:
    made = comparisons([t for t in trials if t.without_gradients], references(trials))
    return _symptom(Code.BLACK_BOX, made, "sees no gradients and beats all attacks that do")


def _noise(trials: Sequence[Trial]) -> Symptom | None:
    noise = [t for t in trials if t.attacker.goes_by(Means.NOISE)]
    made = comparisons(noise, references(trials))
    return _symptom(Code.NOISE, made, "finds what all gradient attacks miss")


def _rising(trials: Iterable[Trial]) -> Symptom | None:
    """A larger ball holds the smaller one, so an attack that works breaks no less in it.

    A flat curve is none: adversarial training is flat below the ε that it was trained for.
    """
    made = [
        _against_itself(trial, smaller, larger)
        for trial in trials
        if trial.by_iterated_gradients
        for smaller, larger in pairwise(range(len(trial.kills.epsilons)))
    ]
    return _symptom(Code.RISING, made, "breaks more here than at the next larger ε")


def _against_itself(trial: Trial, smaller: int, larger: int) -> Comparison:
    """``smaller`` and ``larger``: places in the trial's ascending epsilons."""
    kills = trial.kills
    before = kills.broken[smaller] & kills.clean_right
    after = kills.broken[larger] & kills.clean_right
    wins, losses = int((before & ~after).sum()), int((after & ~before).sum())
    n = int(kills.clean_right.sum())
    p = float(sign_test(np.array(wins), np.array(losses)))
    return Comparison(trial, kills.epsilons[smaller], True, wins, losses, n, n, p)


def huge(spec: RoundSpec, epsilon: float) -> bool:
    """Whether each image of [0, 1]^d can become the same one: uniform grey.

    On that image a classifier has one answer, so no defense is right more often than the
    commonest class is seen; one that seems so has beaten the attack, not the threat. Of L2 and
    L1 balls only those in which grey lies for every image would do, and no round plays them.
    """
    return spec.norm is Norm.LINF and spec.goal is Goal.UNTARGETED and epsilon >= HUGE_LINF


def _huge(trials: Iterable[Trial], defense: Manifest, classes: int) -> Symptom | None:
    """Not for defenses that may abstain: to abstain on grey is no mistake."""
    if defense.abstains:
        return None
    shown = [
        symptom
        for reference in references(trials)
        for epsilon in reference.spec.epsilons
        if huge(reference.spec, epsilon)
        for symptom in [_short_of_chance(reference, epsilon, classes)]
        if symptom is not None
    ]
    return max(shown, key=lambda s: s.figures["standing"], default=None)


def _short_of_chance(reference: Reference, epsilon: float, classes: int) -> Symptom | None:
    fallen = reference.fallen(epsilon)
    n, standing = len(fallen.examples), int((~fallen.broken).sum())
    p = float(bdtrc(standing - 1, n, 1 / classes)) if standing else 1.0
    if p > ALPHA or standing - n / classes < LEAST_DISCORDANT:
        return None
    sentence = (
        f"At L∞ ε = {epsilon:g} every image can be made the same grey, and still {standing} of {n} "
        f"examples stand against all gradient attacks; chance is {n / classes:.0f} "
        f"({_shown_p(p)}). The attacks fail; that the defense holds cannot be."
    )
    figures = {
        "round": reference.round,
        "norm": Norm.LINF.value,
        "epsilon": epsilon,
        "standing": standing,
        "examples": n,
        "chance": 1 / classes,
        "p": p,
    }
    return Symptom(Code.HUGE, sentence, figures)


def _zero(trials: Iterable[Trial], probed: Probed | None) -> Symptom | None:
    """As the house's gradient attacks met it: a guest could ask for gradients of nothing.

    Qualification has asked at clean examples, of a defense that has met no such attack yet.
    """
    for trial in trials:
        if not (trial.by_gradients and trial.attacker.house):
            continue
        share = trial.metrics.get(ZERO_GRADIENTS)
        if ZERO_GRADIENTS in trial.flags or (share or 0.0) >= MOSTLY_ZERO:
            told = "" if share is None else f": {100 * share:.0f} % of those it asked for"
            figures = {"attack": trial.attacker.id, "round": trial.round, "share": share}
            return Symptom(
                Code.ZERO, f"{trial.attacker.name} met gradients of exactly zero{told}.", figures
            )
    share = probed.zero_gradients if probed is not None else None
    if share is None or share < MOSTLY_ZERO:
        return None
    sentence = (
        f"Qualification met gradients of exactly zero: {100 * share:.0f} % of those it asked for."
    )
    return Symptom(Code.ZERO, sentence, {"attack": None, "round": None, "share": share})


def _doubled(trials: Iterable[Trial]) -> Symptom | None:
    """Whether the second half of an attack's iterations still finds what the first did not.

    Then the figure hangs on when the attack stopped: with more it would be lower still (Carlini
    et al. 2019, section 4.3: doubling the iterations must not change the result).
    """
    counted = [
        (trial, int(late), int(standing))
        for trial in trials
        if trial.by_iterated_gradients
        for late in [trial.metrics.get("late_successes")]
        for standing in [trial.metrics.get("standing_halfway")]
        if late is not None and standing
    ]
    if not counted:
        return None
    adjusted = holm(np.array([_at_least(late, n, LATE) for _, late, n in counted], np.float64))
    told = [
        (float(p), -late, trial, n)
        for p, (trial, late, n) in zip(adjusted, counted, strict=True)
        if p <= ALPHA and late >= LEAST_DISCORDANT
    ]
    if not told:
        return None
    p, less_late, trial, standing = min(told, key=lambda found: found[:2])
    late = -less_late
    sentence = (
        f"{trial.attacker.name} broke {late} of the {standing} examples that stood after half of "
        f"its iterations in the other half ({_shown_p(p)}): it has not converged, and more "
        "iterations would break more."
    )
    figures = {"attack": trial.attacker.id, "round": trial.round, "late": late,
               "standing": standing, "allowed": LATE, "p": p}  # fmt: skip
    return Symptom(Code.DOUBLED, sentence, figures)


def _at_least(hits: int, trials: int, share: float) -> float:
    """P(at least that many of ``trials``, each with probability ``share``)."""
    return float(bdtrc(hits - 1, trials, share)) if hits else 1.0


def _splits(trials: Sequence[Trial], probed: Probed | None) -> Symptom | None:
    """Clean accuracy on published images, as qualification found it, against the referee's own.

    Derived images keep a model's accuracy within :data:`SPLIT_DROP`; a defense that knows the
    published ones by heart does not keep its own.
    """
    final = [t for t in trials if t.spec.split is SplitName.FINAL and len(t.kills.examples)]
    if probed is None or not final:
        return None
    judged = max(final, key=lambda trial: len(trial.kills.examples))
    if judged.spec.task != probed.task:
        return None
    n, right = len(judged.kills.examples), int(judged.kills.clean_right.sum())
    credited = min(n, right + math.ceil(SPLIT_DROP * n))
    lead = probed.right * n - credited * probed.examples
    p = fisher(probed.right, probed.examples, credited, n)
    if p > ALPHA or lead < LEAST_DISCORDANT * probed.examples:
        return None
    before = 100 * probed.right / probed.examples
    sentence = (
        f"Right on {before:.1f} % of {probed.examples} published images and on "
        f"{100 * right / n:.1f} % of {n} that the referee keeps; an honest model loses at most "
        f"{100 * SPLIT_DROP:.0f} points ({_shown_p(p)})."
    )
    figures = {"round": judged.round, "practice_right": probed.right,
               "practice_examples": probed.examples, "final_right": right, "final_examples": n,
               "allowed": SPLIT_DROP, "p": p}  # fmt: skip
    return Symptom(Code.SPLITS, sentence, figures)
