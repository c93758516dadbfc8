"""Numbers from outcomes: pure functions, each with its formula (docs/rules.md, "Metrics").

A share comes with its Wilson 95 % interval, as ``name``, ``name_low`` and ``name_high``. A number
that cannot be told (an empty denominator, a median that was never reached) is None, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Z95: Final = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""
SURE: Final = 0.9

Bits = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]
Metrics = dict[str, float | None]


# ── shares ─────────────────────────────────────────────────────────────────────────────────


def wilson(successes: int, trials: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval; (0, 1) of no trials. Wilson 1927."""
    if trials == 0:
        return 0.0, 1.0
    p, z2 = successes / trials, z * z
    center = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = z / (1 + z2 / trials) * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2))
    low = 0.0 if successes == 0 else max(0.0, center - half)
    return low, 1.0 if successes == trials else min(1.0, center + half)


def share(name: str, hits: Bits) -> Metrics:
    """``name``: the mean of ``hits``, with its interval; None of nothing."""
    return share_of(name, int(np.count_nonzero(hits)), len(hits))


def share_of(name: str, successes: int, trials: int) -> Metrics:
    low, high = wilson(successes, trials)
    value = successes / trials if trials else None
    return {
        name: value,
        f"{name}_low": low if trials else None,
        f"{name}_high": high if trials else None,
    }


def clean_accuracy(clean_right: Bits) -> Metrics:
    """Mean of [F(x) = y]."""
    return share("clean_accuracy", clean_right)


def attack_success_rate(clean_right: Bits, broken: Bits) -> Metrics:
    """Broken and clean-right / clean-right."""
    return share("attack_success_rate", broken[clean_right])


def robust_accuracy(clean_right: Bits, broken: Bits) -> Metrics:
    """Mean of [clean right and not broken]."""
    return share("robust_accuracy", clean_right & ~broken)


def transfer_rate(source_wrong: Bits, wrong: Bits) -> Metrics:
    """P(F wrong given that the related model is wrong)."""
    return share("transfer_rate", wrong[source_wrong])


def repeatability(wrong: NDArray[np.integer[Any]], repeats: int) -> float | None:
    """P(wrong again given wrong) with a fresh seed, from how many of ``repeats`` were wrong.

    The mean over ordered pairs of different seeds. A deterministic defense errs for ever: 1.
    """
    total = int(wrong.sum())
    if total == 0:
        return None
    if repeats == 1:
        return 1.0
    return float((wrong * (wrong - 1)).sum() / (total * (repeats - 1)))


# ── curves and distances ───────────────────────────────────────────────────────────────────


def curve_area(epsilons: Sequence[float], accuracies: Sequence[float | None]) -> float | None:
    """Mean height of the curve between the first and the last epsilon, by trapezoids.

    Games begin it at epsilon 0, with the clean accuracy.
    """
    points = [(e, a) for e, a in zip(epsilons, accuracies, strict=True) if a is not None]
    if len(points) < 2:
        return None
    area = sum((a + b) / 2 * (right - left) for (left, a), (right, b) in pairwise(points))
    return area / (points[-1][0] - points[0][0])


def robust_at(distances: Floats, clean_right: Bits, epsilon: float) -> Bits:
    """(n,) right, and no perturbation of at most ``epsilon`` was found."""
    return np.asarray(clean_right & ~(distances <= epsilon + 1e-6))


def median_distance(distances: Floats) -> float | None:
    """Median over the examples; infinite ones (never broken) censor: None beyond the middle."""
    if len(distances) == 0:
        return None
    value = float(np.median(distances))
    return value if math.isfinite(value) else None


# ── certificates ───────────────────────────────────────────────────────────────────────────


def certified_at(radii: Floats, epsilon: float) -> Bits:
    """(n,) R(x) >= epsilon, for radii of right and standing claims (0 for none)."""
    return np.asarray(radii >= epsilon - 1e-9)


def binomial_quantile(trials: int, p: float, q: float) -> int:
    """The least k with P(at most k successes in ``trials``) >= q."""
    if p <= 0 or trials == 0:
        return 0
    if p >= 1:
        return trials
    term, total = trials * math.log1p(-p), 0.0
    for k in range(trials + 1):
        total += math.exp(term)
        if total >= q:
            return k
        term += math.log((trials - k) / (k + 1)) + math.log(p) - math.log1p(-p)
    return trials


