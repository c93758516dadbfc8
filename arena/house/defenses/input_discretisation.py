"""Input discretisation: the input is rounded to a few grey levels before the net sees it.

After Xu, Evans & Qi 2018 (feature squeezing, arXiv:1704.01155). Rounding has slope zero almost
everywhere, so that plain gradients vanish: the defense looks strong against them, and falls to
black-box attacks and to BPDA (Athalye, Carlini & Wagner 2018, arXiv:1802.00420). It stays in the
house so that the evidence page has something to show.
"""

import torch
from torch import Tensor

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Input discretisation"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:InputDiscretisation"
differentiable = true
family = "input discretisation"
description = "Rounds each pixel to a few grey levels; its gradients vanish (masked on purpose)."
"""


LEVELS = 4


class InputDiscretisation(TorchDefense):
    """f(round(x)), where f was trained on rounded images."""

    def forward(self, x: Tensor, *_seeds: object) -> Tensor:
        scores: Tensor = self.module(torch.round(x * (LEVELS - 1)) / (LEVELS - 1))
        return scores
