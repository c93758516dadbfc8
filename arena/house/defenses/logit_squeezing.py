"""Logit squeezing: large logits are penalised, and the training images are noisy.

Kannan, Kurakin & Goodfellow 2018 (arXiv:1803.06373), section 4.2: loss(x + n, y) + λ |z(x + n)|²,
n normal. Reported at 62.4 % on CIFAR-10, and broken to 4.1 % within the year (Mosbach et al. 2018,
arXiv:1810.12042): the penalty hides slopes and moves no boundary.
"""

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Logit squeezing"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:LogitSqueezing"
differentiable = true
family = "logit squeezing"
description = "Trained on noisy images with a penalty on large logits; broken within the year."
"""


class LogitSqueezing(TorchDefense):
    """The module of architecture.py with the weights of weights.safetensors, as it is."""
