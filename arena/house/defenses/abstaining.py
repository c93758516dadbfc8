"""A net that abstains where it is unsure: the reject option of Chow 1970, on softmax confidence.

The plain net (its weights are the house's ``cnn``) with one more column, the logit of abstaining,
log Σ exp z + log τ: it wins where the largest probability is below τ. Against attacks that do not
mind confidence it helps; one that asks for a sure mistake walks through.
"""

import math

import torch
from torch import Tensor

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Abstaining net"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:Abstaining"
differentiable = true
abstains = true
family = "abstaining"
description = "The plain net, which abstains below a confidence of 0.9."
"""


THRESHOLD = 0.9
"""τ: the plain net is less sure than that of about one clean image in twenty."""


class Abstaining(TorchDefense):
    """z, and one more column that wins where max softmax(z) < THRESHOLD."""

    def forward(self, x: Tensor, *_seeds: object) -> Tensor:
        scores: Tensor = self.module(x)
        abstain = torch.logsumexp(scores, dim=1, keepdim=True) + math.log(THRESHOLD)
        return torch.cat([scores, abstain], dim=1)
