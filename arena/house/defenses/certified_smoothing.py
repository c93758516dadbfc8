"""Certified smoothing: a majority among noisy copies, and the radius that the majority proves.

Cohen, Rosenfeld & Kolter 2019 (arXiv:1902.02918), algorithm CERTIFY: the class c is picked from n0
noisy copies; among n others it won k times; p is the lower Clopper-Pearson bound of k / n at
confidence 1 - α; where p > 1/2 the smoothed classifier g(x') = argmax_c P(f(x' + n) = c), n normal
with deviation σ, answers c at every x' within R = σ Φ^-1(p) in L2, and else nothing is claimed.
A claim is wrong with chance at most α. f was trained on the same noise.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from arena.players import Images, Labels, Scores, row_noise
from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Certified smoothing"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:CertifiedSmoothing"
output = "probabilities"
differentiable = true
stochastic = true
certifies = ["l2"]
alpha = 0.001
family = "randomized smoothing"
description = "Majority among noisy copies (σ = .5), with a certified L2 radius; trained on noise."
"""

SIGMA = 0.5
VOTES = 50
CHOOSING = 64
CERTIFYING = 1000
ALPHA = 0.001


class CertifiedSmoothing(TorchDefense):
    """predict estimates g by VOTES hard votes; gradients are those of the mean of the softmax."""

    def predict(self, x: Images, seeds: NDArray[np.uint64] | None = None) -> Scores:
        """Shares of the votes."""
        assert seeds is not None
        shares = np.zeros((len(x), len(self.task.classes)), np.float32)
        for i, (row, seed) in enumerate(zip(x, seeds, strict=True)):
            shares[i] = self._votes(row, VOTES, seed) / VOTES
        return shares

    def forward(self, x: Tensor, *seeds: NDArray[np.uint64]) -> Tensor:
        noise = torch.from_numpy(row_noise((VOTES, *x.shape[1:]), seeds[0]))
        noisy = x[:, None] + SIGMA * noise
        odds = torch.log_softmax(self.module(noisy.flatten(0, 1)), dim=1)
        return torch.logsumexp(odds.unflatten(0, noise.shape[:2]), dim=1).sub(math.log(VOTES)).exp()

    def certify(
        self, x: Images, norm: str, *, effort: int, seeds: NDArray[np.uint64]
    ) -> tuple[Labels, NDArray[np.float32]]:
        labels, radii = np.full(len(x), -1, np.int64), np.zeros(len(x), np.float32)
        for i, (row, seed) in enumerate(zip(x, seeds, strict=True)):
            n = CERTIFYING * effort
            votes = self._votes(row, CHOOSING + n, seed, keep=True)
            choice = int(np.bincount(votes[:CHOOSING]).argmax())
            won = int((votes[CHOOSING:] == choice).sum())
            bound = float(stats.beta.ppf(ALPHA, won, n - won + 1)) if won else 0.0
            if bound > 0.5:
                labels[i], radii[i] = choice, SIGMA * stats.norm.ppf(bound)
        return labels, radii

    def _votes(
        self, row: Images, count: int, seed: np.uint64, *, keep: bool = False
    ) -> NDArray[np.int64]:
        """(classes,) how many of ``count`` noisy copies say each class; or each one's own vote."""
        noise = torch.from_numpy(row_noise((count, *row.shape), np.array([seed], np.uint64))[0])
        with torch.inference_mode():
            noisy = torch.from_numpy(np.array(row))[None] + SIGMA * noise
            said = torch.cat([self.module(part).argmax(dim=1) for part in noisy.split(512)])
        votes = said.numpy().astype(np.int64)
        return votes if keep else np.bincount(votes, minlength=len(self.task.classes))
