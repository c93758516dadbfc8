"""The bars of the house defenses."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from arena import house
from arena.calibrate.attacks import variant
from arena.calibrate.lines import (
    FEW,
    TASK,
    TRANSFER,
    Laboratory,
    Line,
    broken,
    figure,
    interval,
    percent,
)
from arena.rounds import GameName, Norm
from arena.threat_model import ThreatModel


def baseline(lab: Laboratory, defense: str, least: float) -> list[Line]:
    """Clean accuracy of the undefended, as a match of one small step shows it."""
    noise = lab.play("random-noise", defense, threat_model=ThreatModel.transfer(), epsilons=(0.3,))
    clean = figure(noise.metrics, "clean_accuracy")
    line = Line(
        "D0",
        f"{defense}, clean accuracy",
        "",
        f"≥ {percent(least)}",
        percent(clean),
        interval(noise.metrics, "clean_accuracy"),
        clean >= least,
        lab.setting(defense),
    )
    return [line]


def adversarial_training(lab: Laboratory) -> list[Line]:
    verdict = lab.play("pgd", "adversarial-training", epsilons=(0.3,))
    robust = figure(verdict.metrics, "robust_accuracy")
    setting = lab.setting("adversarial-training")
    black = lab.play("ensemble-transfer", "adversarial-training", epsilons=(0.3,), **TRANSFER)
    outside = figure(black.metrics, "robust_accuracy")
    return [
        Line(
            "D1",
            "Adversarial training, PGD, ε .3",
            "98.8 clean, 93.2 / 89.3 %",
            "≥ 70 %",
            f"clean {percent(figure(verdict.metrics, 'clean_accuracy'))}, robust {percent(robust)}",
            interval(verdict.metrics, "robust_accuracy"),
            robust >= 0.70,
            setting,
            why=FEW,
        ),
        Line(
            "D1",
            "Adversarial training, transfer, ε .3",
            "95.7 %",
            "> white-box",
            f"robust {percent(outside)}",
            interval(black.metrics, "robust_accuracy"),
            outside > robust,
            setting,
            why=FEW,
        ),
    ]


def smoothing(lab: Laboratory) -> list[Line]:
    """Smoothing helps in L2, and its answers repeat less than certainly."""
    fields: dict[str, Any] = {"norm": Norm.L2, "epsilons": (1.0,)}
    noisy = lab.play("pgd", "randomized-smoothing", **fields)
    plain = lab.play("pgd", "cnn", **fields)
    clean = figure(noisy.metrics, "clean_accuracy")
    robust = figure(noisy.metrics, "robust_accuracy")
    undefended = figure(plain.metrics, "robust_accuracy")
    repeat = figure(noisy.metrics, "repeatability")
    line = Line(
        "D6",
        "Randomized smoothing, PGD L2, ε 1",
        "clean .935 at σ .5",
        "clean ≥ 90 %, above CNN, repeats < 1",
        f"clean {percent(clean)}, robust {percent(robust)} (CNN {percent(undefended)}), "
        f"repeats {repeat:.2f}",
        interval(noisy.metrics, "robust_accuracy"),
        clean >= 0.9 and robust > undefended and repeat < 1.0,
        lab.setting("randomized-smoothing", more="σ .25, 10 votes, judged 10 times"),
    )
    return [line]


def discretisation(lab: Laboratory) -> list[Line]:
    radius = 0.2
    white = lab.play("pgd", "input-discretisation", epsilons=(radius,))
    black = lab.play(
        "square", "input-discretisation", threat_model=ThreatModel.black(500), epsilons=(radius,)
    )
    seen, real = (figure(verdict.metrics, "robust_accuracy") for verdict in (white, black))
    line = Line(
        "D7",
        f"Input discretisation, ε {radius:g}",
        "masked: 95.2 % by gradients",
        "black-box ≥ 20 points lower",
        f"PGD {percent(seen)}, Square {percent(real)}",
        interval(black.metrics, "robust_accuracy"),
        seen - real >= 0.2,
        lab.setting("input-discretisation"),
    )
    return [line]


def once_best(lab: Laboratory, defense: str, paper: str) -> list[Line]:
    """Smoothing, squeezing and pairing: unsure of their mistakes, and weaker with every step.

    Strong is the house's PGD; weak takes five steps of one run.
    """
    radius = 0.2
    few = variant("pgd", "Pgd", steps=5, restarts=1)
    strong, weak = (lab.play(attack, defense, epsilons=(radius,)) for attack in ("pgd", few))
    robust, other = (figure(v.metrics, "robust_accuracy") for v in (strong, weak))
    confidence = figure(strong.metrics, "mistake_confidence")
    line = Line(
        "D3-D5",
        f"{defense}, PGD, ε {radius:g}",
        paper,
        "confidence on mistakes ≤ .6, strong ≤ weak",
        f"confidence {confidence:.2f}, robust {percent(robust)}, five steps {percent(other)}",
        interval(strong.metrics, "robust_accuracy"),
        confidence <= 0.6 and robust <= other,
        lab.setting(defense, more="L∞; broken is what PGD's two losses break"),
    )
    return [line]


def wasserstein(lab: Laboratory) -> list[Line]:
    """WRM's certificate: mean loss ≤ γ mean |δ|² + mean of the supremum, on every attack played."""
    from arena.house.recipes import find

    recipe, sizes = find(f"wrm-{TASK}"), (0.5, 1.0, 2.0)
    verdict = lab.play("pgd", "wrm", norm=Norm.L2, epsilons=sizes)
    assert verdict.outcome is not None
    columns, images = verdict.outcome.columns, verdict.outcome.images
    count = len(images["clean"])
    x, y = images["clean"], np.asarray(columns["y"][:count], np.int64)
    robust_loss = surrogate(recipe.name, x, y)
    room = []
    for row, attacked in enumerate(images["attacked"]):
        cost = float((columns["l2"][row * count : (row + 1) * count] ** 2).mean())
        room.append(recipe.weight * cost + robust_loss - net_loss(recipe.name, attacked, y))
    line = Line(
        "D2",
        "WRM, certificate, L2 " + "/".join(f"{size:g}" for size in sizes),
        "",
        "mean loss ≤ the certificate",
        "room " + "/".join(f"{value:.2f}" for value in room),
        interval(verdict.metrics, "robust_accuracy"),
        min(room) >= 0,
        lab.setting("wrm", more=f"γ {recipe.weight:g}, supremum by 200 steps"),
    )
    return [line]


