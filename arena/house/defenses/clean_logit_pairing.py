"""Clean logit pairing: logits of unrelated training images are pulled together.

Kannan, Kurakin & Goodfellow 2018 (arXiv:1803.06373), section 4.1: loss(x + n, y) +
λ |z(x_i + n_i) - z(x_j + n_j)|² for random pairs. It squeezes logits like a penalty on their size,
and falls like one (Mosbach et al. 2018, arXiv:1810.12042).
"""

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Clean logit pairing"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:CleanLogitPairing"
differentiable = true
family = "logit pairing"
description = "Trained on noisy images with the logits of random pairs pulled together."
"""


class CleanLogitPairing(TorchDefense):
    """The module of architecture.py with the weights of weights.safetensors, as it is."""
