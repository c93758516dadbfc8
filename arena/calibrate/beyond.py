"""The bars of changes beyond norms: turns and shifts, patches, common corruptions.

Figures of the papers are of other nets, other sizes of picture or larger training sets, so that
bars are what the papers concluded, and no more; where they conclude nothing of digits, bars are
what must be so if the change does anything.
"""

from __future__ import annotations

import itertools
from typing import Final

from arena.calibrate.lines import Laboratory, Line, figure, interval, percent
from arena.rounds import Norm

NETS: Final = ("cnn", "adversarial-training")


def spatial(lab: Laboratory) -> list[Line]:
    """Engstrom et al. 2019: a grid of moves breaks what was trained plainly, and robustness
    against L∞ does not carry over to it."""
    found = [
        lab.play("spatial-grid", net, norm=Norm.SPATIAL, epsilons=(10.0, 20.0, 30.0))
        for net in NETS
    ]
    clean = figure(found[0].metrics, "clean_accuracy")
    plain, trained = (figure(v.metrics, "robust_accuracy") for v in found)
    curves = ["/".join(f"{100 * figure(p, 'robust_accuracy'):.0f}" for p in v.curve) for v in found]
    return [
        Line(
            "A11",
            "Spatial grid, 10/20/30° and 1/2/3 px, CNN",
            "MNIST 99.3 to 26.0 % at 30° and 3 px (M)",
            "robust falls by 50 points",
            f"{percent(clean)} clean, robust {curves[0]} %",
            interval(found[0].metrics, "robust_accuracy"),
            clean - plain >= 0.5,
            lab.setting("cnn", more="31 x 5 x 5 moves"),
        ),
        Line(
            "A11",
            "Spatial grid, adversarial training (L∞)",
            "no better than plain: 1.2 % (M)",
            "within 10 points of the CNN's, or below",
            f"robust {curves[1]} %",
            interval(found[1].metrics, "robust_accuracy"),
            trained <= plain + 0.1,
            lab.setting("adversarial-training"),
        ),
    ]


def patch(lab: Laboratory) -> list[Line]:
    """No paper tells of a patch on digits: it has to do more with more room, and beat noise."""
    areas = (0.02, 0.05, 0.1)
    lines = []
    for net in NETS:
        filled, noise = (
            lab.play(name, net, norm=Norm.PATCH, epsilons=areas)
            for name in ("patch", "random-noise")
        )
        rates, by_chance = (
            [figure(point, "attack_success_rate") for point in verdict.curve]
            for verdict in (filled, noise)
        )
        shown, beside = (
            "/".join(f"{100 * rate:.0f}" for rate in found) for found in (rates, by_chance)
        )
        rises = all(a <= b for a, b in itertools.pairwise(rates))
        above = all(a > b for a, b in zip(rates, by_chance, strict=True))
        lines.append(
            Line(
                "A11",
                f"Patch of 2/5/10 % of the picture, {net}",
                "",
                "rises with the area, above a random patch",
                f"success {shown} %, random {beside} %",
                interval(filled.curve[1], "attack_success_rate"),
                rises and above,
                lab.setting(net, more="interval at 5 %"),
            )
        )
    return lines


def corruptions(lab: Laboratory) -> list[Line]:
    """The mean over kinds and severities needs no attack; the worst kind an example needs one."""
    severities = (1.0, 2.0, 3.0, 4.0, 5.0)
    lines = []
    for net in NETS:
        verdict = lab.play("worst-corruption", net, norm=Norm.CORRUPTION, epsilons=severities)
        means = "/".join(f"{100 * figure(p, 'corruption_accuracy'):.0f}" for p in verdict.curve)
        highest, lowest = (figure(verdict.curve[i], "corruption_accuracy") for i in (0, -1))
        mean = figure(verdict.metrics, "corruption_accuracy")
        worst = figure(verdict.metrics, "robust_accuracy")
        lines.append(
            Line(
                "A11",
                f"Common corruptions, severities 1 to 5, {net}",
                "",
                "less at severity 5 than at 1",
                f"accuracy {percent(mean)} ({means}), worst kind at 5 {percent(worst)}",
                interval(verdict.metrics, "robust_accuracy"),
                lowest < highest,
                lab.setting(net, more="12 kinds; interval of the worst kind"),
            )
        )
    return lines
