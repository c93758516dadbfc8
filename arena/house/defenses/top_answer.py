"""Top answer: a softmax regression that tells its label and nothing of how sure it is.

Tramer et al. 2016 (arXiv:1609.02943), section 7: without confidence a thief has no equations left
and must search for the boundary, which takes him many more probes. Accuracy is untouched.
"""

import torch
from torch import Tensor

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Top answer"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:TopAnswer"
output = "probabilities"
family = "logistic regression"
description = "Tells the label alone, whatever the round asks for, against theft."
"""


class TopAnswer(TorchDefense):
    """Probability 1 for the leading class."""

    def forward(self, x: Tensor, *_seeds: object) -> Tensor:
        scores: Tensor = self.module(x)
        return torch.nn.functional.one_hot(scores.argmax(dim=1), scores.shape[1]).float()