def surrogate(name: str, x: NDArray[np.float32], y: NDArray[np.int64]) -> float:
    """Mean of sup_z [loss(z, y) - γ |z - x|²] for the net of that weight file."""
    import torch

    from arena.house.objectives import Step, robust_surrogate
    from arena.house.recipes import find

    recipe = replace(find(name), steps=200)
    step = Step(
        _net(name), torch.tensor(x), torch.tensor(y), recipe, 1.0, torch.Generator().manual_seed(0)
    )
    worst = robust_surrogate(step).numpy()
    penalty = recipe.weight * ((worst - x).reshape(len(x), -1) ** 2).sum(1)
    return net_loss(name, worst, y) - float(penalty.mean())


def net_loss(name: str, x: NDArray[np.float32], y: NDArray[np.int64]) -> float:
    """Mean cross-entropy of the net of that weight file."""
    import torch
    from torch.nn import functional

    with torch.no_grad():
        scores = _net(name)(torch.tensor(x))
        return float(functional.cross_entropy(scores, torch.tensor(y)))


def _net(name: str) -> Any:
    """The bare net of a weight file."""
    import torch

    from arena.house import train
    from arena.house.recipes import find

    model = train.build(find(name))
    arrays = safetensors.numpy.load_file(train.WEIGHTS / f"{name}.safetensors")
    model.load_state_dict({key: torch.tensor(array) for key, array in arrays.items()})
    return model.eval().requires_grad_(False)


def interval_bounds(lab: Laboratory) -> list[Line]:
    """What interval arithmetic certifies stands against every attack played."""
    import torch

    from arena.house.objectives import bounds

    radius, name = 0.1, f"interval-bounds-{TASK}"
    verdict = lab.play("pgd", "interval-bounds", epsilons=(radius,))
    assert verdict.outcome is not None
    assert verdict.kills is not None
    x = torch.tensor(verdict.outcome.images["clean"])
    y = torch.tensor(np.asarray(verdict.outcome.columns["y"], np.int64))
    low, high = bounds(_net(name), x, radius)
    own = torch.nn.functional.one_hot(y, low.shape[1]).bool()
    certified = (low[own] > high.masked_fill(own, -torch.inf).amax(1)).numpy()
    robust = figure(verdict.metrics, "robust_accuracy")
    share = float(certified.mean())
    plain = figure(lab.play("pgd", "cnn", epsilons=(radius,)).metrics, "robust_accuracy")
    line = Line(
        "D8",
        f"Interval bounds, ε {radius:g}",
        "94.2 % certified (Wong-Kolter)",
        "certificate ≤ robust, always",
        f"certified {percent(share)}, robust {percent(robust)} (CNN {percent(plain)})",
        interval(verdict.metrics, "robust_accuracy"),
        share <= robust and not (certified & broken(verdict)).any(),
        lab.setting("interval-bounds", more="5,000 training images; trained for this ε"),
    )
    return [line]


