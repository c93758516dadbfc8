"""What a house net is trained to make small: one function an objective, each with its source.

A recipe names its objective (``arena/house/recipes.py``); the empty name is the cross-entropy on
the recipe's disturbed inputs, as plain, adversarial, noisy and rounded training use it. Every
function returns the mean loss of one batch, and draws from the step's generator alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from arena import tasks
from arena.house.recipes import Recipe

PROBE_LENGTH: Final = 0.1
"""ξ of virtual adversarial training: how far the finite difference looks."""
FALL_OF_CONFIDENCE: Final = 10
"""ρ of confidence calibration: how fast the target falls towards uniform."""
SLOPE: Final = 1e-12


@dataclass(frozen=True)
class Step:
    """One batch: ``x`` (n, *shape) in [0, 1], ``y`` (n,).

    ``progress`` runs from 0 to 1 over the training. ``teacher`` is the net that distillation
    learns from, trained by the same recipe.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    recipe: Recipe
    progress: float
    generator: torch.Generator
    teacher: nn.Module | None = None

    def normal(self) -> Tensor:
        """x with Gaussian noise of the recipe's size."""
        noise = torch.randn(self.x.shape, generator=self.generator)
        return self.x + self.recipe.noise * noise

    @property
    def growth(self) -> float:
        """1 after the warm-up, linear before: the share of ε and of λ that counts."""
        warm_up = self.recipe.warm_up / self.recipe.epochs
        return min(1.0, self.progress / warm_up) if warm_up else 1.0


Objective = Callable[[Step], Tensor]


def label_smoothing(step: Step) -> Tensor:
    """Cross-entropy with (1 - s) one-hot + s / K (Szegedy et al. 2016, section 7); s: ``weight``.

    As a defense: Warde-Farley & Goodfellow 2016.
    """
    scores = step.model(step.x)
    return functional.cross_entropy(scores, step.y, label_smoothing=step.recipe.weight)


def logit_squeezing(step: Step) -> Tensor:
    """Cross-entropy on noisy x + λ |z|² (Kannan, Kurakin & Goodfellow 2018, section 4.2)."""
    scores = step.model(step.normal())
    squeezed: Tensor = step.recipe.weight * scores.square().sum(1).mean()
    return functional.cross_entropy(scores, step.y) + squeezed


