"""Certified training by interval bounds: the net is trained on the worst that could follow.

Gowal et al. 2018 (arXiv:1810.12715): an L∞ ball of radius ε around x is carried through the net
as an interval a unit, c ± r with W c ± |W| r after a linear layer; the loss is taken at the lower
bound of the label's logit and the upper bounds of all others. Where that still answers right, no
attack within ε can succeed (:meth:`IntervalBounds.certified`). Trained for ε = .1.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arena.players import Images
from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Interval bounds"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:IntervalBounds"
differentiable = true
family = "certified training"
description = "Trained on interval bounds for ε = .1: what it certifies, no attack breaks."
"""


class IntervalBounds(TorchDefense):
    """The module of architecture.py, a chain of linear layers and ReLU, as it is."""

    def certified(self, x: Images, epsilon: float) -> NDArray[np.bool_]:
        """(n,) whether the answer to x is proven the same within L∞ distance ``epsilon``."""
        with torch.inference_mode():
            own = self.module(torch.from_numpy(x)).argmax(1)
            low, high = self._bounds(torch.from_numpy(x), epsilon)
            mine = torch.nn.functional.one_hot(own, low.shape[1]).bool()
            rival = high.masked_fill(mine, -torch.inf).amax(1)
            held: NDArray[np.bool_] = (low[mine] > rival).numpy()
        return held

    def _bounds(self, x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """Lower and upper bounds of the logits over the ball and the box."""
        low, high = (x - epsilon).clamp(0, 1), (x + epsilon).clamp(0, 1)
        for layer in self.module.children():
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
                centre, radius = layer((low + high) / 2), _spread(layer, (high - low) / 2)
                low, high = centre - radius, centre + radius
            else:
                low, high = layer(low), layer(high)
        return low, high


def _spread(layer: torch.nn.Linear | torch.nn.Conv2d, radius: Tensor) -> Tensor:
    """|W| r."""
    weight = layer.weight.abs()
    if isinstance(layer, torch.nn.Linear):
        return torch.nn.functional.linear(radius, weight)
    return torch.nn.functional.conv2d(radius, weight, None, layer.stride, layer.padding)
