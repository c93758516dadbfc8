"""One noisy copy of the input for each answer: a stochastic defense without a vote.

The mechanism of randomized smoothing (Cohen et al. 2019, arXiv:1902.02918) before its vote: f(x +
σ n), n normal, drawn anew for each query from the row's seed alone; the net was trained on such
noise (its weights are the house's ``randomized-smoothing``). An attack averages over draws (EOT,
Athalye et al. 2018, arXiv:1707.07397), and any mistake among k answers is one.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arena.players import row_noise
from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Noisy input"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:NoisyInput"
differentiable = true
stochastic = true
family = "noisy input"
description = "Adds normal noise (σ = .25) to each input, once; trained on noise."
"""


SIGMA = 0.25


class NoisyInput(TorchDefense):
    """f(x + σ n), with n drawn from the row's seed."""

    def forward(self, x: Tensor, *seeds: NDArray[np.uint64]) -> Tensor:
        noise = torch.from_numpy(row_noise(x.shape[1:], seeds[0]))
        scores: Tensor = self.module(x + SIGMA * noise)
        return scores
