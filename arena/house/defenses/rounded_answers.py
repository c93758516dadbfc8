"""Rounded answers: a softmax regression that tells its probabilities to two decimals.

Tramer et al. 2016 (arXiv:1609.02943), section 7: rounding takes from a thief the digits that his
equations are solved with. It costs accuracy only where two classes lead by the same rounded value.
"""

import torch
from torch import Tensor

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Rounded answers"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:RoundedAnswers"
output = "probabilities"
family = "logistic regression"
description = "Tells its probabilities to two decimals, against theft."
"""

STEPS = 100


class RoundedAnswers(TorchDefense):
    """round(softmax(f(x)), 2), made to sum to 1 again; the leading class is never rounded away."""

    def forward(self, x: Tensor, *_seeds: object) -> Tensor:
        rounded = torch.round(torch.softmax(self.module(x), dim=1) * STEPS) / STEPS
        return rounded / rounded.sum(dim=1, keepdim=True)
