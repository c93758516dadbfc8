"""Low confidence where it is attacked: trained to become unsure with distance, and to abstain then.

Confidence-calibrated adversarial training (Stutz, Hein & Schiele 2020, arXiv:1910.06259): the
target of x' moves from one-hot to uniform as |x' - x|∞ grows to ε. A mistake then comes with low
confidence, and is rejected: the last column is the logit of abstaining, log Σ exp z + log τ, which
wins where the largest probability is below τ.
"""

import math

import torch
from torch import Tensor

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Calibrated confidence"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:CalibratedConfidence"
differentiable = true
abstains = true
family = "calibrated confidence"
description = "Trained to be unsure away from the data; abstains below a confidence of 0.5."
"""


THRESHOLD = 0.5
"""τ: the net is less sure than that of about one training image in a hundred."""


class CalibratedConfidence(TorchDefense):
    """z, and one more column that wins where max softmax(z) < THRESHOLD."""

    def forward(self, x: Tensor, *_seeds: object) -> Tensor:
        scores: Tensor = self.module(x)
        abstain = torch.logsumexp(scores, dim=1, keepdim=True) + math.log(THRESHOLD)
        return torch.cat([scores, abstain], dim=1)
