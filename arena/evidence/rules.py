"""The rules by which matches show a symptom: docs/evidence.md states every one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.special import bdtr, bdtrc

from arena.evidence.comparison import (
    ALPHA,
    LEAST_DISCORDANT,
    Comparison,
    Reference,
    comparisons,
    fisher,
    references,
    strongest,
)
from arena.evidence.symptom import Code, Symptom
from arena.evidence.trials import ZERO_GRADIENTS, Attacker, Means, Probed, Trial
from arena.manifest import Manifest
from arena.ranking.statistics import holm, sign_test
from arena.rounds import Goal, Norm, RoundSpec, SplitName

HUGE_LINF: Final = 0.5
"""From here on every image of [0, 1]^d can become the same uniform grey: see ``huge``."""
MOSTLY_ZERO: Final = 0.5
UPHILL: Final = 0.75
"""Of the gradients that a defense serves, no fewer lead uphill; of honest ones, nearly all do."""
LATE: Final = 0.05
"""Of what stands after half of its iterations, an attack that has converged breaks less than this
in the other half."""
SPLIT_DROP: Final = 0.02
"""What an honest model may lose from practice to derived images (``arena.tasks.final``)."""


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
        _downhill(balls),
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


def _downhill(trials: Iterable[Trial]) -> Symptom | None:
    """Whether steps along what was served as gradients, told by answers alone, go anywhere else.

    As the house's gradient attacks met it: the referee tries what those were served.
    """
    counted = [
        (trial, int(up), int(n))
        for trial in trials
        if trial.by_gradients and trial.attacker.house
        for up in [trial.metrics.get("slopes_uphill")]
        for n in [trial.metrics.get("slopes")]
        if up is not None and n
    ]
    if not counted:
        return None
    adjusted = holm(np.array([bdtr(up, n, UPHILL) for _, up, n in counted], np.float64))
    told = [
        (float(p), up / n, trial, up, n)
        for p, (trial, up, n) in zip(adjusted, counted, strict=True)
        if p <= ALPHA and n - up >= LEAST_DISCORDANT
    ]
    if not told:
        return None
    p, _, trial, up, n = min(told, key=lambda found: found[:2])
    sentence = (
        f"Of {n} gradients that {trial.attacker.name} was served, {up} led uphill when the referee "
        f"took a step along them and asked for answers ({_shown_p(p)}): whoever follows them is "
        "led astray."
    )
    figures = {"attack": trial.attacker.id, "round": trial.round, "uphill": up, "slopes": n,
               "allowed": UPHILL, "p": p}  # fmt: skip
    return Symptom(Code.DOWNHILL, sentence, figures)


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