def robust_neighbour(lab: Laboratory) -> list[Line]:
    """No attack within half of what parts the classes."""
    fields: dict[str, Any] = {"norm": Norm.L2, "epsilons": (3.0,)}
    model = ThreatModel.black(300)
    verdict = lab.play("boundary", "robust-nearest-neighbour", threat_model=model, **fields)
    other = lab.play("boundary", "nearest-neighbour", threat_model=model, **fields)
    assert verdict.outcome is not None
    columns = verdict.outcome.columns
    radius = neighbour_radius(verdict.outcome.images["clean"], columns["y"])
    inside = columns["broken"] & columns["clean_right"] & (columns["l2"] < radius - 1e-4)
    robust = figure(verdict.metrics, "robust_accuracy")
    line = Line(
        "D11",
        "Robust 1-NN, boundary attack, L2 3",
        "",
        "no kill inside the certificate",
        f"robust {percent(robust)} (3-NN {percent(figure(other.metrics, 'robust_accuracy'))}), "
        f"median certificate {float(np.median(radius)):.2f}, {int(inside.sum())} inside",
        interval(verdict.metrics, "robust_accuracy"),
        not inside.any(),
        lab.setting("robust-nearest-neighbour", more="300 labels an example"),
    )
    return [line]


def neighbour_radius(x: NDArray[np.float32], y: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) half of how much farther the nearest other class is than the own, in L2; at least 0."""
    package = house.package("robust-nearest-neighbour", TASK)
    with np.load(io.BytesIO(package.files["weights.npz"])) as arrays:
        stored, labels = arrays["x"].astype(np.float64), arrays["y"]
    flat = x.reshape(len(x), -1).astype(np.float64)
    squares = (flat**2).sum(1)[:, None] - 2 * flat @ stored.T + (stored**2).sum(1)
    far = np.sqrt(np.maximum(squares, 0))
    same = labels == np.asarray(y)[:, None]
    own, other = np.where(same, far, np.inf).min(1), np.where(same, np.inf, far).min(1)
    radius: NDArray[np.float64] = np.maximum((other - own) / 2, 0)
    return radius


def virtual_adversarial(lab: Laboratory) -> list[Line]:
    radius = 0.1
    ours, plain = (
        lab.play("pgd", name, epsilons=(radius,)) for name in ("virtual-adversarial", "cnn")
    )
    robust, other = (figure(v.metrics, "robust_accuracy") for v in (ours, plain))
    line = Line(
        "D12",
        f"Virtual adversarial training, ε {radius:g}",
        "",
        "above the plain CNN",
        f"robust {percent(robust)} (CNN {percent(other)})",
        interval(ours.metrics, "robust_accuracy"),
        robust > other,
        lab.setting("virtual-adversarial"),
    )
    return [line]


def uncertain(lab: Laboratory) -> list[Line]:
    """Stochastic, abstaining and low confidence: what each shows is reported."""
    radius, found = 0.1, []
    for name in ("noisy-input", "abstaining", "calibrated-confidence"):
        verdict = lab.play("pgd", name, epsilons=(radius,))
        told = verdict.metrics
        shown = [
            f"{label} {figure(told, key):.2f}"
            for label, key in (
                ("clean", "clean_accuracy"),
                ("robust", "robust_accuracy"),
                ("repeats", "repeatability"),
                ("abstains", "abstention_clean"),
                ("confidence on mistakes", "mistake_confidence"),
            )
            if told.get(key) is not None
        ]
        needed = {
            "noisy-input": "repeatability",
            "abstaining": "abstention_clean",
            "calibrated-confidence": "mistake_confidence",
        }[name]
        found.append(
            Line(
                "D14",
                f"{name}, PGD, ε {radius:g}",
                "repeats 1.0 to .92" if name == "noisy-input" else "",
                "reported",
                ", ".join(shown),
                interval(told, "robust_accuracy"),
                told.get(needed) is not None,
                lab.setting(name),
            )
        )
    return found


def distillation(lab: Laboratory) -> list[Line]:
    """Masked to one step of the cross-entropy, broken by the margin and by CW."""
    radius, name = 0.2, "defensive-distillation"
    one, many = (lab.play(attack, name, epsilons=(radius,)) for attack in ("fgsm", "pgd"))
    carlini = lab.play("cw-l2", name, game=GameName.MINIMUM_NORM, norm=Norm.L2)
    rate = figure(carlini.metrics, "attack_success_rate")
    seen, real = (figure(verdict.metrics, "robust_accuracy") for verdict in (one, many))
    line = Line(
        "D15",
        f"Defensive distillation, CW; ε {radius:g}",
        "99.5 clean, broken by CW",
        "CW 100 %, FGSM masked by ≥ 20 points",
        f"CW {percent(rate)}, FGSM {percent(seen)}, PGD {percent(real)}",
        interval(many.metrics, "robust_accuracy"),
        rate == 1.0 and seen - real >= 0.2,
        lab.setting(name, more="temperature 40"),
    )
    return [line]
