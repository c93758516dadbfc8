"""A softmax regression with its exact certificate.

Hein & Andriushchenko 2017 (arXiv:1705.08475), eq. 2 for a linear model: in norm p, with 1/p + 1/q
= 1, the nearest input of another class than c lies at min_k (z_c - z_k) / |w_c - w_k|_q. No input
nearer is answered otherwise, so the claim leaves nothing to chance; but for the box [0, 1]^d no
larger radius is true. Under L0 a feature moves by at most 1: the largest gains are added up.
"""

import numpy as np
from numpy.typing import NDArray

from arena.players import Images, Labels
from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Certified linear model"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:CertifiedLinear"
differentiable = true
certifies = ["linf", "l2", "l1", "l0"]
family = "logistic regression"
description = "One linear layer with softmax, and the exact radius of every answer."
"""

ROUNDING = 1e-5
"""Taken off each radius: logits are computed in float32."""
DUAL = {"linf": 1, "l2": 2, "l1": np.inf}


class CertifiedLinear(TorchDefense):
    """Plain training; the certificate is what a linear model is worth, and no more."""

    def certify(
        self, x: Images, norm: str, *, effort: int, seeds: NDArray[np.uint64]
    ) -> tuple[Labels, NDArray[np.float32]]:
        scores = self.predict(x).astype(np.float64)
        labels = scores.argmax(axis=1).astype(np.int64)
        weights = self._weights()
        radii = [
            self._radius(scores[i], weights, int(labels[i]), norm, x.shape[1:])
            for i in range(len(x))
        ]
        return labels, np.maximum(np.array(radii) - ROUNDING, 0.0).astype(np.float32)

    def _weights(self) -> NDArray[np.float64]:
        """(classes, features)."""
        (matrix,) = (w for w in self.module.state_dict().values() if w.ndim == 2)
        return np.asarray(matrix.numpy(), np.float64)

    def _radius(
        self,
        scores: NDArray[np.float64],
        weights: NDArray[np.float64],
        label: int,
        norm: str,
        shape: tuple[int, ...],
    ) -> float:
        rivals = np.delete(np.arange(len(scores)), label)
        margins = scores[label] - scores[rivals]
        slopes = weights[label] - weights[rivals]
        if norm == "l0":
            return min(map(_features, margins, slopes.reshape(-1, *shape)))
        sizes = np.linalg.norm(slopes, ord=DUAL[norm], axis=1)
        return float((margins / np.maximum(sizes, 1e-12)).min())


def _features(margin: float, slope: NDArray[np.float64]) -> float:
    """How many features (pixels with all channels) may change before the margin can be gone."""
    by_feature = np.abs(slope).sum(axis=0).ravel() if slope.ndim == 3 else np.abs(slope).ravel()
    gains = np.cumsum(np.sort(by_feature)[::-1])
    return float(np.searchsorted(gains, margin)) + ROUNDING
