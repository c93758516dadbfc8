"""Naive Bayes over words that are there or not, written as the linear model that it is.

With p(j | c) the share of the mails of class c that hold word j, smoothed by Laplace's rule,

    log P(c | x) = const + log P(c) + sum_j log(1 - p(j | c)) + x_j log(p(j | c) / (1 - p(j | c)))

McCallum & Nigam 1998, "A comparison of event models for naive Bayes text classification", eq. 2-4;
it is the filter that Lowd & Meek 2005 attacked.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def fill(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Set the one linear layer of ``model`` from words ``x`` (n, words) and labels ``y`` (n,)."""
    (layer,) = (part for part in model.modules() if isinstance(part, nn.Linear))
    one_hot = torch.eye(layer.out_features, dtype=torch.float64)[y]
    count = one_hot.sum(0)
    share = (one_hot.T @ x.double() + 1) / (count[:, None] + 2)
    absent = torch.log1p(-share)
    with torch.no_grad():
        layer.weight.copy_(torch.log(share) - absent)
        layer.bias.copy_(torch.log(count / count.sum()) + absent.sum(1))
