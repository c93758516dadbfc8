"""The bars of poisoning: what sanitisation holds, certified bounds, and the spectral filter."""

from __future__ import annotations

import io
import re
from typing import Any, Final

import numpy as np

from arena import house, tasks
from arena.calibrate.lines import BarError, Laboratory, Line, figure, interval, percent
from arena.house.learners.data_dependent import DataDependent, sizes_of
from arena.house.learners.spectral_filter import filtered_mean
from arena.packages import Package
from arena.rounds import GameName
from arena.threat_model import ThreatModel
from arena.verdict import Verdict

ON: Final = "mnist-1-7"
SHARE: Final = 0.3
DIMENSIONS: Final = (50, 100, 200)
MOVED: Final = (0.34, 0.37, 0.43)
"""By how much the poison moves the plain mean, in each dimension."""


def poisoned(lab: Laboratory, attack: str, learner: str | Package, share: float) -> Verdict:
    rules: dict[str, Any] = {"shares": (share,), "epsilons": (), "game": GameName.POISONING}
    return lab.play(attack, learner, task=ON, threat_model=ThreatModel.black(), **rules)


def oracle() -> Package:
    """Data-dependent sanitisation that knows the clean means: its sizes are those of clean S."""
    train, plain = tasks.load(ON).train, house.package("data-dependent", ON)
    flat = train.x.reshape(len(train.x), -1).astype(np.float64)
    means = {int(k): flat[train.y == k].mean(axis=0) for k in np.unique(train.y)}
    radii, slabs = sizes_of(flat, train.y, means, DataDependent.deviations)
    known = io.BytesIO()
    np.savez(
        known,
        means=np.stack([means[k] for k in sorted(means)]),
        radii=np.array([radii[k] for k in sorted(means)]),
        slabs=np.array([[slabs.get((k, j), 0.0) for j in sorted(means)] for k in sorted(means)]),
    )
    return Package.of({**plain.files, "means.npz": known.getvalue()})


def outliers(lab: Laboratory) -> list[Line]:
    """Far outliers move a linear learner, and a sphere drops them.

    Inside the box of images, and against a learner with weight decay, they are far from the ruin
    that points without bounds are: only the order is the paper's.
    """
    found = [
        poisoned(lab, "far-outliers", name, 0.1).metrics
        for name in ("logistic-learner", "sphere-sanitisation")
    ]
    bare, sphere = (figure(metrics, "delta_error") for metrics in found)
    line = Line(
        "A7",
        "Far outliers, 10 % of poison",
        "",
        "adds error to the undefended for sure, none to the sphere",
        f"undefended {100 * bare:+.1f} points, sphere {100 * sphere:+.1f}",
        interval(found[0], "delta_error"),
        interval(found[0], "delta_error")[0] > 0 and interval(found[1], "delta_error")[0] <= 0,
        lab.setting("logistic-learner", task=ON, more="added points, 5 seeds"),
    )
    return [line]


def bound(lab: Laboratory) -> list[Line]:
    """No attack within an oracle's sphere and slabs leaves more loss than its certificate says."""
    told, held = [], True
    for share in (0.03, 0.1, SHARE):
        verdict = poisoned(lab, "certified-bound", oracle(), share)
        error, most = figure(verdict.metrics, "poisoned_error"), _printed(verdict)
        held = held and error <= most
        told.append(f"{100 * error:.1f} ≤ {100 * most:.1f}")
    line = Line(
        "A7",
        f"Attack of a certificate, 3/10/{100 * SHARE:.0f} %",
        "MNIST-1-7 is resilient",
        "error ≤ the certified bound U*",
        f"{', '.join(told)} %",
        None,
        held,
        lab.setting("data-dependent", task=ON, more="clean means known; U* bounds the hinge loss"),
    )
    return [line]


def _printed(verdict: Verdict) -> float:
    found = re.search(r"U\* = ([\d.]+)", verdict.logs.get("attack", ""))
    if found is None:
        raise BarError("The certified attack printed no bound.")
    return float(found[1])


def sanitised(lab: Laboratory) -> list[Line]:
    """Means that the poison moves hold less than means that are known."""
    own, known = (
        poisoned(lab, "label-flip", learner, SHARE).metrics
        for learner in ("data-dependent", oracle())
    )
    errors = [figure(metrics, "poisoned_error") for metrics in (own, known)]
    lost = figure(known, "delta_error")
    line = Line(
        "D9",
        f"Sphere and slab, {100 * SHARE:.0f} % of poison",
        "18 % data-dependent, oracle resilient",
        "data-dependent ≥ 2 x the oracle's error, oracle +1 point at most",
        f"data-dependent {percent(errors[0])}, oracle {percent(errors[1])} "
        f"({100 * lost:+.1f} points)",
        interval(own, "delta_error"),
        errors[0] >= 2 * errors[1] and lost <= 0.01,
        lab.setting("data-dependent", task=ON, more="flipped labels; interval: error added"),
    )
    return [line]


