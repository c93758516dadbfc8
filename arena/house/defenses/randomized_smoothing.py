"""Randomized smoothing: the answer is a vote over noisy copies of the input.

Cohen, Rosenfeld & Kolter 2019 (arXiv:1902.02918): g(x) = argmax_c P(f(x + n) = c), n normal with
standard deviation σ. Here f was trained on the same noise; the scores are log of the mean of the
softmax over VOTES copies, so that they have gradients. A row's noise hangs on its seed alone.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arena.players import row_noise
from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Randomized smoothing"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:RandomizedSmoothing"
differentiable = true
stochastic = true
family = "randomized smoothing"
description = "Ten noisy copies (σ = .25) of each input, mean of the softmax; trained on noise."
"""

SIGMA = 0.25
VOTES = 10


class RandomizedSmoothing(TorchDefense):
    """log mean_v softmax(f(x + σ n_v)), with n_v drawn from the row's seed."""

    def forward(self, x: Tensor, *seeds: NDArray[np.uint64]) -> Tensor:
        noise = torch.from_numpy(row_noise((VOTES, *x.shape[1:]), seeds[0]))
        noisy = x[:, None] + SIGMA * noise
        votes = torch.log_softmax(self.module(noisy.flatten(0, 1)), dim=1)
        return torch.logsumexp(votes.unflatten(0, noise.shape[:2]), dim=1) - math.log(VOTES)
