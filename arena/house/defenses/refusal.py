"""Refusal: a softmax regression that does not answer what looks like no example.

After Kesarwani et al. 2018 and the probes that PRADA looks for (Juuti et al. 2019,
arXiv:1805.02628): a thief asks where no data lie. Data are mostly sure of their class and dark on
most of their border; an input that is neither is refused. What it refuses of honest inputs counts
as wrong, so the thresholds are mild.
"""

import torch
from torch import Tensor

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Refusal"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:Refusal"
output = "probabilities"
abstains = true
family = "logistic regression"
description = "Refuses inputs that look like no example, against theft."
"""

SURE = 0.3
"""Least probability of the leading class."""
INK = (0.02, 0.75)
"""Least and largest mean of all features."""


class Refusal(TorchDefense):
    """One more column, which gets all the probability where the input is refused."""

    def forward(self, x: Tensor, *_seeds: object) -> Tensor:
        odds = torch.softmax(self.module(x), dim=1)
        ink = x.flatten(1).mean(dim=1)
        strange = (odds.amax(dim=1) < SURE) | (ink < INK[0]) | (ink > INK[1])
        refused = strange.float()[:, None]
        return torch.cat([odds * (1 - refused), refused], dim=1)