def spectral(lab: Laboratory) -> list[Line]:
    """The filter's mean, flat in the dimension; and the learner that filters each class."""
    plain, kept = zip(*(moved(d, by) for d, by in zip(DIMENSIONS, MOVED, strict=True)), strict=True)
    bare, ours = (
        figure(poisoned(lab, "far-outliers", name, 0.1).metrics, "delta_error")
        for name in ("logistic-learner", "spectral-filter")
    )
    return [
        Line(
            "D10",
            "Mean under 10 % of poison, d 50/100/200",
            "flat in the dimension",
            "filter ≤ .05",
            f"mean {'/'.join(f'{v:.2f}' for v in plain)}, "
            f"filter {'/'.join(f'{v:.3f}' for v in kept)}",
            None,
            max(kept) <= 0.05,
            "Gaussian, 1,000 d points, poison shifted along one direction; distance from the mean "
            "of the clean points",
        ),
        Line(
            "D10",
            "Spectral filter, far outliers, 10 % of poison",
            "",
            "adds less than to the undefended",
            f"undefended {100 * bare:+.1f} points, filtered {100 * ours:+.1f}",
            None,
            ours < bare,
            lab.setting("spectral-filter", task=ON, more="added points, 5 seeds"),
        ),
    ]


def moved(d: int, by: float, *, share: float = 0.1, seed: int = 0) -> tuple[float, float]:
    """How far poison moves the mean and the filtered mean of standard normal points."""
    draw = np.random.default_rng(seed + d)
    m, direction = round(10 * d / share**2), draw.standard_normal(d)
    bad = int(share * m)
    x = draw.standard_normal((m, d))
    x[:bad] += direction / np.linalg.norm(direction) * by / share
    clean = x[bad:].mean(axis=0)
    kept = filtered_mean(x, most=2 * share)
    return float(np.linalg.norm(x.mean(axis=0) - clean)), float(np.linalg.norm(kept - clean))


def streams(lab: Laboratory) -> list[Line]:
    """A greedy poisoner of streams against the plain learner and the one that looks first."""
    rules: dict[str, Any] = {
        "game": GameName.ONLINE_POISONING, "shares": (0.1,), "epsilons": (),
        "threat_model": ThreatModel.black(),
    }  # fmt: skip
    added = [
        lab.play("online-greedy", name, task=ON, **rules).metrics
        for name in ("online-logistic", "online-sanitising")
    ]
    plain, sane = (figure(metrics, "delta_error_over_time") for metrics in added)
    line = Line(
        "A7",
        "Greedy stream, 10 % of poison",
        "",
        "adds error for sure, sanitising adds less",
        f"plain {100 * plain:+.1f} points over time, sanitising {100 * sane:+.1f}",
        interval(added[0], "delta_error_over_time"),
        interval(added[0], "delta_error_over_time")[0] > 0 and sane < plain,
        lab.setting("online-logistic", task=ON, more="10 batches, 5 streams"),
    )
    return [line]


def chosen(lab: Laboratory) -> list[Line]:
    """Points at the chosen point win it; clean-label gradient matching is told beside."""
    rules: dict[str, Any] = {
        "game": GameName.TARGETED_POISONING, "threat_model": ThreatModel.black(), "targets": 10,
    }  # fmt: skip
    free = lab.play(
        "collision", "logistic-learner", task=ON, shares=(0.03,), epsilons=(), **rules
    ).metrics
    matched = lab.play(
        "gradient-matching", "cnn-learner", task=ON, shares=(0.1,), epsilons=(0.5,), **rules
    ).metrics
    rate, drop = figure(free, "attack_success_rate"), figure(free, "clean_drop")
    won, by_itself = (
        figure(matched, name) for name in ("attack_success_rate", "natural_success_rate")
    )
    return [
        Line(
            "A7",
            "Collision, chosen points, 3 % of poison",
            "",
            "success ≥ 90 %, clean drop ≤ 1 point",
            f"success {percent(rate)}, clean drop {100 * drop:.1f} points",
            interval(free, "attack_success_rate"),
            rate >= 0.9 and drop <= 0.01,
            lab.setting("logistic-learner", task=ON, more="10 chosen points, free labels"),
        ),
        Line(
            "A7",
            "Gradient matching, clean-label L∞ .5, 10 %",
            "85 % (CIFAR-10, ResNet, 1 %)",
            "more than without poison",
            f"success {percent(won)}, without poison {percent(by_itself)}, "
            f"clean drop {100 * figure(matched, 'clean_drop'):.1f} points",
            interval(matched, "attack_success_rate"),
            won > by_itself,
            lab.setting("cnn-learner", task=ON, more="10 chosen points, nets of other seeds"),
        ),
    ]