# ── copies ─────────────────────────────────────────────────────────────────────────────────


def best_constant(labels: NDArray[np.int64]) -> float | None:
    """How well the best copy that always says the same agrees with ``labels``."""
    return (
        float(np.unique(labels, return_counts=True)[1].max() / len(labels)) if len(labels) else None
    )


def cohens_kappa(one: NDArray[np.int64], other: NDArray[np.int64]) -> float | None:
    """Agreement beyond chance, (p_o - p_e) / (1 - p_e); None where chance agrees always.

    Cohen 1960. p_e is what two raters with these shares of labels agree on by chance.
    """
    if len(one) == 0:
        return None
    by_chance = sum(float((one == k).mean() * (other == k).mean()) for k in np.unique(one))
    if by_chance >= 1 - 1e-12:
        return None
    return (float((one == other).mean()) - by_chance) / (1 - by_chance)


def log_area(queries: Sequence[int], values: Sequence[float | None]) -> float | None:
    """Mean height of a curve over log2 of the queries, by trapezoids."""
    return curve_area([math.log2(q) for q in queries], values)


# ── confidence ─────────────────────────────────────────────────────────────────────────────


def confidence_on_mistakes(confidence: Floats, wrong: Bits) -> Metrics:
    """E[max p given wrong], the share above .9, and the AUROC of confidence for right/wrong.

    Rows without an answer (NaN) are left out: they have no confidence.
    """
    told = np.isfinite(confidence)
    confidence, wrong = confidence[told], wrong[told]
    on_mistakes = confidence[wrong]
    mean = float(on_mistakes.mean()) if len(on_mistakes) else None
    return {
        "mistake_confidence": mean,
        **share("sure_mistakes", on_mistakes > SURE),
        "confidence_auroc": auroc(confidence[~wrong], on_mistakes),
    }


def auroc(positives: Floats, negatives: Floats) -> float | None:
    """P(a positive scores above a negative), ties one half. Mann & Whitney 1947."""
    if len(positives) == 0 or len(negatives) == 0:
        return None
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, side="left")
    up_to = np.searchsorted(ordered, positives, side="right")
    return float((below + up_to).sum() / (2 * len(positives) * len(negatives)))


# ── hardness of finding a mistake ──────────────────────────────────────────────────────────


def second_half(iterations: Floats, to_success: Floats) -> Metrics:
    """What the second half of an attack's iterations added to the first (n,) cases.

    The whole are the iterations that a case without a success took (their median). ``to_success``
    is -1 where there was none. None where every case fell, or nothing was iterated: then there
    is no half to speak of.
    """
    never = to_success <= 0
    whole = float(np.median(iterations[never])) if never.any() else 0.0
    if whole < 2:
        return {"standing_halfway": None, "late_successes": None}
    late = ~never & (to_success > whole / 2)
    return {
        "standing_halfway": int(np.count_nonzero(never | late)),
        "late_successes": int(np.count_nonzero(late)),
    }


def kaplan_meier_median(times: Floats, found: Bits) -> float | None:
    """Median time to the first mistake where misses are censored; None if never reached.

    ``times`` (n,): until the mistake, or until the attack stopped. Kaplan & Meier 1958; where the
    curve lies on one half for a while, the time at which it got there.
    """
    surviving = 1.0
    for time in np.unique(times[found]):
        at_risk = int(np.count_nonzero(times >= time))
        deaths = int(np.count_nonzero(found & (times == time)))
        surviving *= 1 - deaths / at_risk
        if surviving <= 0.5 + 1e-12:
            return float(time)
    return None


# ── value ──────────────────────────────────────────────────────────────────────────────────


def costs(
    y: NDArray[np.int64], predictions: NDArray[np.int64], wrong: Bits, cost: Floats | None
) -> Floats:
    """(n,) C[y, F(x')]; without a matrix 1 for each mistake.

    A wrong row without a class (an abstention or no answer) costs the worst of its row; a safe
    abstention costs nothing.
    """
    if cost is None:
        return wrong.astype(np.float64)
    named = predictions >= 0
    by_class = cost[y, np.where(named, predictions, 0)]
    without = np.where(wrong, cost[y].max(axis=1) if len(y) else 0.0, 0.0)
    return np.asarray(np.where(named, by_class, without), np.float64)


def mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """None where either is not known or the denominator is 0."""
    return None if numerator is None or not denominator else numerator / denominator