def clean_logit_pairing(step: Step) -> Tensor:
    """Cross-entropy on noisy x + λ |z(x_i) - z(x_j)|² for random pairs (the same, section 4.1)."""
    scores = step.model(step.normal())
    one, other = scores[: len(scores) // 2], scores[len(scores) // 2 : 2 * (len(scores) // 2)]
    paired: Tensor = step.recipe.weight * (one - other).square().sum(1).mean()
    return functional.cross_entropy(scores, step.y) + paired


def adversarial_logit_pairing(step: Step) -> Tensor:
    """Cross-entropy on x and on PGD's x', + λ |z(x) - z(x')|² (the same, eq. 1)."""
    attacked = ascended(step, functional.cross_entropy)
    scores, other = step.model(step.x), step.model(attacked)
    paired: Tensor = step.recipe.weight * (scores - other).square().sum(1).mean()
    both = functional.cross_entropy(scores, step.y) + functional.cross_entropy(other, step.y)
    return both / 2 + paired


def wasserstein(step: Step) -> Tensor:
    """WRM, a penalty and no ball (Sinha, Namkoong & Duchi 2018, arXiv:1710.10571, algorithm 1).

    min_θ E sup_z [loss(θ; z, y) - γ |z - x|²]; γ: ``weight``. The supremum is approached by
    ``steps`` steps of ``step`` / sqrt(t); z may leave the box, as in the paper.
    """
    return functional.cross_entropy(step.model(robust_surrogate(step)), step.y)


def robust_surrogate(step: Step) -> Tensor:
    """z of the inner supremum of :func:`wasserstein`."""
    point = step.x.clone()
    for t in range(1, step.recipe.steps + 1):
        point.requires_grad_()
        loss = functional.cross_entropy(step.model(point), step.y, reduction="sum")
        (slope,) = torch.autograd.grad(loss, point)
        pull = 2 * step.recipe.weight * (point.detach() - step.x)
        point = point.detach() + step.recipe.step / t**0.5 * (slope - pull)
    return point


def interval_bounds(step: Step) -> Tensor:
    """κ cross-entropy(z) + (1 - κ) cross-entropy(worst z) (Gowal et al. 2018, arXiv:1810.12715).

    Eq. 12 of the paper: κ falls from 1 to 1/2 while ε grows. The worst z has the lower bound of
    the label's logit and the upper bounds of all others.
    """
    growth = step.growth
    share = 1 - growth / 2
    lower, upper = bounds(step.model, step.x, step.recipe.epsilon * growth)
    own = functional.one_hot(step.y, lower.shape[1]).bool()
    worst = torch.where(own, lower, upper)
    clean = functional.cross_entropy(step.model(step.x), step.y)
    return share * clean + (1 - share) * functional.cross_entropy(worst, step.y)


def bounds(model: nn.Module, x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds of every logit over the L∞ ball in the box (interval arithmetic).

    For chains of linear layers and monotone ones: W's centre moves as W c, its radius as |W| r.
    """
    low, high = (x - epsilon).clamp(0, 1), (x + epsilon).clamp(0, 1)
    layers = model if isinstance(model, nn.Sequential) else [model]
    for layer in layers:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            centre, radius = layer((low + high) / 2), _spread(layer, (high - low) / 2)
            low, high = centre - radius, centre + radius
        else:
            low, high = layer(low), layer(high)
    return low, high


def _spread(layer: nn.Linear | nn.Conv2d, radius: Tensor) -> Tensor:
    """|W| r."""
    weight = layer.weight.abs()
    if isinstance(layer, nn.Linear):
        return functional.linear(radius, weight)
    return functional.conv2d(radius, weight, None, layer.stride, layer.padding)


def virtual_adversarial(step: Step) -> Tensor:
    """Cross-entropy + λ KL(p(x) | p(x + r)) (Miyato et al. 2018, arXiv:1704.03976, eq. 5-8).

    r of length ε along the first eigenvector of the divergence's curvature, by ``steps`` rounds
    of the power iteration.
    """
    scores = step.model(step.x)
    with torch.no_grad():
        here = functional.log_softmax(step.model(step.x), dim=1)
    direction = unit(torch.randn(step.x.shape, generator=step.generator))
    for _ in range(step.recipe.steps):
        direction.requires_grad_()
        loss = _divergence(here, step.model(step.x + PROBE_LENGTH * direction))
        (slope,) = torch.autograd.grad(loss, direction)
        direction = unit(slope)
    far = step.model(step.x + step.recipe.epsilon * direction.detach())
    return functional.cross_entropy(scores, step.y) + step.recipe.weight * _divergence(here, far)


def _divergence(here: Tensor, scores: Tensor) -> Tensor:
    there = functional.log_softmax(scores, dim=1)
    return functional.kl_div(there, here, reduction="batchmean", log_target=True)


def distillation(step: Step) -> Tensor:
    """Defensive distillation (Papernot et al. 2016, arXiv:1511.04508, section IV).

    Cross-entropy of softmax(z / T) with the teacher's softmax(z / T); the teacher itself, trained
    first, with the labels. Both are used at T = 1 afterwards.
    """
    scores = step.model(step.x) / step.recipe.temperature
    if step.teacher is None:
        return functional.cross_entropy(scores, step.y)
    with torch.no_grad():
        aim = functional.softmax(step.teacher(step.x) / step.recipe.temperature, dim=1)
    return functional.cross_entropy(scores, aim)


def calibrated_confidence(step: Step) -> Tensor:
    """Confidence-calibrated adversarial training (Stutz, Hein & Schiele 2020, arXiv:1910.06259).

    Half of the loss on x, half on x' that maximises the largest wrong probability, with the target
    λ one-hot + (1 - λ) / K, λ = (1 - min(1, |δ|∞ / ε))^ρ: the farther off, the less sure.
    """
    attacked = ascended(step, _wrong_confidence)
    size = (attacked - step.x).flatten(1).abs().amax(1) / step.recipe.epsilon
    trust = (1 - size.clamp(max=1)) ** FALL_OF_CONFIDENCE
    scores = step.model(attacked)
    classes = scores.shape[1]
    own = functional.one_hot(step.y, classes).float()
    aim = trust[:, None] * own + (1 - trust[:, None]) / classes
    clean = functional.cross_entropy(step.model(step.x), step.y)
    return (clean + functional.cross_entropy(scores, aim)) / 2


def _wrong_confidence(scores: Tensor, y: Tensor, *, reduction: str = "sum") -> Tensor:
    """Log of the largest probability of a class other than the label."""
    assert reduction == "sum"
    own = functional.one_hot(y, scores.shape[1]).bool()
    return functional.log_softmax(scores, dim=1).masked_fill(own, -torch.inf).amax(1).sum()


def ascended(step: Step, loss: Callable[..., Tensor]) -> Tensor:
    """Projected signed gradient steps from a random start within ε (Madry et al. 2018, eq. 2.1)."""
    epsilon, size = step.recipe.epsilon * step.growth, step.recipe.step * step.growth
    x = step.x
    noise = 2 * torch.rand(x.shape, generator=step.generator) - 1
    point = (x + epsilon * noise).clamp(0, 1)
    for _ in range(step.recipe.steps):
        point.requires_grad_()
        (slope,) = torch.autograd.grad(loss(step.model(point), step.y, reduction="sum"), point)
        point = point.detach() + size * slope.sign()
        point = torch.maximum(torch.minimum(point, x + epsilon), x - epsilon).clamp(0, 1)
    return point


def word_insertion(step: Step) -> Tensor:
    """Cross-entropy on mails, spam with the ``weight`` words that deceive the model most.

    After the games against feature deletion of Globerson & Roweis 2006, with insertion in its
    place: min_θ max over added words. A word's effect is the slope of spam's margin; for a linear
    model the maximum is exact.
    """
    spam = tasks.load(step.recipe.task).attacker_class
    assert spam is not None, "Words are added to the mails of a class that attackers own."
    attacked = step.x.clone().requires_grad_()
    scores = step.model(attacked)
    margin = 2 * scores[:, spam] - scores.sum(1)  # of two classes
    (slope,) = torch.autograd.grad(margin.sum(), attacked)
    deceit = torch.where(step.x > 0, 0.0, -slope)
    most = deceit.topk(round(step.recipe.weight), dim=1)
    added = torch.zeros_like(step.x).scatter(1, most.indices, (most.values > 0).float())
    owned = torch.eq(step.y, spam)[:, None]
    mails = torch.where(owned, step.x + added, step.x)
    return functional.cross_entropy(step.model(mails), step.y)


def unit(direction: Tensor) -> Tensor:
    """Each row's direction with length 1 in L2."""
    length = torch.linalg.vector_norm(direction.flatten(1), dim=1).clamp_min(SLOPE)
    one: Tensor = direction / length.reshape(-1, *[1] * (direction.ndim - 1))
    return one


OBJECTIVES: Final[Mapping[str, Objective]] = {
    "label smoothing": label_smoothing,
    "logit squeezing": logit_squeezing,
    "clean logit pairing": clean_logit_pairing,
    "adversarial logit pairing": adversarial_logit_pairing,
    "WRM": wasserstein,
    "interval bounds": interval_bounds,
    "virtual adversarial": virtual_adversarial,
    "distillation": distillation,
    "calibrated confidence": calibrated_confidence,
    "word insertion": word_insertion,
}
